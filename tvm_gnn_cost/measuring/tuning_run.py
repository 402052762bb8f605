"""The book of one tuning run: its clock, its trials, and when it, or one of its tasks, has had enough.

Both schedulers' runs keep it; what a task, a log and a measurement are is theirs.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm_gnn_cost.records.tuning_run import (
    ALL_FAIL,
    EARLY_STOPPING,
    NOTHING_LEFT,
    PER_TASK_TRIALS,
    PhaseTimes,
    TaskProgress,
    Trial,
    TuneOptions,
    TuneProgress,
    TuneResult,
    weighted_latency,
)
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import Observer

_FAILURES = 64
"""A task none of whose schedules has run is left after so many trials, or its share of the budget if that is less."""


@dataclass(frozen=True)
class Outcome:
    """What became of one measured schedule.

    Attributes:
        latency_s: the best of its readings in seconds; None where it failed.
        error_no: `MeasureErrorNo` of auto_scheduler; 0 is success.
        timestamp: when, as `time.time()` has it.
    """

    latency_s: float | None
    error_no: int
    timestamp: float


@dataclass(frozen=True)
class DistinctTasks:
    """Tasks, each once: in a list one may be there several times.

    Attributes:
        first: of each distinct task, its first position in the list.
        place: of each position in the list, which of the distinct tasks is there.
    """

    first: tuple[int, ...]
    place: tuple[int, ...]

    @staticmethod
    def of(keys: Sequence[Hashable]) -> DistinctTasks:
        """From what tells the tasks of a list apart."""
        distinct = list(dict.fromkeys(keys))
        return DistinctTasks(tuple(keys.index(key) for key in distinct), tuple(distinct.index(key) for key in keys))

    def __len__(self) -> int:
        return len(self.first)


class Stopped(Exception):
    """Raised inside TVM's callbacks to leave a run at a safe point. TVM's FFI drops what is no `Exception`."""


@dataclass
class TaskBook:
    """Of one task: its trials, those of a resumed log included, and what they brought."""

    trials: int = 0
    since_best: int = 0
    best_s: float | None = None
    left: str = ""
    measured: int = 0  # in this run
    failed: int = 0
    expected_s: float | None = None

    def progress(self) -> TaskProgress:
        return TaskProgress(self.measured, self.failed, self.best_s, self.expected_s)

    def expect(self, scores: Sequence[float]) -> None:
        """Take in the model's scores: throughput against the best that was measured."""
        highest = max(scores, default=0.0)
        if self.best_s is not None and 0.0 < highest < math.inf:
            self.expected_s = min(self.best_s / highest, self.expected_s or math.inf)

    def count(self, latency: float | None) -> None:
        self.trials += 1
        self.since_best += 1
        if latency is not None and (self.best_s is None or latency < self.best_s):
            self.best_s, self.since_best = latency, 0


