"""The book of one tuning run: its clock, its trials, and when it, or one of its tasks, has had enough.

Both schedulers' runs keep it; what a task, a log and a measurement are is theirs.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tvm_gnn_cost.measuring.task_books import DistinctTasks, Outcome, TaskBook
from tvm_gnn_cost.records.tuning_run import (
    ALL_FAIL,
    EARLY_STOPPING,
    LITTLE_LEFT,
    NOTHING_LEFT,
    PER_TASK_TRIALS,
    Forecast,
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

STOPPING = "stopping when what is being measured is done; what is measured is kept"
"""What a run says when it is first told to stop."""

_FAILURES = 64
"""A task none of whose schedules has run is left after so many trials, or its share of the budget if that is less."""

_ROUNDS = 3
"""Of a task, before what is left of it is known well enough to stop: until then half of what came was expected."""

_FIRST_ROUND = 8
"""Trials of a task among many that has none, at least."""


class Stopped(Exception):
    """Raised inside TVM's callbacks to leave a run at a safe point. TVM's FFI drops what is no `Exception`."""


def _expected(book: TaskBook) -> float | None:
    """The share of its latency that a task is expected to save."""
    return book.gain.left


def _at_most(book: TaskBook) -> float | None:
    """The same, of all its time where it has not had `_ROUNDS`."""
    return 1.0 if book.rounds < _ROUNDS else book.gain.left


def unheard(result: TuneResult) -> None:
    """What is told of a run's rounds where nobody asks."""


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
        on_round: told what the run did until then when the model has learnt a round.
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
        on_round: Callable[[TuneResult], object] = unheard,
    ) -> None:
        self.distinct = distinct
        self.weights = [0.0] * len(distinct)
        for place, weight in zip(distinct.place, weights, strict=True):
            self.weights[place] += weight
        self.trials: list[Trial] = []
        self._forecasts: list[Forecast] = []
        self.resumed = 0
        """Trials that were in the log."""
        self.other_records = 0
        self.out_of_time = False
        self._given_weights, self._flops, self._log_file = tuple(weights), tuple(flops), log_file
        self._books = [TaskBook() for _ in distinct.first]
        self.importance = [weight * flops[i] for weight, i in zip(self.weights, distinct.first, strict=True)]
        """Of each distinct task before anything is measured: its floating-point operations, as often as it runs."""
        self.beginning = sorted(range(len(distinct)), key=lambda task: -self.importance[task])
        """The distinct tasks in the order of their first rounds."""
        self._interrupts, self._options, self._observer, self._on_round = interrupts, options, observer, on_round
        self._task = 0
        self.has_begun = False
        """Whether a round has begun; before that the model learns what a log holds."""
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
            book.learnt_best_s = book.best_s
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
            elif self._saves_little(_at_most):
                book.left = LITTLE_LEFT
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

    def gain_left(self) -> float | None:
        """The share of the total latency that further trials are expected to save; None where too little has run."""
        return self._share_saved(_expected)

    def _share_saved(self, share_of: Callable[[TaskBook], float | None]) -> float | None:
        """That share, where a task saves such a share of its own."""
        total = saved = 0.0
        for book, weight in zip(self._books, self.weights, strict=True):
            share = share_of(book)
            if book.best_s is None or share is None:
                if book.left:
                    continue
                return None
            total += weight * book.best_s
            saved += weight * book.best_s * (share if book.left in ("", LITTLE_LEFT) else 0.0)
        return saved / total if total else None

    def _saves_little(self, share_of: Callable[[TaskBook], float | None]) -> bool:
        """Whether the run is to end below a share, and that one is."""
        until = self._options.until
        if until is None:
            return False
        share = self._share_saved(share_of)
        return share is not None and share < until

    def choose(self, alive: Sequence[int]) -> int:
        """The task from which most is expected: the gain of its time in the whole, whatever the number of its rounds.

        Those of which nothing is known come first, in the order of `beginning`. Where little is expected of any, those
        come that must have further rounds before the run may end.
        """
        weight = self.weights

        def saving(task: int) -> float:
            book = self._books[task]
            return weight[task] * (book.best_s or 0.0) * (1.0 if book.gain.left is None else book.gain.left)

        fewest = min(self._books[task].trials for task in alive)
        new = [task for task in alive if self._books[task].best_s is None and self._books[task].trials == fewest]
        if new:
            return min(new, key=self.beginning.index)
        unsure = [task for task in alive if self._books[task].rounds < _ROUNDS]
        if unsure and self._saves_little(_expected):
            return max(unsure, key=lambda task: weight[task] * (self._books[task].best_s or math.inf))
        return max(alive, key=saving)

    def round_size(self, task: int) -> int:
        """Trials of the task's next round. One among many begins with short ones, as it may not be worth more: the
        first leaves as much of the budget to each other, and each further has as many as all before it."""
        full, before = self._options.trials_per_round, self._books[task].trials
        if len(self._books) == 1:
            return full
        return min(max(_FIRST_ROUND, before), full) if before else self._first_round_size(task)

    def _first_round_size(self, task: int) -> int:
        """The same of one among many that has had no trial."""
        full = self._options.trials_per_round
        return min(max(_FIRST_ROUND, full // 4), full, max(1, self._options.trials // len(self._books)))

    def best_s(self, task: int) -> float | None:
        """The task's best latency in seconds; None where nothing has run."""
        return self._books[task].best_s

    def leave(self, task: int, why: str = NOTHING_LEFT) -> None:
        """The task gets no more trials: by default as the search finds no schedule of it that is not measured yet."""
        self._books[task].left = why

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
        self._task, self.has_begun = task, True
        self._books[task].begun += 1
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

    def scored(self, candidates: Sequence[Any], scores: Sequence[float]) -> None:
        """What a cost model that promises what its scores mean says of candidates of the task at hand."""
        self._books[self._task].shortlist.add(candidates, scores)

    def learnt(
        self,
        measured: Sequence[Any],
        latencies: Sequence[float | None],
        key: Callable[[Any], Hashable],
        promised: Sequence[float] | None,
        rescore: Callable[[list[Any]], Sequence[float]] | None,
    ) -> None:
        """The model has learnt a round of the task at hand.

        Args:
            measured: the candidates.
            latencies: in seconds; None where one failed.
            key: what tells candidates apart.
            promised: the scores that the model gave them before it learnt them; None: it promises nothing of what its
                scores mean, or knew nothing yet.
            rescore: the scores that the model now gives; None: it promises nothing.
        """
        if not self.has_begun:
            return
        book = self._books[self._task]
        book.rounds = book.begun  # it may learn a round in parts
        best, before = min((s for s in latencies if s is not None), default=None), book.learnt_best_s
        book.learnt_best_s = min((s for s in (best, before) if s is not None), default=None)
        self._keep_scores(book, len(measured), promised)
        if rescore is not None:
            others = book.shortlist.rest([key(candidate) for candidate in measured], key)
            now = rescore(others) if others else ()
            book.gain.learnt(_best_score(promised or ()), best, before, _best_score(now))
        left = self.gain_left()
        if left is not None:
            self._forecasts.append(Forecast(len(self.trials), left))
        self._on_round(self.result())

    def _keep_scores(self, book: TaskBook, count: int, promised: Sequence[float] | None) -> None:
        """Has the trials of the task that were just learnt say what was promised of them."""
        places, book.unlearnt = book.unlearnt[:count], book.unlearnt[count:]
        for place, score in zip(places, promised or (), strict=False):
            if 0.0 < score < math.inf:
                self.trials[place] = replace(self.trials[place], score=float(score))

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
            book.unlearnt.append(len(self.trials))
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
            gain_left=self.gain_left(),
            forecasts=tuple(self._forecasts),
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
                gain_left=self.gain_left(),
            )
        )

    def _in_progress(self) -> tuple[TaskProgress, ...]:
        """Where each in the user's list stands; the trials of one that is there twice are its first place's."""
        each = self._in_list([book.progress() for book in self._books])
        first = set(self.distinct.first)
        return tuple(task if i in first else replace(task, trials=0, failed=0) for i, task in enumerate(each))


def _best_score(scores: Sequence[float]) -> float | None:
    return max((float(score) for score in scores if 0.0 < score < math.inf), default=None)
