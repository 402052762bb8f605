"""What the workloads of a database are called: the database knows modules alone.

The name is what tells that both schedulers computed the same, so that a workload that is held out for one of them is
held out for the other as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Protocol

from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.records.databases import DatabaseFiles
from tvm_gnn_cost.records.saved_tasks import SavedTask, read_saved_tasks, save_tasks


class NamedTask(Protocol):
    """A task whose name is known."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def mod(self) -> Any:
        """Its IRModule, as the database keeps it."""

    @property
    def target(self) -> Any:
        """TVM's Target."""

    @property
    def workload_key(self) -> str:
        """What is computed: of a named workload the same as auto_scheduler's."""

    @property
    def flop(self) -> float:
        """Floating-point operations."""


def keep_workloads(
    database: str | os.PathLike[str], tasks: Sequence[NamedTask], weights: Sequence[float], source: str
) -> None:
    """Writes beside a database what its workloads are called; those that stand there stay.

    Args:
        database: a folder, which may be new, or a table of records.
        tasks: what is tuned.
        weights: how often each occurs.
        source: the network or the command that they come from.

    Raises RecordError where it cannot be written, or for a name that stands there for something else.
    """
    saved = [
        SavedTask(
            task.workload_key, task.name, float(weight), task.flop, str(task.target), source, module_hash(task.mod), ""
        )
        for task, weight in zip(tasks, weights, strict=True)
    ]  # fmt: skip
    save_tasks(DatabaseFiles.of(database).names, saved, keep=True)


class WorkloadNames:
    """The names that are kept for a database."""

    def __init__(self, database: str | os.PathLike[str]) -> None:
        self._by_hash = {task.computation: task for task in read_saved_tasks(DatabaseFiles.of(database).names)}

    def of(self, module: Any) -> SavedTask | None:
        """What is known of a module; None where it has no name."""
        return self._by_hash.get(module_hash(module))


def module_hash(module: Any) -> str:
    """TVM's structural hash of a module, as text; another release has another one."""
    return str(NAMES.structural_hash(module))


def unnamed_workload(module: Any) -> str:
    """The workload of a module that has no name."""
    return json.dumps([f"tir {module_hash(module)}"])
