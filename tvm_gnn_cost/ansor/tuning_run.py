"""The book of a tuning run of auto_scheduler's: of SearchTasks, with a record log."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.history import History, distinct_tasks
from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.record_log import append_records
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.ordering import most_helpful_first
from tvm_gnn_cost.ansor.schedules.seeding import SEEDS
from tvm_gnn_cost.ansor.schedules.structure import structure_of
from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.measuring.task_books import Outcome
from tvm_gnn_cost.measuring.tuning_run import TuningRun, unheard
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import Observer

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask


class AnsorRun(TuningRun):
    """The state of one run.

    Args:
        tasks: the user's list.
        weights: of each in the list.
        options: the budget.
        log: where measurements go.
        observer: told of every change of phase and every measured batch.
        interrupts: says when to stop.
        database: what measurements are added to, besides the log; tasks begin from each other's.
        on_round: see `TuningRun`.

    Attributes:
        tasks: the distinct ones.
        history: what a log holds that the run goes on from.
    """

    def __init__(
        self,
        tasks: Sequence[SearchTask],
        weights: Sequence[float],
        options: TuneOptions,
        log: Path,
        observer: Observer[TuneProgress],
        interrupts: Interrupts,
        database: ScheduleDatabase | None = None,
        on_round: Callable[[TuneResult], object] = unheard,
    ) -> None:
        flops = [count_flop(task.compute_dag) for task in tasks]
        super().__init__(distinct_tasks(tasks), weights, flops, options, str(log), observer, interrupts, on_round)
        self.tasks = [tasks[i] for i in self.distinct.first]
        self.history: History | None = None
        self._log, self._database = log, database
        if database is not None:
            known = list(map(database.nearest, self.tasks))
            self.beginning = most_helpful_first(list(map(structure_of, self.tasks)), self.importance, known)

    def _first_round_size(self, task: int) -> int:
        """As any run's, but a task that a database helps begins with what that knows alone: soon the whole network is
        as fast as is known, and searches go where most is left."""
        size = super()._first_round_size(task)
        is_helped = self._database is not None and math.isfinite(self._database.nearest(self.tasks[task]))
        return min(size, SEEDS) if is_helped else size

    def preload(self, history: History) -> None:
        """Count the measurements of these tasks that a log holds."""
        self.history = history
        self.count_known([list(map(measured_latency, results)) for results in history.results], history.others)

    def take(self, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        """Take in a measured batch of the task that was selected; a safe point."""

        def write(kept: Sequence[int]) -> None:
            append_records(self._log, [inputs[i] for i in kept], [results[i] for i in kept])
            if self._database is not None:
                self._database.add([inputs[i] for i in kept], [results[i] for i in kept])

        self.measured([Outcome(measured_latency(r), int(r.error_no), float(r.timestamp)) for r in results], write)
        self.check_stop()
