"""Tasks kept beside a log, so that it can be read without what made them: a network, or a user's operators."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.records.saved_tasks import SavedTask, load_saved_tasks, save_tasks
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm
from tvm_gnn_cost.workloads import PREFIX
from tvm_gnn_cost.workloads.registry import describe, registry, workload_functions

if TYPE_CHECKING:
    from tvm.auto_scheduler import ComputeDAG, SearchTask

logger = logging.getLogger("tvm_gnn_cost")


def keep_tasks(
    path: Path, tasks: Sequence[SearchTask], weights: Sequence[float], source: str = "", *, resumed: bool
) -> None:
    """Write what tasks compute to a file, see `saved_tasks`; the package's named workloads need none.

    Args:
        path: the file.
        tasks, weights: how often each occurs.
        source: the network or the command that they came from.
        resumed: keep what the file holds of earlier tasks.

    A task that TVM cannot write is reported in the log. Raises RecordError where the file cannot be written, or holds
    another computation under the key of one of the tasks.
    """
    saved = []
    for task, weight in zip(tasks, weights, strict=True):
        if not _is_named(task.workload_key):
            try:
                saved.append(_saved(task, weight, source))
            except Exception as error:  # whatever TVM has no JSON for
                logger.warning(
                    "%s cannot be kept beside its log, which will be read only where it is registered: %s",
                    task.desc or task.workload_key,
                    last_line(error),
                )
    save_tasks(path, saved, keep=resumed)


def register_saved_tasks(log: str | os.PathLike[str]) -> dict[str, str]:
    """Makes the tasks kept beside a log known to auto_scheduler, where they are not.

    Returns what all of them compute (`computation_of`), by workload key. One that cannot be rebuilt is
    reported in the log.
    """
    computations: dict[str, str] = {}
    for task in load_saved_tasks(log):
        computations[task.workload_key] = task.computation
        if not is_registered(task.workload_key):
            _register(task, log)
    return computations


def is_registered(workload_key: str) -> bool:
    """Whether auto_scheduler can say what the workload computes."""
    return workload_key in registry() or json.loads(workload_key)[0] in registry()


def computation_of(dag: ComputeDAG) -> str:
    """auto_scheduler's hash of what a DAG computes, with the shapes of its inputs and outputs."""
    return str(dag.workload_key())


def _saved(task: SearchTask, weight: float, source: str) -> SavedTask:
    dag = task.compute_dag
    return SavedTask(
        workload_key=str(task.workload_key),
        name=str(task.desc) or describe(task.workload_key),
        weight=float(weight),
        flop=count_flop(dag),
        target=str(task.target),
        source=source,
        computation=computation_of(dag),
        tensors=require_tvm().ir.save_json(list(dag.tensors)),
    )


def _register(task: SavedTask, log: str | os.PathLike[str]) -> None:
    auto_scheduler = require_auto_scheduler()
    try:
        tensors = list(require_tvm().ir.load_json(task.tensors))
        computation = computation_of(auto_scheduler.ComputeDAG(tensors))
    except Exception as error:  # whatever TVM trips over
        logger.warning("%s: the task %s cannot be rebuilt: %s", log, task.name, last_line(error))
        return
    if computation != task.computation:
        logger.warning("%s: the task %s is not rebuilt as it was: made with another TVM?", log, task.name)
        return
    auto_scheduler.workload_registry.register_workload_tensors(task.workload_key, tensors)


def _is_named(workload_key: str) -> bool:
    """Whether the package itself knows the workload, wherever the log is read."""
    name = str(json.loads(workload_key)[0])
    return name.startswith(PREFIX) and name.removeprefix(PREFIX) in workload_functions()
