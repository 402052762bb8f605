"""How far two measurements of the same schedules are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Noise:
    """What measuring schedules a second time showed; a schedule's latency is the minimum of its readings.

    Attributes:
        schedules: how many were measured twice.
        median: the median of the relative differences between the two latencies, |a - b| / min(a, b).
        p90: their 90th percentile.
        agreement: the share of pairs of schedules that both measurements order alike; nan for fewer than two
            schedules. No model can be expected to rank better than this.
    """

    schedules: int
    median: float
    p90: float
    agreement: float


def remeasured_pairs(remeasured: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Latencies of the schedules measured twice, float64 (k, 2) in seconds, from a pool's description.

    Schedules that failed the second time are left out.
    """
    pairs = [(min(p["first_s"]), min(p["second_s"])) for p in remeasured if p["second_s"]]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def noise_of(first: ArrayLike, second: ArrayLike) -> Noise:
    """The noise of n schedules' latencies, in seconds, in a first and a second measurement."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if not len(a):
        return Noise(0, math.nan, math.nan, math.nan)
    difference = np.abs(a - b) / np.minimum(a, b)
    i, j = np.triu_indices(len(a), k=1)
    alike = np.sign(a[i] - a[j]) == np.sign(b[i] - b[j])
    agreement = float(alike.mean()) if len(alike) else math.nan
    return Noise(len(a), float(np.median(difference)), float(np.quantile(difference, 0.9)), agreement)
