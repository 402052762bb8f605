"""From scores to absolute throughput: one offset per task, fitted in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LOG_REFERENCE = 30.0  # log2 throughput is counted from 2**30 flop/s, about 1 Gflop/s, which keeps targets near 0
_SHRINKAGE = 0.1  # the centre weighs as much as a tenth of a best record, so that one record already calibrates


@dataclass
class Calibration:
    """Offsets b with log2 throughput = score + b, in octaves above 2**30 flop/s.

    Attributes:
        offset: of each calibrated task.
        fresh: tasks whose offset belongs to the present weights; others are calibrated anew when they are asked for.
        centre: the mean offset of the tasks, used for an unseen task.
        best_score: the mean over tasks of the score of their best record; stands in for an unseen task's best.
    """

    offset: dict[str, float] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    centre: float = 0.0
    best_score: float = 0.0


def fit_offset(score: NDArray[np.float64], log_throughput: NDArray[np.float64], log_best: float, prior: float) -> float:
    """Weighted mean of log_throughput - score over measured records, shrunk towards `prior`.

    The weight is the normalised throughput (with a floor of 0.05): what the search asks for is right near the best.

    Shapes: (n,), (n,) -> float. All in octaves; -inf marks a failed record. `prior` where none was measured.
    """
    measured = np.isfinite(log_throughput)
    if not measured.any():
        return prior
    weight = np.exp2(np.minimum(log_throughput[measured] - log_best, 0.0)) + 0.05
    residual = log_throughput[measured] - score[measured]
    return float((weight @ residual + _SHRINKAGE * prior) / (weight.sum() + _SHRINKAGE))


def log_throughput(flop: NDArray[np.float64], latency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Octaves above 2**30 flop/s; -inf where latency is inf.

    Shapes: (n,), (n,) -> (n,).
    """
    result = np.full(len(latency), -np.inf)
    measured = np.isfinite(latency)
    result[measured] = np.log2(flop[measured]) - np.log2(latency[measured]) - LOG_REFERENCE
    return result
