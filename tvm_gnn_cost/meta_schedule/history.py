"""What a database says of some tasks: their own records, task by task, and those of others."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.meta_schedule.tasks import TuningTask

if TYPE_CHECKING:
    from tvm_gnn_cost.meta_schedule.database import DatabaseRecords, RecordedCandidate

logger = logging.getLogger("tvm_gnn_cost")

_OTHERS = (
    "%s: %d records are of these tasks, %d of others (another workload or target); what those measured does not count "
    "as measured here"
)


@dataclass(frozen=True)
class History:
    """The records of a database, sorted by whose they are.

    Attributes:
        own: of each task.
        others: those of each other task on the same kind of target.
        num_others: how many records are of other tasks, whatever their target.
    """

    own: list[list[RecordedCandidate]]
    others: list[list[RecordedCandidate]]
    num_others: int

    @staticmethod
    def of(tasks: Sequence[TuningTask], found: DatabaseRecords) -> History:
        """Sorts the records; the tasks are distinct."""
        places = {task.key: i for i, task in enumerate(tasks)}
        kinds = {task.target.kind.name for task in tasks}
        keys: dict[tuple[int, str], str] = {}
        own: list[list[RecordedCandidate]] = [[] for _ in tasks]
        others: dict[str, list[RecordedCandidate]] = {}
        num_others = 0
        for record in found.records:
            of_line = (record.workload.line, str(record.target))
            if of_line not in keys:
                keys[of_line] = make_source(record.workload.module, record.target).key
            place = places.get(keys[of_line])
            if place is not None:
                own[place].append(record)
                continue
            num_others += 1
            if record.target.kind.name in kinds:
                others.setdefault(keys[of_line], []).append(record)
        return History(own, list(others.values()), num_others)

    def __len__(self) -> int:
        """How many records are the tasks' own."""
        return sum(map(len, self.own))

    def latencies(self) -> list[list[float | None]]:
        """Of each task's own records in seconds; None for a failure."""
        return [[r.latency if math.isfinite(r.latency) else None for r in records] for records in self.own]

    def report(self, path: str | PathLike[str]) -> None:
        """Says in the log how many records are of other tasks; a warning where none is of these."""
        if self.num_others:
            level = logging.INFO if len(self) else logging.WARNING
            logger.log(level, _OTHERS, os.fspath(path), len(self), self.num_others)

    def teach(self, model: Any, contexts: Mapping[int, Any]) -> None:
        """The model learns all of it, the tasks' own records first, in those TuneContexts of tasks that there are."""
        for i, records in enumerate([*self.own, *self.others]):
            if records:
                model.update(
                    contexts.get(i) or ms.TuneContext(mod=records[0].workload.module, target=records[0].target),
                    [record.candidate for record in records],
                    [_result(record) for record in records],
                )


def _result(record: RecordedCandidate) -> Any:
    readings = list(record.readings)
    return ms.runner.RunnerResult(readings or None, None if readings else "it failed when it was measured")
