"""What a log says of some tasks: their own records, task by task, and those of others.

auto_scheduler goes by the workload and the kind of target alone, or by the string of the first task's target: what was
measured on another CPU, or under other limits, would count as measured here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from tvm_gnn_cost.ansor.record_log import RecordLog
from tvm_gnn_cost.ansor.task_identity import TaskIdentities
from tvm_gnn_cost.measuring.tuning_run import DistinctTasks
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

logger = logging.getLogger("tvm_gnn_cost")

_OTHERS = (
    "%s: %d records are of these tasks, %d of others (another workload, target, hardware or layout option); what those "
    "measured does not count as measured here"
)


def distinct_tasks(tasks: Sequence[Any]) -> DistinctTasks:
    """Which tasks of a list of SearchTasks are one task."""
    identities = TaskIdentities()
    return DistinctTasks.of([identities.of(task).key for task in tasks])


@dataclass(frozen=True)
class History:
    """The records of a log, sorted by whose they are.

    Attributes:
        inputs, results: of each task, its MeasureInputs (with that task, states as in the log) and MeasureResults.
        other_inputs, other_results: those of other tasks on the same kind of target.
        others: how many records are of other tasks, whatever their target.
    """

    inputs: list[list[Any]]
    results: list[list[Any]]
    other_inputs: list[Any]
    other_results: list[Any]
    others: int

    @staticmethod
    def of(tasks: Sequence[Any], log: RecordLog) -> History:
        """Sorts the records of a log; the tasks are distinct."""
        auto_scheduler = require_auto_scheduler()
        identities = TaskIdentities()
        places = {identities.of(task).key: i for i, task in enumerate(tasks)}
        kinds = {task.target.kind.name for task in tasks}
        inputs: list[list[Any]] = [[] for _ in tasks]
        results: list[list[Any]] = [[] for _ in tasks]
        other_inputs: list[Any] = []
        other_results: list[Any] = []
        others = 0
        for inp, result in zip(log.inputs, log.results, strict=True):
            place = places.get(identities.of(inp.task).key)
            if place is not None:
                # TVM finds them by the spelling of the workload key, so they get that of the task
                inputs[place].append(auto_scheduler.MeasureInput(tasks[place], inp.state))
                results[place].append(result)
                continue
            others += 1
            if inp.task.target.kind.name in kinds:
                other_inputs.append(inp)
                other_results.append(result)
        return History(inputs, results, other_inputs, other_results, others)

    def __len__(self) -> int:
        """How many records are the tasks' own."""
        return sum(map(len, self.inputs))

    def report(self, path: str | PathLike[str]) -> None:
        """Says in the log how many records are of other tasks; a warning where none is of these."""
        if self.others:
            level = logging.INFO if len(self) else logging.WARNING
            logger.log(level, _OTHERS, os.fspath(path), len(self), self.others)

    def teach(self, model: Any) -> None:
        """The model learns all of it: first the tasks' own records, then those of others as other tasks.

        First: the shipped network that a model starts from is that for the first task it meets.
        """
        inputs = [inp for own in self.inputs for inp in own] + self.other_inputs
        results = [result for own in self.results for result in own] + self.other_results
        if inputs:
            model.update(inputs, results)
