"""Whether predicted relative throughput means what it says: of schedules predicted at 0.7, is the mean 0.7?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_gnn_cost.evaluation.held_out import HeldOut

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Predicted against measured throughput, both relative to the best that the method knew, in bins of the former.

    Attributes:
        predicted, measured: the means of each bin that holds a schedule.
        counts: schedules in each of those.
        expected_error: the mean over schedules of their bin's |predicted - measured| (expected calibration error).
    """

    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    counts: tuple[int, ...]
    expected_error: float


def reliability(held_out: Sequence[HeldOut]) -> Reliability | None:
    """The reliability over the measured schedules of many pools, `BINS` bins of equal width; None for no schedule.

    Predictions above 1 (faster than the best known) are in the last bin. Failed schedules do not count.
    """
    parts = [h for h in held_out if np.isfinite(h.best) and np.isfinite(h.predicted).any()]
    if not parts:
        return None
    predicted = np.concatenate([h.best / h.predicted for h in parts])
    measured = np.concatenate([h.best / h.latency for h in parts])
    known = np.isfinite(predicted) & (measured > 0)
    predicted, measured = predicted[known], measured[known]
    if not len(predicted):
        return None
    place = np.clip(predicted * BINS, 0, BINS - 1).astype(np.int64)
    counts = np.bincount(place, minlength=BINS)
    filled = counts > 0
    mean_predicted = np.bincount(place, predicted, minlength=BINS)[filled] / counts[filled]
    mean_measured = np.bincount(place, measured, minlength=BINS)[filled] / counts[filled]
    error = np.abs(mean_predicted - mean_measured) @ counts[filled] / counts.sum()
    return Reliability(
        tuple(mean_predicted.tolist()),
        tuple(mean_measured.tolist()),
        tuple(int(c) for c in counts[filled]),
        float(error),
    )
