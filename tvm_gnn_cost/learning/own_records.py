"""What a task's own records say of its other schedules, beside the network: a Gaussian process on them.

The network orders schedules by what it knows of all programs. A few dozen records of the task itself know better which
of *its* schedules are fast, but only near themselves: the fastest ones are ranked better by a process, all pairs by the
network, and the average of both, in octaves, is better than either (`docs/experiments.md`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tvm_gnn_cost.graphs.stage_graph import FloatArray, IntArray, StageGraphBatch
from tvm_gnn_cost.learning.calibration import log_throughput
from tvm_gnn_cost.learning.replay_buffer import ReplayBuffer
from tvm_gnn_cost.learning.sampling import spread
from tvm_gnn_cost.learning.scoring import Scorer

LEAST_RECORDS = 8
"""Records of a task below which they do not speak for themselves."""

MOST_RECORDS = 256
"""Records that a process is made of; half of them are the fastest."""

_MOST_WEIGHT = 0.5
"""Beside the network, however many records there are."""

_HALF_WEIGHT = 8
"""Records with which it is half of that."""

_SLOWEST = -6.0
"""Octaves below the best: a schedule that is slower, or fails, is one that does not matter how slow it is."""

_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_NOISES = (0.01, 0.05, 0.2, 0.5)
_CLIP = 4.0


def choose_records(latency: NDArray[np.float64], number: int = MOST_RECORDS) -> IntArray:
    """The positions of at most `number` records, ascending: the fastest, and others from fast to failed, evenly.

    Args:
        latency: (n,) seconds, inf: failed.
    """
    order = np.argsort(latency, kind="stable")
    if len(order) <= number:
        return np.sort(order)
    best, others = order[: number // 2], order[number // 2 :]
    return np.sort(np.concatenate([best, others[spread(len(others), number - len(best))]]))


def summaries(graphs: StageGraphBatch, time_shares: FloatArray) -> NDArray[np.float64]:
    """Of each graph the mean of its stages' features, each weighted by its share of the time: float64 (n, NODE_DIM).

    Args:
        graphs: n graphs with N nodes together.
        time_shares: (N,), as a network predicts them.
    """
    weighted = graphs.node_features * time_shares[:, None]
    return np.add.reduceat(weighted, graphs.node_ptr[:-1], axis=0, dtype=np.float64)


@dataclass(frozen=True)
class OwnRecords:
    """A Gaussian process of log throughput over the summaries of a task's schedules, with an exponential kernel.

    Lengths and noise are those of the greatest evidence on a small grid.

    Attributes:
        weight: of the process beside the network, at most a half; it grows with the records.
        best: log2 throughput of the fastest record, which those of the others are counted from.
    """

    weight: float
    best: float
    _centre: NDArray[np.float64]
    _scale: NDArray[np.float64]
    _points: NDArray[np.float64]
    _length: float
    _mean: float
    _coefficients: Tensor

    @staticmethod
    def of(summary: NDArray[np.float64], measured: NDArray[np.float64]) -> OwnRecords | None:
        """The process of n records; None where they are too few to say anything, or none of them ran.

        Args:
            summary: (n, F), see `summaries`.
            measured: (n,), log2 throughput; -inf: failed.
        """
        if len(summary) < LEAST_RECORDS or not np.isfinite(measured).any():
            return None
        best = float(measured.max())
        octaves = np.maximum(measured - best, _SLOWEST)
        centre, deviation = summary.mean(axis=0), summary.std(axis=0)
        varies = deviation > 1e-5 * np.maximum(1.0, np.abs(centre))
        if not varies.any():
            return None
        scale = np.where(varies, 1.0 / (np.where(varies, deviation, 1.0) * np.sqrt(varies.sum())), 0.0)
        points = _placed(summary, centre, scale)
        mean = float(octaves.mean())
        length, coefficients = _fit(_distance(points, points), torch.from_numpy(octaves - mean))
        weight = _MOST_WEIGHT * len(summary) / (len(summary) + _HALF_WEIGHT)
        return OwnRecords(weight, best, centre, scale, points, length, mean, coefficients)

    def predict(self, summary: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log2 throughput of schedules, float64 (m,): far from all records it is the records' mean.

        Args:
            summary: (m, F), see `summaries`.
        """
        distance = _distance(_placed(summary, self._centre, self._scale), self._points)
        octaves: NDArray[np.float64] = (torch.exp(-distance / self._length) @ self._coefficients).numpy()
        return self.best + self._mean + octaves


@dataclass
class TaskProcesses:
    """The process of each task, made when it is first asked for. `clear` it when records or weights change."""

    _known: dict[str, OwnRecords | None] = field(default_factory=dict)

    def clear(self) -> None:
        self._known.clear()

    def of(self, task: str, replay: ReplayBuffer, scorer: Scorer) -> OwnRecords | None:
        """The process of what is remembered of a task; None where that is too little."""
        if task not in self._known:
            self._known[task] = _process_of(replay.tasks_[task].ids, replay, scorer) if task in replay.tasks_ else None
        return self._known[task]


def _process_of(slots: list[int], replay: ReplayBuffer, scorer: Scorer) -> OwnRecords | None:
    if len(slots) < LEAST_RECORDS:
        return None
    ids = np.array(slots, dtype=np.int64)
    ids = ids[choose_records(replay.latency(ids))]
    graphs = replay.gather(ids)
    _, time_shares = scorer(graphs)
    return OwnRecords.of(summaries(graphs, time_shares), log_throughput(replay.flop(ids), replay.latency(ids)))


def _placed(
    summary: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    reach = _CLIP * scale.max()
    placed: NDArray[np.float64] = np.clip((summary - centre) * scale, -reach, reach)
    return placed


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> Tensor:
    """Euclidean, (len(a), len(b))."""
    return torch.cdist(torch.from_numpy(a), torch.from_numpy(b))


def _fit(distance: Tensor, values: Tensor) -> tuple[float, Tensor]:
    """The length of the kernel, and the coefficients of its functions at the records."""
    count = len(values)
    best = (-math.inf, _LENGTHS[0], torch.zeros_like(values))
    for length in _LENGTHS:
        kernel = torch.exp(-distance / length)
        for noise in _NOISES:
            factor = torch.linalg.cholesky(kernel + noise * torch.eye(count, dtype=values.dtype))
            coefficients = torch.cholesky_solve(values[:, None], factor)[:, 0]
            variance = float(values @ coefficients) / count + 1e-12
            evidence = -0.5 * count * math.log(variance) - float(factor.diagonal().log().sum())
            if evidence > best[0]:
                best = (evidence, length, coefficients)
    return best[1], best[2]
