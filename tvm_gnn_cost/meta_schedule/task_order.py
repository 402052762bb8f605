"""Which task gets the next round."""

from __future__ import annotations

from collections.abc import Sequence

ALPHA = 0.2
WINDOW = 3
"""MetaSchedule's own."""


class GradientOrder:
    """The task from which most is to be gained, as MetaSchedule's GradientBased scheduler has it.

    Each task gets a round first. Then it goes by the weight times `ALPHA * g1 + (1 - ALPHA) * g2`: by how much the
    last `WINDOW` rounds bettered the latency, a round, and the latency over the number of rounds. The one difference:
    a task none of whose schedules has run gets its rounds until one does, where MetaSchedule would leave it alone.

    Source: TVM, src/meta_schedule/task_scheduler/gradient_based.cc.

    Args:
        weights: how often each task occurs.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = list(weights)
        self._best: list[list[float | None]] = [[] for _ in weights]

    def add_round(self, task: int, best_s: float | None) -> None:
        """A round of a task is over, after which its best latency in seconds is `best_s`; None: nothing has run."""
        self._best[task].append(best_s)

    def choose(self, alive: Sequence[int]) -> int:
        """One of these tasks."""
        waiting = [task for task in alive if not self._best[task] or self._best[task][-1] is None]
        if waiting:
            return min(waiting, key=lambda task: len(self._best[task]))
        return max(alive, key=lambda task: self._weights[task] * self._gradient(self._best[task]))

    def _gradient(self, history: Sequence[float | None]) -> float:
        best = [latency for latency in history if latency is not None]
        lately = (best[-1 - WINDOW] - best[-1]) / WINDOW if len(best) > WINDOW else 0.0
        return ALPHA * lately + (1 - ALPHA) * best[-1] / len(best)
