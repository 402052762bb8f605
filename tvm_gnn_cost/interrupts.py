"""Ctrl-C that loses nothing: it ends what is under way at once, but lets a result be written first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class Interrupts:
    """While entered, in the main thread, SIGINT raises KeyboardInterrupt, but in a `held` block it waits for `check`.

    Elsewhere signals are not ours.
    """

    def __init__(self) -> None:
        self.requested = False
        self._holding = 0
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

    def check(self) -> None:
        """Raises KeyboardInterrupt after a Ctrl-C that was held, or that something on its way up has swallowed."""
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._holding:
            raise KeyboardInterrupt
