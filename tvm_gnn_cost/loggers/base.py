"""What all loggers share: an observer that writes the metrics of each step once, and never disturbs its run."""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import TVMGNNCostError
from tvm_gnn_cost.system.progress import Observer, P, Progress

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("tvm_gnn_cost")


class LoggerNotAvailableError(TVMGNNCostError, ImportError):
    """The library of an experiment tracker is missing."""


def not_available(library: str, extra: str, error: ImportError) -> LoggerNotAvailableError:
    """The error that says what to install."""
    return LoggerNotAvailableError(f'{library} is missing ({error}): pip install "tvm-gnn-cost[{extra}]"')


class MetricLogger(ABC):
    """An observer of tuning, collecting or training; used as a context, or closed.

    The metrics of a step (`Progress.metrics`) are written when the next one begins, as some become known only later,
    and the last ones when it is closed. What the tracker fails at is reported once, and the run goes on without it.
    """

    def __init__(self) -> None:
        self._step: int | None = None
        self._metrics: dict[str, float] = {}
        self._is_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, progress: Progress) -> None:
        """Take in a moment of the run."""
        found = progress.metrics()
        if found is None:
            return
        step, metrics = found
        if step != self._step:
            self._flush()
        self._step = step
        self._metrics |= metrics

    def close(self) -> None:
        """Write what is left, and end the tracker's run."""
        self._flush()
        self._guarded(self.end)

    @abstractmethod
    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of a step."""

    @abstractmethod
    def end(self) -> None:
        """The run is over."""

    def _flush(self) -> None:
        step, metrics, self._metrics = self._step, self._metrics, {}
        if step is not None and metrics:
            self._guarded(lambda: self.write(step, metrics))

    def _guarded(self, action: Callable[[], Any]) -> None:
        if self._is_lost:
            return
        try:
            action()
        except Exception as error:  # whatever the library trips over
            self._is_lost = True
            logger.warning(
                "%s failed (%s: %s); the run goes on without it", type(self).__name__, type(error).__name__, error
            )


@contextlib.contextmanager
def observed_by(observer: Observer[P], loggers: Sequence[MetricLogger]) -> Iterator[Observer[P]]:
    """An observer that tells loggers as well; they are closed when the block ends."""

    def observe(progress: P) -> None:
        observer(progress)
        for each in loggers:
            each(progress)

    try:
        yield observe
    finally:
        for each in loggers:
            each.close()
