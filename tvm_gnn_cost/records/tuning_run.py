"""What a tuning run takes and gives: its options, its trials, its times, and what its observer is told."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.system.progress import Progress

EARLY_STOPPING = "no better schedule for a long time"
PER_TASK_TRIALS = "its trials are used"
ALL_FAIL = "no schedule runs"
NOTHING_LEFT = "no schedule is left"
SEARCH_FAILS = "the scheduler's search of it fails"
LITTLE_LEFT = "little is expected of further trials"
"""Why a task was left before the budget was used."""


@dataclass(frozen=True)
class MeasureOptions:
    """How a schedule is built and measured.

    Attributes:
        repeat: readings per schedule, or as many as fit into a second; all are logged, and the best counts, as
            interference only slows a run down.
        min_repeat_ms: the least duration of a reading, in milliseconds.
        number: the least number of runs in a reading.
        build_timeout_s: a build is killed after so many seconds.
        run_timeout_s: a run is killed after so many seconds.
        cooldown_s: pause after each schedule, in seconds.
        flush_cache: flush the CPU's caches between readings; a reading is then a single run.
        tracker: measure on all RPC servers of its key, as they come and go; None measures here.
        server_wait_minutes: how long to wait for an RPC server where none answers any more.
        compiler: a C++ compiler on this machine that links for the RPC servers; None leaves it to the servers.
    """

    repeat: int = 3
    min_repeat_ms: int = 50
    number: int = 3
    build_timeout_s: int = 20
    run_timeout_s: int = 10
    cooldown_s: float = 0.0
    flush_cache: bool = False
    tracker: Tracker | None = None
    server_wait_minutes: float = 10.0
    compiler: str | None = None

    def __post_init__(self) -> None:
        for name in ("repeat", "number", "build_timeout_s", "run_timeout_s"):
            _require_int(name, getattr(self, name), 1)
        _require_int("min_repeat_ms", self.min_repeat_ms, 0)
        if not self.cooldown_s >= 0:
            raise InvalidArgumentError(f"cooldown_s is {self.cooldown_s!r}; it must be at least 0 seconds")
        if not self.server_wait_minutes > 0:
            raise InvalidArgumentError(f"server_wait_minutes is {self.server_wait_minutes!r}; it must be above 0")
        if self.compiler is not None and shutil.which(self.compiler) is None:
            raise InvalidArgumentError(f"`compiler` is {self.compiler!r}; there is no such program on this machine")

    def readings(self) -> dict[str, float]:
        """What readings depend on, by name: all but where they are taken."""
        elsewhere = ("tracker", "server_wait_minutes", "compiler")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in elsewhere}


@dataclass(frozen=True)
class TuneOptions:
    """A tuning run's budget.

    Attributes:
        trials: schedules to measure in all, over all tasks; a resumed run counts those in its log.
        trials_per_round: schedules measured between two trainings of the model.
        measure: how they are measured.
        early_stopping: a task is left when so many of its trials, one after another, brought nothing better; None:
            never.
        per_task_trials: at most so many trials for a task, those in a resumed log included; None: no such bound.
        minutes: of wall-clock time for this run, which stops at the next safe point; None: no such bound.
        until: the run ends when further trials are expected to save less than this share of the total latency, such as
            0.02; None: it goes on. A task that has not had three rounds counts as if all its time could be saved.
    """

    trials: int = 256
    trials_per_round: int = 64
    measure: MeasureOptions = field(default_factory=MeasureOptions)
    early_stopping: int | None = None
    per_task_trials: int | None = None
    minutes: float | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        _require_int("trials", self.trials, 1)
        _require_int("trials_per_round", self.trials_per_round, 1)
        for name in ("early_stopping", "per_task_trials"):
            if getattr(self, name) is not None:
                _require_int(name, getattr(self, name), 1)
        minutes = self.minutes
        if minutes is not None and (isinstance(minutes, bool) or not math.isfinite(minutes) or minutes <= 0):
            raise InvalidArgumentError(f"minutes is {minutes!r}; it must be a number above 0, or None")
        until = self.until
        if until is not None and (isinstance(until, bool) or not 0 < until < 1):
            raise InvalidArgumentError(f"until is {until!r}; it must be a share between 0 and 1 such as 0.02, or None")


@dataclass(frozen=True)
class Trial:
    """One measured schedule.

    Attributes:
        task: the index of its task.
        latency_s: the best of its readings in seconds; None for a failed measurement.
        elapsed_s: seconds from the run's start to the end of its measurement.
        error_no: `MeasureErrorNo` of TVM; 0 is success.
        score: what the model said of it before it learnt it: throughput, the best measured until then being 1. None: it
            does not promise that its scores mean this, knew nothing yet, or the run ended before it learnt it.
    """

    task: int
    latency_s: float | None
    elapsed_s: float
    error_no: int = 0
    score: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What was expected when the model had learnt a round.

    Attributes:
        trials: of this run until then.
        gain_left: the share of the total latency that further trials were expected to save.
    """

    trials: int
    gain_left: float


