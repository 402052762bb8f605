"""Tuning with MetaSchedule, the time accounted for: what `tvm-gnn-cost tune` and `compare` run.

The search is MetaSchedule's own (`search`); this module asks it for batches, and around it

1. writes every measurement to the database at once, so that Ctrl-C, a kill or a full disk loses none;
2. splits wall-clock time into search, measure and train;
3. keeps a trace (latency of each trial, when it was measured), and tells an observer as it goes;
4. stops at the next safe point when asked to, or when its time is up;
5. leaves a task that has had its trials, or no better schedule for a long time.

`ms.tune_tir` is not used: its TaskScheduler holds a task's measurements back until its next turn, and can neither be
stopped nor told of any budget but the number of trials. A task that is in the list twice is tuned once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError, MeasurementError, WorkloadError
from tvm_gnn_cost.measuring.gain import makes_promises
from tvm_gnn_cost.measuring.measurer import Measurer
from tvm_gnn_cost.measuring.task_books import DistinctTasks, checked_weights
from tvm_gnn_cost.measuring.tuning_run import STOPPING, Stopped, TuningRun, unheard
from tvm_gnn_cost.meta_schedule.history import History
from tvm_gnn_cost.meta_schedule.search import TaskMemory, TaskSearch
from tvm_gnn_cost.meta_schedule.task_order import GradientOrder
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.timed_model import timed_model
from tvm_gnn_cost.meta_schedule.toolchain import Candidate, Measurement, TIRToolchain
from tvm_gnn_cost.meta_schedule.written_database import WrittenDatabase, has_records, known_records
from tvm_gnn_cost.records.tuning_run import SEARCH_FAILS, TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.locks import only_writer
from tvm_gnn_cost.system.progress import Observer, unobserved

logger = logging.getLogger("tvm_gnn_cost")

POPULATION = 512
"""MetaSchedule's own."""


def tune_modules(
    tasks: Sequence[TuningTask],
    model: Any,
    database: str | os.PathLike[str],
    options: TuneOptions | None = None,
    *,
    weights: Sequence[float] | None = None,
    resume: bool = False,
    seed: int = 0,
    population: int = POPULATION,
    observer: Observer[TuneProgress] = unobserved,
    on_round: Callable[[TuneResult], object] = unheard,
    source: str = "",
) -> TuneResult:
    """Tune tasks that share a cost model, writing every measurement to a database.

    In the main thread Ctrl-C stops the run at the next safe point, and the result says `interrupted`; a second one also
    cuts the model's training or scoring short. What was measured is in the database.

    Args:
        tasks: what to tune.
        model: a PyCostModel, such as `GNNCostModel`, or MetaSchedule's own.
        database: the folder of a JSONDatabase; one that already holds something needs `resume=True`.
        options: the budget and how to measure.
        weights: how often each task occurs; None is once each.
        resume: go on from the database: the model learns it, and what it measured of these tasks is not measured again.
            Records of other tasks count for nothing else: those of another target are among them.
        seed: of the search.
        population: schedules in each generation of the search.
        observer: told of every change of phase and every measurement.
        on_round: told what the run did until then, each time that the model has learnt a round.
        source: what the tasks come from, such as a network: kept in the database.

    Raises InvalidArgumentError for arguments that do not fit, WorkloadError for a task that MetaSchedule cannot
    schedule, RecordError for a database that cannot be read or written, BusyError where another process writes to it,
    MeasurementError where
    `options.measure.tracker` has no server that fits, or none that answers any more.
    """
    options = options or TuneOptions()
    tasks = list(tasks)
    weights = checked_weights(len(tasks), weights)
    folder = Path(database)
    with only_writer(folder):
        is_there = has_records(folder)
        if is_there and not resume:
            raise InvalidArgumentError(f"database {folder} already holds records: resume from it, or name another")

        interrupts = Interrupts(lambda: logger.warning(STOPPING))
        distinct = DistinctTasks.of([task.key for task in tasks])
        flops = [task.flop for task in tasks]
        run = TuningRun(distinct, weights, flops, options, str(folder), observer, interrupts, on_round)
        apart = [tasks[i] for i in distinct.first]
        history = None
        if is_there:
            history = known_records(folder, apart)
            history.report(folder)
            run.count_known(history.latencies(), history.num_others)
        if not run.remaining():
            return run.result()
        targets = [task.target for task in apart]
        with interrupts, interrupts.held(), Measurer(options.measure, targets, TIRToolchain()) as measurer:
            try:
                written = WrittenDatabase(folder, apart, run.weights, source)
                tuning = _Tuning(run, apart, model, written, options, measurer)
                tuning.prepare(history, seed, population)
                tuning.run()
            except Stopped:
                pass
            except MeasurementError as error:
                raise MeasurementError(f"{error}. What was measured is in {folder}; go on with `resume`") from error
            return run.result()


