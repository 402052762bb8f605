"""Pools: the measured schedules of one task as stage graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.records.rows import Rows
from tvm_gnn_cost.records.task import ANSOR, StoredTask


@dataclass(frozen=True)
class Pool:
    """The records of one task as stage graphs.

    Attributes:
        name: of the log, or of the task where a log holds several.
        graphs: the n schedules.
        latency: float64 (n,), seconds; inf: failed.
        task: the task's key, see `TaskIdentity`.
        flop: floating-point operations.
        workload: what is computed, without the target: TVM's workload key, default arguments filled in.
        operator: the workload without its shape.
        target: TVM's target string.
        readings: the repeats of each record, float64 arrays in seconds; empty: failed.
        is_gpu: whether the target is a GPU.
        scheduler: who made the schedules, see `StoredTask`.
        seconds: float64 (n,), what building and measuring each took, nan: not known; None: of none.
    """

    name: str
    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    task: str
    flop: float
    workload: str
    operator: str
    target: str
    readings: tuple[NDArray[np.float64], ...]
    is_gpu: bool
    scheduler: str = ANSOR
    seconds: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.latency)

    def select(self, records: IntArray) -> Pool:
        """The pool with some of its records, int64 (m,), in that order."""
        return replace(
            self,
            graphs=self.graphs.select(records),
            latency=self.latency[records],
            readings=tuple(self.readings[int(i)] for i in records),
            seconds=None if self.seconds is None else self.seconds[records],
        )

    @property
    def stored_task(self) -> StoredTask:
        """What is known of the task besides its records."""
        return StoredTask(self.task, self.flop, self.workload, self.operator, self.target, self.is_gpu, self.scheduler)


@dataclass(frozen=True)
class RecordedPool:
    """What a scheduler's reader takes from one log for one task.

    Attributes:
        pool: the n records that can be used, as stage graphs.
        used: int64 (n,), which of the task's records in the log those are.
        stock: features that the scheduler's own cost model has of the same n records; None where they were not asked
            for.
        digest: of all records of the task in the log.
        workload_key: the task's, as the log's description has it.
    """

    pool: Pool
    used: IntArray
    stock: Rows | None
    digest: str
    workload_key: str
