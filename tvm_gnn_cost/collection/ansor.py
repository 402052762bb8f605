"""Pools of auto_scheduler's schedules: record logs in TVM's own format.

`FOLDER/NAME.json` is the log. Where the package does not know the workload, `FOLDER/about/NAME.tasks.json` keeps what
it computes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvm_gnn_cost.ansor.measurements import readings
from tvm_gnn_cost.ansor.record_log import append_records, read_records, repair_log
from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.ansor.task_identity import TaskIdentities, identity_of
from tvm_gnn_cost.ansor.task_store import keep_tasks
from tvm_gnn_cost.ansor.toolchain import AnsorToolchain
from tvm_gnn_cost.collection.ansor_sources import AnsorSources
from tvm_gnn_cost.collection.options import CollectOptions, Workload
from tvm_gnn_cost.collection.wing import PoolRecord
from tvm_gnn_cost.measuring.measurer import Toolchain
from tvm_gnn_cost.records.saved_tasks import pool_tasks_path
from tvm_gnn_cost.records.task import ANSOR
from tvm_gnn_cost.system.files import count_lines
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

logger = logging.getLogger("tvm_gnn_cost")


class AnsorWing:
    """See `wing.Wing`: tasks are SearchTasks, candidates MeasureInputs, results MeasureResults.

    Raises TVMNotAvailableError without TVM's auto_scheduler.
    """

    name = ANSOR
    can_be_interrupted = True

    def __init__(self) -> None:
        require_auto_scheduler()
        self.toolchain: Toolchain = AnsorToolchain()

    def log_path(self, folder: Path, name: str) -> Path:
        return folder / f"{name}.json"

    def has_records(self, path: Path) -> bool:
        return path.exists() and path.stat().st_size > 0

    def is_complete(self, path: Path, lines: int) -> bool:
        return path.is_file() and count_lines(path) == lines

    def identity(self, task: Any) -> dict[str, Any]:
        found = identity_of(task)
        return {
            "workload_key": task.workload_key,
            "target": str(task.target),
            "hardware": list(found.hardware),
            "layout": found.layout,
        }

    def flop(self, task: Any) -> float:
        return count_flop(task.compute_dag)

    def open_log(self, path: Path, workload: Workload) -> AnsorPoolLog:
        return AnsorPoolLog(path, workload, self.has_records(path))

    def readings(self, result: Any) -> list[float]:
        return readings(result)

    def sources(self, workload: Workload, options: CollectOptions, seed: Sequence[int]) -> AnsorSources:
        return AnsorSources(workload.task, options, seed)


class AnsorPoolLog:
    """See `wing.PoolLog`."""

    def __init__(self, path: Path, workload: Workload, has_records: bool) -> None:
        self._path = path
        self.records: list[PoolRecord] = []
        keep_tasks(pool_tasks_path(path), [workload.task], [1.0], workload.label, resumed=has_records)
        if has_records:
            repair_log(path)
            self._read(workload.task)
        self.next_line = count_lines(path) + 1

    def append(self, candidate: Any, result: Any) -> PoolRecord:
        append_records(self._path, [candidate], [result])
        self.next_line += 1
        return self._record(candidate, result, self.next_line - 1)

    def complete(self) -> None:
        """Nothing else: a log is read wherever auto_scheduler is."""

    def _record(self, candidate: Any, result: Any, line: int) -> PoolRecord:
        return PoolRecord(candidate, result, tuple(readings(result)), int(result.error_no), line)

    def _read(self, task: Any) -> None:
        log = read_records(self._path)
        identities, own, strangers = TaskIdentities(), identity_of(task), list[int]()
        for inp, result, line in zip(log.inputs, log.results, log.lines, strict=True):
            if identities.of(inp.task) != own:
                strangers.append(line)
                continue
            try:
                state = task.compute_dag.infer_bound_from_state(inp.state)
            except Exception as error:
                logger.warning("%s: line %d is left out, its schedule cannot be rebuilt: %s", self._path, line, error)
                continue
            self.records.append(self._record(require_auto_scheduler().MeasureInput(task, state), result, line))
        if strangers:
            logger.warning(
                "%s: %d records are left out, they are of another task, target or hardware; the first is on line %d",
                self._path, len(strangers), strangers[0],
            )  # fmt: skip