class _Tuning:
    """The loop: a task, a batch of it, its measurements, a lesson of the model."""

    def __init__(
        self,
        run: TuningRun,
        tasks: list[TuningTask],
        model: Any,
        database: WrittenDatabase,
        options: TuneOptions,
        measurer: Measurer,
    ) -> None:
        self._book, self._tasks, self._options, self._measurer = run, tasks, options, measurer
        self._model, self._timed = model, timed_model(model, run)
        self._database = database
        self._order = GradientOrder(run.weights)
        self._goes_by_gain = makes_promises(model)
        self._searches: dict[int, TaskSearch] = {}  # not of tasks that are left from the beginning
        self._memories: list[TaskMemory] = []

    def prepare(self, history: History | None, seed: int, population: int) -> None:
        """Have the searches ready, and let the model learn what a database holds.

        A task that MetaSchedule cannot schedule is left. Raises WorkloadError where that is so of all of them.
        """
        options = self._options
        bounds = (options.trials, options.per_task_trials, options.early_stopping)
        batch = min(options.trials_per_round, *(bound for bound in bounds if bound is not None))
        for i, task in enumerate(self._tasks):
            self._book.check_stop()
            own = [] if history is None else history.own[i]
            self._memories.append(TaskMemory(task))
            for record in own:
                self._memories[i].add(Candidate(record.target, record.candidate), record.readings)
            known = [record.candidate.sch.mod for record in own]
            self._begin(i, known, _seed(seed, i), population, batch)
        if history is None:
            return
        history.teach(self._timed, {i: search.context for i, search in self._searches.items()})
        for i, latencies in enumerate(history.latencies()):
            best: float | None = None
            for start in range(0, len(latencies), options.trials_per_round):
                ran = [
                    latency for latency in latencies[start : start + options.trials_per_round] if latency is not None
                ]
                best = min([*ran, *([] if best is None else [best])], default=None)
                self._order.add_round(i, best)

    def _begin(self, task: int, known: list[Any], seed: int, population: int, batch: int) -> None:
        """Begin a task's search, or leave the task where MetaSchedule cannot schedule it, but can schedule another."""
        tasks, database = self._tasks, self._memories[task].database
        try:
            self._searches[task] = TaskSearch(
                tasks[task], self._timed, database, seed=seed, population=population, batch=batch, known=known
            )
        except WorkloadError as error:
            if task == len(tasks) - 1 and not self._searches:
                raise
            logger.warning("%s; the rest is tuned", error)
            self._book.leave(task, SEARCH_FAILS)

    def run(self) -> None:
        """Until the budget is used, or no task is left. Raises Stopped."""
        while alive := [i for i in range(len(self._tasks)) if self._book.allowance(i) > 0]:
            task = self._book.choose(alive) if self._goes_by_gain else self._order.choose(alive)
            self._book.select(task)
            self._round(task)
            self._order.add_round(task, self._book.best_s(task))

    def _round(self, task: int) -> None:
        search = self._searches[task]
        full = self._book.round_size(task) if self._goes_by_gain else self._options.trials_per_round
        budget = min(full, self._book.allowance(task))
        candidates = search.next_batch(budget)
        if not candidates:
            self._book.leave(task)
            return
        measurements = self._measure(task, candidates)
        results = [measurement.as_result() for measurement in measurements]
        search.measured(candidates, results)
        lesson = [
            i
            for i, measurement in enumerate(measurements)
            if measurement.was_built or learns_failed_builds(self._model)
        ]
        if lesson:
            self._timed.update(search.context, [candidates[i] for i in lesson], [results[i] for i in lesson])
        self._book.begin("search")

    def _measure(self, task: int, candidates: list[Any]) -> list[Measurement]:
        self._book.begin("measure")
        self._book.check_stop()
        target = self._tasks[task].target
        jobs = [Candidate(target, candidate) for candidate in candidates]
        workload = self._database.workload(self._tasks[task])
        measurements: dict[int, Measurement] = {}

        def keep(i: int, measurement: Measurement) -> None:
            measurements[i] = measurement
            self._memories[task].add(jobs[i], measurement.readings)
            self._book.measured(
                [measurement.outcome],
                lambda kept: self._database.write(workload, jobs[i], measurement) if kept else None,
            )

        self._measurer.measure(jobs, self._measurer.build(jobs), keep, self._book.check_stop)
        return [measurements[i] for i in range(len(candidates))]


def learns_failed_builds(model: Any) -> bool:
    """Whether a model is told of candidates that could not be built: MetaSchedule tells its own nothing of them."""
    return bool(getattr(model, "learns_failed_builds", False))


def _seed(seed: int, task: int) -> int:
    """Of a task's search: MetaSchedule takes 1 to 2**31 - 2."""
    return (seed * 1_000_003 + task * 7919) % (2**31 - 2) + 1
