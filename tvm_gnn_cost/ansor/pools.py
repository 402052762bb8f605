"""Pools: the measured schedules of one task, as TVM's states and as stage graphs, read from record logs."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.measurements import readings, task_flop, task_key, trial_seconds, usable_by_task
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.record_log import RecordLog, read_records, recover
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.records.logs import find_logs, log_stem
from tvm_gnn_cost.records.pool import Pool
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.workloads import PREFIX, canonical_key
from tvm_gnn_cost.workloads.registry import HASH

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredStates:
    """The records of one task as TVM has them.

    Attributes:
        name: see `Pool`.
        task: TVM's SearchTask.
        states: the n StateObjects, bounds inferred.
        latency: float64 (n,), seconds; inf: failed.
        readings: the repeats of each record, float64 arrays in seconds; empty: failed.
        digest: of the records' text.
        seconds: float64 (n,), what building and measuring each took.
    """

    name: str
    task: Any
    states: list[Any]
    latency: NDArray[np.float64]
    readings: tuple[NDArray[np.float64], ...]
    digest: str
    seconds: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.states)

    def pool(self) -> tuple[Pool, NDArray[np.bool_]]:
        """As stage graphs; and bool (n,), which of the states they are: those that could be read."""
        built = make_builder(self.task).build(self.states)
        kept = built.readable
        pool = Pool(
            self.name,
            built.graphs,
            self.latency[kept],
            task_key(self.task),
            task_flop(self.task),
            canonical_key(self.task.workload_key),
            operator_name(self.task),
            str(self.task.target),
            tuple(r for r, ok in zip(self.readings, kept, strict=True) if ok),
            hardware_of(self.task).is_gpu,
            seconds=self.seconds[kept],
        )
        return pool, kept


def read_states(paths: Iterable[str | PathLike[str]]) -> Iterator[MeasuredStates]:
    """The records of each task of each log. Workloads of the package are known; others must have been registered.

    Records that cannot be used are counted and reported in the log, with file and line. Raises RecordError for a path
    that is missing or no record log.
    """
    register_all()
    for path in find_logs(paths):
        yield from states_by_task(path, read_records(path, rebuild=True))


def read_pools(paths: Iterable[str | PathLike[str]]) -> Iterator[Pool]:
    """`read_states` as stage graphs."""
    for measured in read_states(paths):
        pool, _ = measured.pool()
        if len(pool):
            yield pool


def operator_name(task: Any) -> str:
    """What a task computes, without its shape: the name of its function; of a network's task, those of its stages."""
    name = str(json.loads(task.workload_key)[0])
    if not HASH.fullmatch(name):
        return name.removeprefix(PREFIX)
    operations = [re.sub(r"[._]?\d+$", "", str(op.name)) for op in task.compute_dag.ops if hasattr(op, "body")]
    return "+".join(operations) or name


def states_by_task(path: Path, log: RecordLog) -> Iterator[MeasuredStates]:
    """The records of each task of a log that was read with `rebuild`, or of a chunk of it; `path` gives the name."""
    by_task, latency = usable_by_task(log.inputs, log.results)
    stem = log_stem(path)
    dump = require_auto_scheduler().measure_record.dump_record_to_string
    tasks = [recover(log.inputs[ids[0]]).task for ids in by_task.values()]
    for task, name, ids in zip(tasks, _names(stem, tasks), by_task.values(), strict=True):
        text = "\n".join(dump(log.inputs[i], log.results[i]) for i in ids)
        yield MeasuredStates(
            name,
            task,
            [log.inputs[i].state for i in ids],
            np.array([latency[i] for i in ids], dtype=np.float64),
            tuple(np.array(readings(log.results[i]), dtype=np.float64) for i in ids),
            hashlib.sha256(text.encode()).hexdigest(),
            np.array([trial_seconds(log.results[i]) for i in ids], dtype=np.float64),
        )


def _names(stem: str, tasks: Sequence[Any]) -> list[str]:
    """A name for each task of a log: no more in it than tells them apart."""
    if len(tasks) == 1:
        return [stem]
    names = [_short(task) for task in tasks]
    for more in (lambda task: str(task.target).strip(), task_key):
        often = Counter(names)
        names = [f"{n} ({more(t)})" if often[n] > 1 else n for n, t in zip(names, tasks, strict=True)]
    return [f"{stem}: {name}" for name in names]


def _short(task: Any) -> str:
    name, *arguments = json.loads(task.workload_key)
    if HASH.fullmatch(str(name)):
        return f"{operator_name(task)} {str(name)[:8]}"
    return " ".join([str(name).removeprefix(PREFIX), *map(str, arguments)])
