"""How much faster a task may still become: from the trials that were measured, and from what the model promises.

Two things are known of what is left. The spacing of the best schedules says how rare better ones are: where the
logarithms of the latencies have an exponential tail, its mean is told by the best few (Hill's estimator), and as many
trials again as there were save that mean times log 2. So it is in the mean; it is the more, the later the best was
found. And a model that says what its scores mean promises a gain, which is worth what its promises for the task's
earlier rounds were worth. The larger of the two is expected: a search that is stopped too late costs time, one that is
stopped too early costs the schedule.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import median
from typing import Any

_TAIL = 8
"""Schedules behind the best from which the tail is told, at most; an eighth of what ran where that is fewer."""
_LEAST = 3
_FEWEST = 8
"""Schedules that ran before anything is expected: fewer may be one idea, such as those of a similar task."""
_LATELY = 3
"""Rounds whose promises count."""
_MOST_GAIN = math.log(16.0)
SHORTLIST = 64


def makes_promises(model: Any) -> bool:
    """Whether a cost model says, when it `is_warm`, what its scores mean: throughput against the best measured."""
    return hasattr(model, "is_warm")


def is_warm(model: Any) -> bool:
    """Whether a cost model promises something by now."""
    return makes_promises(model) and bool(model.is_warm)


class ExpectedGain:
    """What is expected of the further trials of one task."""

    def __init__(self) -> None:
        self._trials: list[float | None] = []  # seconds
        self._errors: list[float] = []
        self._promise: float | None = None

    def count(self, latency_s: float | None) -> None:
        """A trial was measured; None: it failed."""
        self._trials.append(latency_s)

    def learnt(
        self, score: float | None, latency_s: float | None, before_s: float | None, next_score: float | None
    ) -> None:
        """The model has learnt a round.

        Args:
            score: the best that it gave to one of the round's schedules: throughput against the best before. None: it
                was not asked.
            latency_s: of the round's best schedule in seconds; None where all failed.
            before_s: the best latency before the round; None: there was none, and the score says nothing.
            next_score: the best that it now gives to a schedule that is not measured; None: it has none in mind.
        """
        if score is not None and before_s is not None and latency_s is not None:
            self._errors.append(math.log(before_s / latency_s) - math.log(score))
        self._promise = None if next_score is None else math.log(next_score)

    @property
    def left(self) -> float | None:
        """The share of the best latency that is expected to be saved, 0 to 1; None where too little has run."""
        ordered = sorted(latency for latency in self._trials if latency is not None)
        if len(ordered) < _FEWEST:
            return None
        expected = max(self._by_spacing(ordered), self._by_promise())
        return 1.0 - math.exp(-min(expected, _MOST_GAIN))

    def _by_spacing(self, ordered: Sequence[float]) -> float:
        count = max(_LEAST, min(_TAIL, len(ordered) // 8))
        tail = sum(math.log(ordered[count] / latency) for latency in ordered[:count]) / count
        found = self._trials.index(ordered[0]) + 1
        return math.log(2.0) * tail * 2.0 * found / len(self._trials)

    def _by_promise(self) -> float:
        """0 until there was a round whose promise can be compared: then the first two rounds decide by the spacing."""
        if self._promise is None or not self._errors:
            return 0.0
        return max(0.0, self._promise + median(self._errors[-_LATELY:]))


class Shortlist:
    """The candidates of a round's search that the model thinks most of."""

    def __init__(self) -> None:
        self._best: list[tuple[float, Any]] = []

    def add(self, candidates: Sequence[Any], scores: Sequence[float]) -> None:
        """Candidates as the search scores them; its generations hold many more than once."""
        order = sorted(range(len(candidates)), key=lambda i: -float(scores[i]))[:SHORTLIST]
        self._best += [(float(scores[i]), candidates[i]) for i in order if 0.0 < float(scores[i]) < math.inf]
        self._best = sorted(self._best, key=lambda pair: -pair[0])[: 4 * SHORTLIST]

    def rest(self, measured: Sequence[Hashable], key: Any) -> list[Any]:
        """Those that were not measured, the best first; it is empty then.

        Args:
            measured: the keys of what was measured.
            key: of a candidate.
        """
        keys = set(measured)
        others: dict[Hashable, Any] = {}
        for _, candidate in self._best:
            name = key(candidate)
            if name not in keys and len(others) < SHORTLIST:
                others.setdefault(name, candidate)
        self._best = []
        return list(others.values())
