"""What the observer of a long run is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Progress:
    """A moment of a tuning run, as an observer sees it.

    Attributes:
        phase: "search", "measure" or "train"; a collection also has "build", "wait" (for a quiet machine) and "again"
            (measuring for the second time).
        trials: measured so far, resumed ones included.
        budget: to be measured in all.
        failed: how many of this run's trials failed.
        latency_s: the weighted sum of the best latencies so far; None until each task has one.
        elapsed_s: seconds since the run's start.
        task: the index of the task at hand.
    """

    phase: str
    trials: int
    budget: int
    failed: int
    latency_s: float | None
    elapsed_s: float
    task: int


class Observer(Protocol):
    """Called from the tuning thread, and must not raise."""

    def __call__(self, progress: Progress) -> None: ...


@dataclass(frozen=True)
class ReadProgress:
    """Where the reading of logs stands.

    Attributes:
        logs: read so far.
        total: of all logs.
        records: usable ones so far.
        log: the log at hand.
    """

    logs: int
    total: int
    records: int
    log: str
