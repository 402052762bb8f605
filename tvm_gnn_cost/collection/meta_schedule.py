"""Pools of MetaSchedule's schedules: folders `FOLDER/NAME`, each a database in TVM's own format and stage graphs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvm_gnn_cost.collection.options import CollectOptions, Workload
from tvm_gnn_cost.collection.tir_sources import TIRSources
from tvm_gnn_cost.collection.wing import PoolRecord
from tvm_gnn_cost.measuring.measurer import Toolchain
from tvm_gnn_cost.measuring.program import RUNTIME_DEVICE
from tvm_gnn_cost.meta_schedule.database import RecordedCandidate
from tvm_gnn_cost.meta_schedule.recorded_pools import has_current_graphs, keep_graphs
from tvm_gnn_cost.meta_schedule.toolchain import Candidate, Measurement, TIRToolchain
from tvm_gnn_cost.meta_schedule.written_database import WrittenDatabase, has_records, known_records
from tvm_gnn_cost.records.databases import DatabaseFiles
from tvm_gnn_cost.records.task import META_SCHEDULE
from tvm_gnn_cost.system.files import count_lines

logger = logging.getLogger("tvm_gnn_cost")


class TIRWing:
    """See `wing.Wing`: tasks are `TuningTask`s, candidates `Candidate`s, results `Measurement`s."""

    name = META_SCHEDULE
    can_be_interrupted = False  # since 0.25 its C++ may end the process at an error from Python that it does not know

    def __init__(self) -> None:
        self.toolchain: Toolchain = TIRToolchain()

    def log_path(self, folder: Path, name: str) -> Path:
        return folder / name

    def has_records(self, path: Path) -> bool:
        return has_records(path)

    def is_complete(self, path: Path, lines: int) -> bool:
        records = DatabaseFiles.of(path).records
        return records.is_file() and count_lines(records) == lines and has_current_graphs(path, with_stock=True)

    def identity(self, task: Any) -> dict[str, Any]:
        return {"workload_key": task.workload_key, "target": str(task.target), "task": task.key}

    def flop(self, task: Any) -> float:
        return float(task.flop)

    def open_log(self, path: Path, workload: Workload) -> TIRPoolLog:
        return TIRPoolLog(path, workload)

    def readings(self, result: Any) -> list[float]:
        return list(result.readings)

    def sources(self, workload: Workload, options: CollectOptions, seed: Sequence[int]) -> TIRSources:
        return TIRSources(workload.task, options, seed)


class TIRPoolLog:
    """See `wing.PoolLog`."""

    def __init__(self, path: Path, workload: Workload) -> None:
        task, self._path = workload.task, path
        self.records: list[PoolRecord] = []
        if has_records(path):
            history = known_records(path, [task])
            self.records = [_recorded(record) for record in history.own[0]]
            if history.num_others:
                logger.warning(
                    "%s: %d records are left out, they are of another task or target", path, history.num_others
                )
        self._database = WrittenDatabase(path, [task], [1.0], workload.label)
        self._workload = self._database.workload(task)
        self.next_line = count_lines(DatabaseFiles.of(path).records) + 1

    def append(self, candidate: Candidate, result: Measurement) -> PoolRecord:
        self._database.write(self._workload, candidate, result)
        self.next_line += 1
        return PoolRecord(candidate, result, result.readings, result.error_no, self.next_line - 1)

    def complete(self) -> None:
        """A pool is learnt from where its TVM is not: its stage graphs go along, and stock's features."""
        if not has_current_graphs(self._path, with_stock=True):
            keep_graphs(self._path, with_stock=True)


def _recorded(record: RecordedCandidate) -> PoolRecord:
    """A database does not say why a candidate failed."""
    error_no = 0 if record.readings else RUNTIME_DEVICE
    measurement = Measurement(tuple(record.readings), error_no, "" if record.readings else "it failed before")
    return PoolRecord(
        Candidate(record.target, record.candidate), measurement, measurement.readings, error_no, record.line
    )
