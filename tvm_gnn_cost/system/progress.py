"""What the observer of a long run is told. There is one kind of observer: a function of one moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A moment of a long run. What a run can say beyond this is a subclass beside it.

    Attributes:
        phase: what is being done, one of the words that the run's documentation lists.
        done: so much of `total` is done, in the phase's own unit.
        total: of the phase.
        note: what is at hand, in words.
    """

    phase: str
    done: float
    total: float
    note: str = ""

    def metrics(self) -> tuple[int, dict[str, float]] | None:
        """What an experiment tracker keeps of this moment: its step, and values by name. None: nothing."""
        return None


P = TypeVar("P", bound=Progress)

Observer = Callable[[P], None]
"""Called in the thread of the run, and must not raise (a run that can be ended so says it)."""


def unobserved(progress: Progress) -> None:
    """The observer of a run that nobody watches."""
