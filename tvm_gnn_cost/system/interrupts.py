"""Ctrl-C that loses nothing: it ends what is under way at once, or is held until a result is written.

SIGTERM (a batch system, `docker stop`) and SIGHUP (a terminal that closes) do the same, unless the program has handlers
of its own or ignores them, as under nohup.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from tvm_gnn_cost.errors import TuningInterrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While entered, in the main thread, Ctrl-C raises KeyboardInterrupt, but in a `held` block it waits for `check`.

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
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number is signal.SIGINT or signal.getsignal(number) is signal.SIG_DFL:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())  # type: ignore[arg-type]

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
