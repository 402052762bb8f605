"""Keeps TVM's search from running for ever where no schedule of a task can run.

`SampleInitPopulation` (`src/auto_scheduler/search_policy/sketch_policy.cc`) samples populations until one state has
scored above -1e10. It halves the number of states that it asks for, down to one, but never gives up. A population is
2,048 states unless the user says otherwise, and `EvolutionarySearch` asks for scores of as many again and again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Any]], NDArray[np.float64]]
"""From states to their scores, float64 (len(states),), -inf for what cannot run."""

PATIENCE = 512
"""States in a row of which none can run, after which a task is given up. One of which a hundredth of the states can run
is given up wrongly once in 170 times, until one of the states that are looked at later can run."""

PATIENCE_SECONDS = 60.0
"""Time since a task's first state, none of which could run, after which it is given up too: where TVM itself rejects
nearly every sample, a state comes in half a minute."""

PATIENCE_ONCE_ACCEPTED = 16 * PATIENCE
"""The same for a task of which a state could run before: four populations."""

SAMPLE = 32
"""States that are looked at in each call for a task that is given up."""

PASSING_SCORE = 1e-6
"""What a state scores that only passes for the search to end."""


class SearchGuard:
    """Between the search and what scores the states of one task: lets states pass where too many in a row cannot run.

    Args:
        task: how the log calls the task.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._rejected = 0  # in a row
        self._began = 0.0  # when the first of these came, in seconds of the monotonic clock
        self._has_accepted = False
        self._has_warned = False

    def scores(self, states: Sequence[Any], predict: Predict) -> NDArray[np.float64]:
        """The scores of `predict`, or PASSING_SCORE for all states of a task that is given up.

        While no state of the task could run, no more are predicted than it takes to give up.
        """
        known = np.zeros(0)
        if not self._has_accepted:
            known = predict(_part(states, 0, max(SAMPLE, PATIENCE - self._rejected)))
            self._count(known)
            if self._rejected >= PATIENCE or (self._rejected and monotonic() - self._began > PATIENCE_SECONDS):
                return self._let_pass(len(states))
        if len(known) < len(states):
            others = predict(_part(states, len(known), len(states)))
            self._count(others)
            known = np.concatenate([known, others])
        if self._rejected >= PATIENCE_ONCE_ACCEPTED:
            self._has_accepted = False
            return self._let_pass(len(states))
        return known

    def _count(self, scores: NDArray[np.float64]) -> None:
        if np.isfinite(scores).any():
            self._has_accepted, self._rejected = True, 0
        else:
            self._began = self._began if self._rejected else monotonic()
            self._rejected += len(scores)

    def _let_pass(self, count: int) -> NDArray[np.float64]:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "no schedule of task %s can run: TVM can build none of the last %d, or they break the target's limits. "
                "They pass from now on, since the search would never end; expect their measurements to fail",
                self._task, self._rejected,
            )  # fmt: skip
        return np.full(count, PASSING_SCORE)


def is_from_search(states: Sequence[Any]) -> bool:
    """Whether the states came from C++, perhaps through another cost model: then they are an Array of TVM's own."""
    from tvm.ir.container import Array

    return isinstance(states, Array)


def _part(states: Sequence[Any], begin: int, end: int) -> Sequence[Any]:
    """The states from one position to another; all of them as they are, which is what C++ reads fastest."""
    return states if begin == 0 and end >= len(states) else [states[i] for i in range(begin, min(end, len(states)))]
