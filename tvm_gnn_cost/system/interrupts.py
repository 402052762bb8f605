"""Ctrl-C that loses nothing: it ends what is under way at once, or is held until a result is written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from tvm_gnn_cost.errors import TuningInterrupted


class Interrupts:
    """While entered, in the main thread, SIGINT raises KeyboardInterrupt, but in a `held` block it waits for `check`.

    In another thread Python takes no signals, and nothing is ever requested.

    Args:
        told: called at the first Ctrl-C that is held, to say that it was heard.

    Attributes:
        requested: whether there was a Ctrl-C.
    """

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self._told = told
        self._holding = 0
        self._yielding = False
        self._previous: object = None
        self._installed = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A block that Ctrl-C does not cut short; the next `check` raises for it."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1

    @contextlib.contextmanager
    def yielding(self) -> Iterator[None]:
        """A block inside a held one that a second Ctrl-C does cut short."""
        self._yielding = True
        try:
            yield
        finally:
            self._yielding = False

    def check(self) -> None:
        """Raises KeyboardInterrupt after a Ctrl-C that was held, or that something on its way up has swallowed."""
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if not self._holding or (again and self._yielding):
            raise KeyboardInterrupt
        if not again:
            self._told()


@contextlib.contextmanager
def passing_on_interrupts(when: str) -> Iterator[None]:
    """A block that TVM's C++ calls: Ctrl-C in it reaches the user, see `TuningInterrupted`.

    Args:
        when: what was interrupted: "while ...".
    """
    try:
        yield
    except TuningInterrupted:
        raise
    except KeyboardInterrupt as interrupt:
        raise TuningInterrupted(f"interrupted by Ctrl-C {when}") from interrupt
