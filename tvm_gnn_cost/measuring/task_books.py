"""What a tuning run writes down of each of its tasks, and which tasks of a list are one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.measuring.gain import ExpectedGain, Shortlist
from tvm_gnn_cost.records.tuning_run import TaskProgress


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


def checked_weights(count: int, weights: Sequence[float] | None) -> list[float]:
    """How often each of `count` tasks occurs; None is once each. Raises InvalidArgumentError for no task at all, or for
    another number of weights."""
    if not count:
        raise InvalidArgumentError("tasks is empty; there is nothing to tune")
    if weights is not None and len(weights) != count:
        raise InvalidArgumentError(f"{len(weights)} weights for {count} tasks")
    return [1.0] * count if weights is None else [float(weight) for weight in weights]


@dataclass
class TaskBook:
    """Of one task: its trials, those of a resumed log included, and what they brought."""

    trials: int = 0
    since_best: int = 0
    best_s: float | None = None
    left: str = ""
    measured: int = 0  # in this run
    failed: int = 0
    learnt_best_s: float | None = None  # when the model last learnt of it
    begun: int = 0  # rounds of this run
    rounds: int = 0  # of these, that the model has learnt
    unlearnt: list[int] = field(default_factory=list)  # trials of this run that the model has not learnt
    gain: ExpectedGain = field(default_factory=ExpectedGain)
    shortlist: Shortlist = field(default_factory=Shortlist)

    def progress(self) -> TaskProgress:
        return TaskProgress(self.measured, self.failed, self.best_s, self.gain.left)

    def count(self, latency: float | None) -> None:
        self.gain.count(latency)
        self.trials += 1
        self.since_best += 1
        if latency is not None and (self.best_s is None or latency < self.best_s):
            self.best_s, self.since_best = latency, 0
