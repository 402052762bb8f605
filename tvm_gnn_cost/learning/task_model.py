"""What the records of one task say beyond the network: a Gaussian process on the schedules' features.

The network knows what all tasks have in common. A task's own records are few, tens to hundreds, and a few hundred
gradient steps on them either forget the rest or learn little of them. A Gaussian process whose mean is the network's
score learns them in closed form in milliseconds, returns to the network's order where nothing was measured, and says
how sure it is. Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2 and 5.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..stage_graph.graph import FloatArray, IntArray

MAX_RECORDS = 256
"""Records that a task's process is conditioned on: the cost of a fit grows with their cube."""

_LENGTHS = (0.25, 1.0, 4.0)  # of the kernel, squared, in medians of the squared distances between records
_AMPLITUDES = (0.3, 1.0, 2.0)  # octaves that a schedule may differ from the network's score
_NOISES = (0.1, 0.3, 0.6)  # octaves of what no feature explains, measurement noise included
_SLOPE = 0.3  # by how much the task may stretch or shrink the network's scores
_OFFSET = 1.0  # octaves; the offset itself is fitted before, this is its uncertainty
_TYPICAL_AMPLITUDE, _TYPICAL_NOISE, _SPREAD = 0.7, 0.3, 0.7  # log-normal priors, so that few records choose sensibly


@dataclass(frozen=True)
class TaskModel:
    """A Gaussian process over the n records of a task.

    Attributes:
        features: float32 (n, D), see `schedule_features`.
        scores: float64 (n,), the network's.
        weights: float64 (n,): kernel values times these, summed, are added to the network's score.
        factor: float64 (n, n), the lower Cholesky factor of the records' covariance.
        centre: the mean of the records' scores.
        offset: octaves, from the network's score to log throughput.
        length: squared length of the kernel.
        amplitude, noise: octaves.
    """

    features: FloatArray
    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    factor: NDArray[np.float64]
    centre: float
    offset: float
    length: float
    amplitude: float
    noise: float

    @staticmethod
    def fit(
        scores: NDArray[np.float64], features: FloatArray, log_throughput: NDArray[np.float64], offset: float
    ) -> TaskModel:
        """The process with the most likely hyperparameters of a small grid.

        Args:
            scores: (n,), the network's, in octaves up to `offset`; n >= 1.
            features: float32 (n, D).
            log_throughput: (n,), measured, in octaves; all finite.
            offset: octaves by which log throughput exceeds the scores.
        """
        distances = _squared_distances(features, features)
        positive = distances[distances > 1e-9]
        scale = float(np.median(positive)) if len(positive) else 1.0
        centre = float(scores.mean())
        residual = log_throughput - scores - offset
        linear = _OFFSET**2 + _SLOPE**2 * np.outer(scores - centre, scores - centre)
        best: tuple[float, TaskModel] | None = None
        for length in (relative * scale for relative in _LENGTHS):
            shape = np.exp(-0.5 * distances / length)
            for amplitude, noise in itertools.product(_AMPLITUDES, _NOISES):
                covariance = amplitude**2 * shape + linear
                covariance[np.diag_indices(len(scores))] += noise**2
                factor = np.linalg.cholesky(covariance)
                half = np.linalg.solve(factor, residual)
                evidence = float(
                    -0.5 * half @ half
                    - np.log(np.diag(factor)).sum()
                    - 0.5 * (math.log(amplitude / _TYPICAL_AMPLITUDE) / _SPREAD) ** 2
                    - 0.5 * (math.log(noise / _TYPICAL_NOISE) / _SPREAD) ** 2
                )
                if best is None or evidence > best[0]:
                    weights = np.linalg.solve(factor.T, half)
                    best = (
                        evidence,
                        TaskModel(
                            features, scores, weights, factor, centre, offset, length, amplitude, noise
                        ),
                    )
        assert best is not None
        return best[1]

    def predict(
        self, scores: NDArray[np.float64], features: FloatArray
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log throughput in octaves and its standard deviation without the noise, both (m,).

        Args:
            scores: (m,), the network's.
            features: float32 (m, D).
        """
        shared = self.amplitude**2 * np.exp(-0.5 * _squared_distances(features, self.features) / self.length)
        shared += _OFFSET**2 + _SLOPE**2 * np.outer(scores - self.centre, self.scores - self.centre)
        mean = scores + self.offset + shared @ self.weights
        explained = np.linalg.solve(self.factor, shared.T)
        prior = self.amplitude**2 + _OFFSET**2 + _SLOPE**2 * (scores - self.centre) ** 2
        return mean, np.sqrt(np.maximum(prior - np.square(explained).sum(axis=0), 1e-12))


def schedule_features(
    node_features: FloatArray, time_shares: FloatArray, node_ptr: IntArray
) -> FloatArray:
    """What tells the schedules of a task apart: float32 (n, 2 F).

    Of each column of the nodes its maximum over a schedule, and its mean weighted by the time that the network gives to
    the stages: what is true of the stage that matters most.

    Shapes: (N, F) scaled, (N,), (n + 1,) -> (n, 2 F).
    """
    begins = node_ptr[:-1]
    maxima = np.maximum.reduceat(node_features, begins, axis=0)
    means = np.add.reduceat(node_features * time_shares[:, None], begins, axis=0)
    return np.concatenate([maxima, means], axis=1)


def chosen_records(latency: NDArray[np.float64], most: int = MAX_RECORDS) -> IntArray:
    """Which of a task's records to condition on: all, or half of `most` the fastest and half spread over the others.

    Shapes: (n,) seconds, inf: failed -> int64 (min(n, most),), ascending.
    """
    if len(latency) <= most:
        return np.arange(len(latency))
    fastest_first = np.argsort(latency, kind="stable")
    best, others = fastest_first[: most // 2], fastest_first[most // 2 :]
    places = np.linspace(0, len(others) - 1, most - len(best)).round().astype(np.int64)
    return np.sort(np.concatenate([best, others[places]]))


def _squared_distances(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    """Between all rows: (m, D), (n, D) -> (m, n)."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :]
    return np.maximum(squares - 2.0 * (a @ b.T), 0.0).astype(np.float64)
