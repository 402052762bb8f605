"""The best schedules that a database knows of some tasks, as a record log and as a library: nothing is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.relay_records import best_records, compile_with_records
from tvm_gnn_cost.ansor.schedules.database import KnownSchedule, ScheduleDatabase
from tvm_gnn_cost.ansor.task_store import keep_tasks
from tvm_gnn_cost.errors import BuildError, RecordError, last_line
from tvm_gnn_cost.networks import Network, without_downloads, without_remarks
from tvm_gnn_cost.records.saved_tasks import tasks_path
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.system.find_tvm import require_tvm

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.target import Target


@dataclass(frozen=True)
class KnownTask:
    """What a database knows of a task.

    Attributes:
        best: its fastest schedule; None where it has none for the task's target.
        similar: how many tasks of the same structure it has schedules of, which a tuning run would begin from.
    """

    best: KnownSchedule | None
    similar: int


def known_tasks(database: ScheduleDatabase, tasks: Sequence[SearchTask]) -> list[KnownTask]:
    """What the database knows of each task."""
    return [
        KnownTask(
            next(iter(database.best(task)), None),
            len({known.task.key for known in database.similar(task, each=1)}),
        )
        for task in tasks
    ]


def write_best(
    path: str | os.PathLike[str], known: Sequence[KnownTask], tasks: Sequence[SearchTask], weights: Sequence[float]
) -> None:
    """Write the best record of each task that has one to a record log, and what the tasks compute beside it.

    Raises RecordError where no task has one, or the log cannot be written.
    """
    best = [one.best.record for one in known if one.best is not None]
    if not best:
        raise RecordError(
            f"none of {len(tasks)} tasks has a schedule for its target in the database: {path} not written"
        )
    log = Path(path)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(log, "".join(line + "\n" for line in best).encode())
    except OSError as error:
        raise RecordError(f"{log} cannot be written: {error.strerror or error}") from error
    keep_tasks(tasks_path(log), tasks, weights, resumed=False)


def build_operator(task: SearchTask, log: str | os.PathLike[str]) -> Any:
    """A module of one operator, by its best record in a log.

    Where the task's weights are packed (`SearchTask.layout_rewrite_option`), they are arguments in their own layout
    all the same. Raises BuildError.
    """
    from tvm.auto_scheduler import LayoutRewriteOption

    tvm = require_tvm()
    try:
        schedule, arguments = task.apply_best(os.fspath(log), layout_rewrite_option=LayoutRewriteOption.NO_REWRITE)
        return tvm.build(schedule, arguments, task.target)
    except Exception as error:  # TVM's, of many kinds
        raise BuildError(f"{task.desc or task.workload_key} cannot be compiled: {last_line(error)}") from error


def build_known(network: Network, log: str | os.PathLike[str], target: Target, tasks: Sequence[SearchTask]) -> Any:
    """A network's library, by the records of a log; what has none is compiled untuned, and nothing is timed.

    `build.build_network` also checks the outputs, and leaves out what is slower than untuned. Raises BuildError.
    """
    with without_downloads(), without_remarks():
        records = best_records(log, [str(task.workload_key) for task in tasks], target, network.name)
        try:
            return compile_with_records(network.mod, network.params, target, records).library
        except Exception as error:  # Relay raises its own errors, of many kinds
            raise BuildError(f"{network.name} cannot be compiled for {target}: {last_line(error)}") from error
