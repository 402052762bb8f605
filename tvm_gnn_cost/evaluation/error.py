"""How far predicted latencies are off, and how far measured ones are: the noise that no prediction can undercut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.evaluation.held_out import HeldOut
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.learning.metrics import mean_absolute_percentage_error
from tvm_gnn_cost.records.noise import noise_of

MIN_SCHEDULES = 8
"""Noise is told from at least so many schedules of a pool."""


@dataclass(frozen=True)
class NoiseFloor:
    """What a second measurement of the same schedules would score as a prediction of the first.

    Attributes:
        source: "readings": the minimum of a record's even readings against that of its odd ones, which were taken
            within a second, so slow changes of the machine do not show; "remeasured": a measurement minutes later.
        schedules: how many were compared.
        error: mean absolute percentage error between the two, in percent.
        ceiling: the share of pairs that both order alike: no method can be expected to rank better.
    """

    source: str
    schedules: int
    error: float
    ceiling: float


def prediction_error(held_out: HeldOut) -> float:
    """Mean absolute percentage error of the predicted latencies, in percent; nan where nothing was predicted."""
    return mean_absolute_percentage_error(held_out.predicted, held_out.latency)


def noise_floors(problem: Problem) -> list[NoiseFloor]:
    """The pool's noise from each source that it has."""
    floors = []
    for source, pairs in (("readings", reading_pairs(problem)), ("remeasured", problem.remeasured)):
        if len(pairs) >= MIN_SCHEDULES:
            first, second = pairs.T
            noise = noise_of(first, second)
            floors.append(
                NoiseFloor(source, len(pairs), mean_absolute_percentage_error(second, first), noise.agreement)
            )
    return floors


def reading_pairs(problem: Problem) -> NDArray[np.float64]:
    """The minima of the even and of the odd readings of each record that has both: float64 (k, 2), seconds."""
    pairs = [(min(r[0::2]), min(r[1::2])) for r in problem.pool.readings if len(r) >= 2]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def improvement(baseline: float, error: float) -> float:
    """How many times smaller an error is than the baseline's; nan where one is not known."""
    return baseline / error if error > 0 and math.isfinite(baseline) else math.nan
