"""How well scores order and predict latencies within one task. All take arrays of the same task's schedules."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tvm_gnn_cost.errors import InvalidArgumentError

MIN_RANKED = 16
"""Fewer schedules of a task than this are not ranked: their figures would be noise."""

_BLOCK = 1024  # rows compared at a time: 50,000 schedules need no 2.5 GB matrix


def pairwise_accuracy(scores: ArrayLike, latency: ArrayLike) -> float:
    """Share of pairs whose order by score (higher is better) is the order by latency (lower is better).

    Pairs of equal latency, two failed ones included, do not count; a tie in scores counts half. A failed schedule
    (latency inf) is slower than every measured one. NaN where no pair counts.

    Shapes: (n,), (n,) -> float.
    """
    s, t = _pair_of_arrays(scores, latency)
    right = total = 0.0
    for start in range(0, len(s), _BLOCK):
        block = slice(start, start + _BLOCK)
        faster = t[block, None] < t[None, :]  # every unordered pair appears once, led by its faster schedule
        total += np.count_nonzero(faster)
        right += np.count_nonzero(faster & (s[block, None] > s[None, :]))
        right += 0.5 * np.count_nonzero(faster & (s[block, None] == s[None, :]))
    return right / total if total else float("nan")


def top_k_score(scores: ArrayLike, latency: ArrayLike, k: int) -> float:
    """Best latency of all over the best latency among the k highest-scored: 1 is perfect, 0 if those all failed.

    Equal scores are taken in the given order. NaN where every schedule failed or there is none.

    Shapes: (n,), (n,) -> float.
    """
    s, t = _pair_of_arrays(scores, latency)
    if k < 1:
        raise InvalidArgumentError(f"k must be at least 1, got {k}")
    if not np.isfinite(t).any():
        return float("nan")
    chosen = np.argsort(-s, kind="stable")[:k]
    return float(t.min() / t[chosen].min())


def spearman(scores: ArrayLike, latency: ArrayLike) -> float:
    """Rank correlation of score and speed, ties with their mean rank: 1 is perfect order. NaN if one is constant.

    Shapes: (n,), (n,) -> float.
    """
    s, t = _pair_of_arrays(scores, latency)
    if len(s) < 2:
        return float("nan")
    a, b = _mean_ranks(s), _mean_ranks(-t)
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else float("nan")


def mean_absolute_percentage_error(predicted: ArrayLike, latency: ArrayLike) -> float:
    """Mean of |predicted - latency| / latency in percent, over schedules that were measured and predicted.

    Shapes: (n,), (n,) -> float, in seconds both. NaN where none is left.
    """
    p, t = np.asarray(predicted, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    if p.shape != t.shape or p.ndim != 1:
        raise InvalidArgumentError(f"predicted and latency must have one shape (n,), got {p.shape} and {t.shape}")
    known = np.isfinite(p) & np.isfinite(t)
    return float(100.0 * np.mean(np.abs(p[known] - t[known]) / t[known])) if known.any() else float("nan")


def _pair_of_arrays(scores: ArrayLike, latency: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    s, t = np.asarray(scores, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    if s.shape != t.shape or s.ndim != 1:
        raise InvalidArgumentError(f"scores and latency must have one shape (n,), got {s.shape} and {t.shape}")
    for name, values in (("scores", s), ("latency", t)):
        if np.isnan(values).any():
            raise InvalidArgumentError(f"{name}[{int(np.isnan(values).argmax())}] is NaN")
    return s, t


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse].astype(np.float64)