@dataclass(frozen=True)
class PhaseTimes:
    """Wall-clock seconds of a run, by what they went into; `score_s` is the model's part of `search_s`."""

    search_s: float
    measure_s: float
    train_s: float
    score_s: float
    total_s: float


@dataclass(frozen=True)
class TuneResult:
    """What a tuning run did.

    Attributes:
        trials: in the order of measurement; those that a resumed run found in its log are not among them. Those of a
            task that is in the list twice have its first index.
        times: where the time went.
        best_latency_s: each task's best latency, those of a resumed log included; None where nothing ran.
        weights: how often each task occurs.
        flops: each task's floating-point operations.
        resumed: trials found in the log.
        interrupted: whether it was stopped before its budget was used.
        exhausted: whether it ended early because no unmeasured schedule was left.
        log_file: the record log.
        out_of_time: whether it was stopped because its minutes were over.
        left: why each task was left before the budget was used; "" where it was not.
        other_records: records in the log that are of other tasks, or of these on another target; they count for
            nothing here.
        gain_left: the share of the total latency that further trials were expected to save at the end; None where too
            little has run to tell.
        forecasts: the same after each round, from the first that told it on.
    """

    trials: tuple[Trial, ...]
    times: PhaseTimes
    best_latency_s: tuple[float | None, ...]
    weights: tuple[float, ...]
    flops: tuple[float, ...]
    resumed: int
    interrupted: bool
    exhausted: bool
    log_file: str
    out_of_time: bool = False
    left: tuple[str, ...] = ()
    other_records: int = 0
    gain_left: float | None = None
    forecasts: tuple[Forecast, ...] = ()

    @property
    def total_latency_s(self) -> float | None:
        """The weighted sum of the tasks' best latencies; None unless each task has one."""
        return weighted_latency(self.best_latency_s, self.weights)


@dataclass(frozen=True)
class TaskProgress:
    """Where one task of a tuning run stands.

    Attributes:
        trials: measured in this run.
        failed: how many of them failed.
        best_s: the best latency in seconds, those of a resumed log included; None where nothing ran.
        gain_left: the share of the best latency that further trials are expected to save, 0 to 1; None where too little
            has run to tell (`measuring.gain`).
    """

    trials: int = 0
    failed: int = 0
    best_s: float | None = None
    gain_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class TuneProgress(Progress):
    """A moment of a tuning run or of a collection; `done` and `total` are trials, resumed ones included.

    The phases are "search", "measure" and "train"; a collection also has "build", "wait" (for a quiet machine) and
    "again" (measuring for the second time).

    Attributes:
        failed: how many of this run's trials failed.
        latency_s: the weighted sum of the best latencies so far; None until each task has one.
        elapsed_s: seconds since the run's start.
        task: the index of the task at hand.
        tasks: where each task of a tuning run stands; a collection says nothing of others.
        gain_left: the share of the total latency that further trials are expected to save; None where too little has
            run to tell.
    """

    failed: int
    latency_s: float | None
    elapsed_s: float
    task: int
    tasks: tuple[TaskProgress, ...] = ()
    gain_left: float | None = None

    def metrics(self) -> tuple[int, dict[str, float]]:
        """By trials; latencies in ms. Of several tasks, each has its own, by its number in the list."""
        found: dict[str, float | None] = {
            "failed": float(self.failed),
            "seconds": self.elapsed_s,
            "best_latency_ms": None if self.latency_s is None else 1e3 * self.latency_s,
            "gain_left": self.gain_left,
        }
        for i, task in enumerate(self.tasks if len(self.tasks) > 1 else ()):
            found[f"task_{i}/trials"] = float(task.trials)
            found[f"task_{i}/best_latency_ms"] = None if task.best_s is None else 1e3 * task.best_s
        return int(self.done), {name: value for name, value in found.items() if value is not None}


def weighted_latency(latencies_s: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The sum of weight * latency in seconds; None where a latency is missing."""
    total = 0.0
    for latency, weight in zip(latencies_s, weights, strict=True):
        if latency is None:
            return None
        total += latency * weight
    return total


def _require_int(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidArgumentError(f"{name} is {value!r}; it must be an integer of at least {least}")
