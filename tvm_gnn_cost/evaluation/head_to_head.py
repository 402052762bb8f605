"""Two methods in the same replayed searches, pool by pool."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HeadToHead:
    """How a method did in replays against the baseline.

    Attributes:
        method: its name.
        goal: share of the best throughput to be reached.
        wins, ties, losses: pools in which it needed fewer, as many, more trials than the baseline (mean over seeds).
        ratio: its trials over the baseline's, geometric mean over pools, median over seeds: below 1 is better.
        ratio_range: the least and the largest over seeds.
        scheduler: whose pools they are, see `Statistic`.
    """

    method: str
    goal: float
    wins: int
    ties: int
    losses: int
    ratio: float
    ratio_range: tuple[float, float]
    scheduler: str = ""


def head_to_head(
    method: str, goal: float, ours: Mapping[tuple[int, int], float], theirs: Mapping[tuple[int, int], float]
) -> HeadToHead:
    """Of trials by (problem, seed), the baseline's of all of `ours`."""
    by_pool: dict[int, list[float]] = {}
    by_seed: dict[int, list[float]] = {}
    for (pool, seed), trials in ours.items():
        by_pool.setdefault(pool, []).append(trials - theirs[pool, seed])
        by_seed.setdefault(seed, []).append(math.log(trials / theirs[pool, seed]))
    differences = [sum(values) for values in by_pool.values()]
    ratios = [math.exp(statistics.fmean(values)) for values in by_seed.values()]
    return HeadToHead(
        method,
        goal,
        sum(d < 0 for d in differences),
        sum(d == 0 for d in differences),
        sum(d > 0 for d in differences),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
    )
