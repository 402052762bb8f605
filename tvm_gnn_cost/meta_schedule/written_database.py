"""A database that measurements are written to, one by one, as MetaSchedule's AddToDatabase does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError, RecordError, last_line
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.database import read_database
from tvm_gnn_cost.meta_schedule.database_repair import repair_database
from tvm_gnn_cost.meta_schedule.history import History
from tvm_gnn_cost.meta_schedule.search import make_record
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.toolchain import Candidate, Measurement
from tvm_gnn_cost.meta_schedule.workload_names import keep_workloads
from tvm_gnn_cost.records.databases import DatabaseFiles


class WrittenDatabase:
    """The JSONDatabase of a folder, with what its workloads are called beside it.

    Args:
        folder: where it is, or will be; what it holds has been read by `known_records`, which also repairs it.
        tasks: what will be written.
        weights: how often each occurs.
        source: what the tasks come from.

    Raises RecordError where it cannot be opened.
    """

    def __init__(
        self, folder: str | os.PathLike[str], tasks: Sequence[TuningTask], weights: Sequence[float], source: str
    ) -> None:
        files = DatabaseFiles.of(folder)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.database: Any = ms.database.JSONDatabase(str(files.workloads), str(files.records))
        except Exception as error:  # OSError, or whatever TVM raises
            raise RecordError(f"{os.fspath(folder)} cannot be opened as a database: {last_line(error)}") from error
        keep_workloads(folder, tasks, weights, source)

    def workload(self, task: TuningTask) -> Any:
        """MetaSchedule's Workload of a task, which is in the database from now on. Raises RecordError."""
        try:
            return self.database.commit_workload(task.mod)
        except Exception as error:
            raise RecordError(f"{self.database.path_workload} cannot be written: {last_line(error)}") from error

    def write(self, workload: Any, candidate: Candidate, measurement: Measurement) -> None:
        """Append a measurement. Raises RecordError where it cannot be written."""
        try:
            self.database.commit_tuning_record(make_record(candidate, workload, measurement.readings))
        except Exception as error:
            raise RecordError(f"{self.database.path_tuning_record} cannot be written: {last_line(error)}") from error


def has_records(folder: Path) -> bool:
    """Whether a database is there, and not empty. Raises InvalidArgumentError for a file, which is none."""
    if folder.exists() and not folder.is_dir():
        raise InvalidArgumentError(f"{folder} is a file; a MetaSchedule database is a folder")
    records = DatabaseFiles.of(folder).records
    return records.exists() and records.stat().st_size > 0


def known_records(folder: Path, tasks: Sequence[TuningTask]) -> History:
    """What a database holds of these tasks, which are distinct, after it was made fit to go on with.

    Raises RecordError for one that cannot be read or written.
    """
    repair_database(folder)
    return History.of(tasks, read_database(folder))