class TuningRun:
    """The state of one run. Tasks go by their number among the distinct ones; what it gives out is in the user's list.

    Args:
        distinct: which tasks of the user's list are one.
        weights: of each in the list.
        flops: of each in the list, floating-point operations.
        options: the budget.
        log_file: where measurements go.
        observer: told of every change of phase and every measured batch.
        interrupts: says when to stop.
    """

    def __init__(
        self,
        distinct: DistinctTasks,
        weights: Sequence[float],
        flops: Sequence[float],
        options: TuneOptions,
        log_file: str,
        observer: Observer[TuneProgress],
        interrupts: Interrupts,
    ) -> None:
        self.distinct = distinct
        self.weights = [0.0] * len(distinct)
        for place, weight in zip(distinct.place, weights, strict=True):
            self.weights[place] += weight
        self.trials: list[Trial] = []
        self.resumed = 0
        """Trials that were in the log."""
        self.other_records = 0
        self.out_of_time = False
        self._given_weights, self._flops, self._log_file = tuple(weights), tuple(flops), log_file
        self._books = [TaskBook() for _ in distinct.first]
        self._interrupts, self._options, self._observer = interrupts, options, observer
        self._task = 0
        self._phase = "search"
        self._seconds = {"search": 0.0, "measure": 0.0, "train": 0.0}
        self._score_s = 0.0
        self._failed = 0
        self._start = self._mark = self._model_end = time.perf_counter()
        self._start_wall = time.time()

    # -- the budget ------------------------------------------------------------------------------------------------

    def count_known(self, latencies: Sequence[Sequence[float | None]], others: int = 0) -> None:
        """Count what a log holds: each distinct task's latencies in seconds (None: failed), and others' records."""
        for book, known in zip(self._books, latencies, strict=True):
            for latency in known:
                book.count(latency)
        self.resumed += sum(map(len, latencies))
        self.other_records += others

    def remaining(self) -> int:
        """Trials left in the budget."""
        return max(self._options.trials - self.resumed - len(self.trials), 0)

    def allowance(self, task: int) -> int:
        """Trials that the task may have now; 0 where the budget is used, or the task is to be left."""
        book, options = self._books[task], self._options
        if not book.left:
            if book.best_s is None and book.trials >= self._failures_allowed():
                book.left = ALL_FAIL
            elif options.per_task_trials is not None and book.trials >= options.per_task_trials:
                book.left = PER_TASK_TRIALS
            elif options.early_stopping is not None and book.since_best >= options.early_stopping:
                book.left = EARLY_STOPPING
        if book.left:
            return 0
        bounds = [self.remaining()]
        if options.per_task_trials is not None:
            bounds.append(options.per_task_trials - book.trials)
        if options.early_stopping is not None:
            bounds.append(options.early_stopping - book.since_best)
        return min(bounds)

    def best_s(self, task: int) -> float | None:
        """The task's best latency in seconds; None where nothing has run."""
        return self._books[task].best_s

    def leave(self, task: int) -> None:
        """The search has found no schedule of the task that is not measured yet."""
        self._books[task].left = NOTHING_LEFT

    def _failures_allowed(self) -> int:
        options = self._options
        return min(_FAILURES, max(options.trials_per_round, options.trials // len(self._books)))

    # -- what happens ----------------------------------------------------------------------------------------------

    def begin(self, phase: str, at: float | None = None) -> None:
        """Close the present phase and open another, now or `at` a time of `perf_counter`."""
        now = time.perf_counter() if at is None else at
        self._seconds[self._phase] += now - self._mark
        self._mark = now
        self._phase = phase
        self._notify()

    def select(self, task: int) -> None:
        """A round of one task begins."""
        self._task = task
        self._books[task].expected_s = None
        self.check_stop()
        self.begin("search")

    def check_stop(self) -> None:
        """A safe point: raises Stopped after Ctrl-C, and where the time is up before the trials are."""
        if self.is_stopping():
            raise Stopped

    def is_stopping(self) -> bool:
        """Whether the next safe point ends the run."""
        minutes = self._options.minutes
        if self._interrupts.requested:
            return True
        if minutes is not None and self.remaining() and time.perf_counter() - self._start >= 60 * minutes:
            self.out_of_time = True
        return self.out_of_time

    @contextlib.contextmanager
    def in_model(self, phase: str) -> Iterator[None]:
        """Around a call of the model, the only place that a second Ctrl-C may cut short."""
        self.check_stop()
        if self._phase != phase:
            self.begin(phase)
        begin = time.perf_counter()
        try:
            with self._interrupts.yielding():
                yield
        except KeyboardInterrupt:
            raise Stopped from None
        self._model_end = time.perf_counter()
        if phase == "search":
            self._score_s += self._model_end - begin
        self.check_stop()

    def expect(self, scores: Sequence[float]) -> None:
        """What a cost model that promises what its scores mean says of schedules of the task at hand."""
        self._books[self._task].expect(scores)

    def measured(self, outcomes: Sequence[Outcome], write: Callable[[Sequence[int]], None]) -> None:
        """Take in a measured batch of the task that was selected.

        What failed while stopping is dropped: Ctrl-C also reached the worker.

        Args:
            outcomes: of the batch.
            write: `write(kept)` puts the measurements at those places of the batch into the log, at once.
        """
        kept = [i for i, o in enumerate(outcomes) if not (self._interrupts.requested and o.error_no)]
        if self._phase == "search":  # the candidates were chosen when the model had scored the last of them
            self.begin("measure", at=max(self._model_end, self._mark))
        write(kept)
        elapsed = time.perf_counter() - self._start
        for outcome in (outcomes[i] for i in kept):
            latency = outcome.latency_s
            book = self._books[self._task]
            book.count(latency)
            book.measured += 1
            book.failed += latency is None
            self._failed += latency is None
            at = min(max(outcome.timestamp - self._start_wall, 0.0), elapsed)
            self.trials.append(Trial(self.distinct.first[self._task], latency, at, outcome.error_no))
        self.begin("measure")

    # -- what it comes to ------------------------------------------------------------------------------------------

    def result(self) -> TuneResult:
        """What the run did, up to now."""
        self.begin(self._phase)
        stopped = self._interrupts.requested or self.out_of_time
        left = [book.left for book in self._books]
        return TuneResult(
            trials=tuple(self.trials),
            times=PhaseTimes(
                self._seconds["search"],
                self._seconds["measure"],
                self._seconds["train"],
                self._score_s,
                time.perf_counter() - self._start,
            ),
            best_latency_s=self._in_list([book.best_s for book in self._books]),
            weights=self._given_weights,
            flops=self._flops,
            resumed=self.resumed,
            interrupted=self._interrupts.requested,
            exhausted=NOTHING_LEFT in left and self.remaining() > 0 and not stopped,
            log_file=self._log_file,
            out_of_time=self.out_of_time,
            left=self._in_list(left),
            other_records=self.other_records,
        )

    def _in_list(self, of_distinct: Sequence[Any]) -> tuple[Any, ...]:
        """What is known of the distinct tasks, for each in the user's list."""
        return tuple(of_distinct[place] for place in self.distinct.place)

    def _notify(self) -> None:
        self._observer(
            TuneProgress(
                phase=self._phase,
                done=self.resumed + len(self.trials),
                total=self._options.trials,
                failed=self._failed,
                latency_s=weighted_latency([book.best_s for book in self._books], self.weights),
                elapsed_s=time.perf_counter() - self._start,
                task=self.distinct.first[self._task],
                tasks=self._in_progress(),
            )
        )

    def _in_progress(self) -> tuple[TaskProgress, ...]:
        """Where each in the user's list stands; the trials of one that is there twice are its first place's."""
        each = self._in_list([book.progress() for book in self._books])
        first = set(self.distinct.first)
        return tuple(task if i in first else replace(task, trials=0, failed=0) for i, task in enumerate(each))
