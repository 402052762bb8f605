"""Replayed search: how soon a method finds the best schedules of a pool, if it may measure some in each round.

1. The pool is thinned (`thin`): a pool full of good schedules flatters every method, random search too.
2. In each round the method picks the schedules that it scores highest among those not yet picked; a cold one picks at
   random. Their recorded latencies are what a measurement would have told, and the method learns them.
3. What counts is the best so far after so many trials, and the trials until a share of the best throughput is reached.

All methods of a seed meet the same thinned pool and, while cold, make the same picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.methods import Learner
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.graphs.stage_graph import IntArray

NEAR_BEST = 1.25
"""A schedule is good if its latency is at most so many times the best."""

KEPT_SHARE = 0.015
"""The good schedules that a thinned pool keeps, as a share of the whole pool."""

CHECKPOINTS = (16, 32, 64, 96, 128)
"""Trials after which the best so far is reported."""

GOALS = (0.90, 0.95, 0.99)
"""Shares of the best throughput that are to be reached."""


@dataclass(frozen=True)
class ReplayOptions:
    """How a search is replayed.

    Attributes:
        round: schedules picked between two updates.
        trials: the most schedules picked in all; a replay also ends when the best is found or none is left.
    """

    round: int = 16
    trials: int = 256

    def __post_init__(self) -> None:
        if self.round < 1 or self.trials < self.round:
            raise InvalidArgumentError(
                f"a replay needs rounds of at least 1 trial and at least one round; got {self.round} a round, "
                f"{self.trials} in all"
            )


def thin(latency: NDArray[np.float64], generator: np.random.Generator) -> IntArray:
    """The records of a pool in which good schedules are rare: int64, ascending.

    Of the good schedules (within `NEAR_BEST` of the best) the best is kept, and so many others, chosen at random, that
    `KEPT_SHARE` of the pool are good. Others stay, failed ones too.

    Shapes: (n,) seconds, inf: failed -> (m,), m <= n. No record for a pool in which all failed.
    """
    if not np.isfinite(latency).any():
        return np.zeros(0, dtype=np.int64)
    best = int(np.argmin(latency))
    good = np.flatnonzero(latency <= NEAR_BEST * latency[best])
    others = good[good != best]
    kept = min(len(others), max(1, round(KEPT_SHARE * len(latency))) - 1)
    dropped = generator.permutation(others)[kept:]
    return np.setdiff1d(np.arange(len(latency)), dropped)


def replay(learner: Learner, problem: Problem, records: IntArray, order: IntArray, options: ReplayOptions) -> IntArray:
    """The records in the order in which the method picks them, int64 (trials,).

    Args:
        learner: knows no record of the pool.
        records: those to pick from, of which one is the best.
        order: a permutation of `records`: what a cold method picks, and how equal scores are decided.
    """
    best = records[np.argmin(problem.pool.latency[records])]
    left, picked = order, order[:0]
    while len(left) and len(picked) < options.trials:
        count = min(options.round, options.trials - len(picked))
        ranked = left
        if learner.is_warm:
            ranked = left[np.argsort(-learner.predict(problem, left).scores, kind="stable")]
        chosen = ranked[:count]
        picked = np.concatenate([picked, chosen])
        if best in chosen:
            break
        left = left[~np.isin(left, chosen)]
        learner.learn(problem, chosen)
    return picked


def relative_throughput(latency: NDArray[np.float64], best: float) -> NDArray[np.float64]:
    """Throughput over the best's, in [0, 1]; 0 for failed records. Shapes: (n,) seconds -> (n,)."""
    return np.where(np.isfinite(latency), best / latency, 0.0)


def best_after(relative: Sequence[float], trials: int, pool_size: int) -> float:
    """The best relative throughput among the first trials; nan for a pool with fewer records than that.

    A replay that ended early had found the best.
    """
    if pool_size < trials:
        return float("nan")
    return max(relative[:trials], default=0.0)


def trials_to(relative: Sequence[float], goal: float) -> int | None:
    """The number of trials at which a share of the best throughput is first reached; None if it never is."""
    return next((trial for trial, value in enumerate(relative, start=1) if value >= goal), None)
