"""How well scores order schedules, of a task that is partly known and of a task never seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tvm_gnn_cost.evaluation.methods import Learner
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.graphs.stage_graph import IntArray
from tvm_gnn_cost.learning.metrics import MIN_RANKED, pairwise_accuracy, spearman, top_k_score

LEARNT = (64, 128, 256)
"""Records of a task that are learnt before its others are ranked."""

_SMALL_SIZES = (32, 16)  # where no pool is large enough for LEARNT


@dataclass(frozen=True)
class Ranking:
    """How measured schedules are ordered.

    Attributes:
        pairwise: the share of pairs in the right order.
        spearman: the rank correlation of score and speed.
        top1, top5: best latency over the best among the 1 or 5 schedules with the highest scores.
    """

    pairwise: float
    spearman: float
    top1: float
    top5: float

    @staticmethod
    def of(scores: ArrayLike, latency: ArrayLike) -> Ranking | None:
        """The ranking of schedules by scores (n,) against latency (n,) in seconds; None for fewer than MIN_RANKED.

        Failed schedules (latency inf) are not ranked: any method can learn to avoid most of them, and a pool with many
        would flatter all.
        """
        s, t = np.asarray(scores, dtype=np.float64), np.asarray(latency, dtype=np.float64)
        measured = np.isfinite(t)
        if measured.sum() < MIN_RANKED:
            return None
        s, t = s[measured], t[measured]
        return Ranking(pairwise_accuracy(s, t), spearman(s, t), top_k_score(s, t, 1), top_k_score(s, t, 5))


@dataclass(frozen=True)
class HeldOut:
    """What a method says of schedules that it has not learnt.

    Attributes:
        learnt: records of the task that it has learnt.
        best: the fastest of those in seconds; inf for none.
        scores: float64 (n,), relative throughput.
        predicted: float64 (n,), latency in seconds; nan where the method predicts none.
        latency: float64 (n,), as measured, in seconds; inf: failed.
    """

    learnt: int
    best: float
    scores: NDArray[np.float64]
    predicted: NDArray[np.float64]
    latency: NDArray[np.float64]


def learnt_sizes(problems: Iterable[Problem], asked: Sequence[int] | None) -> tuple[int, ...]:
    """The numbers of learnt records: as asked for, else LEARNT, or fewer where no pool is large enough for those."""
    if asked is not None:
        return tuple(asked)
    largest = max((len(problem) for problem in problems), default=0)
    fewer = [size for size in _SMALL_SIZES if size + MIN_RANKED <= largest]
    return LEARNT if LEARNT[0] + MIN_RANKED <= largest or not fewer else (fewer[0],)


def fitting_sizes(problem: Problem, sizes: Sequence[int]) -> tuple[int, ...]:
    """Those numbers of learnt records that leave the pool at least MIN_RANKED records to rank."""
    return tuple(size for size in sorted(set(sizes)) if size + MIN_RANKED <= len(problem))


def rank_held_out(learner: Learner, problem: Problem, sizes: Sequence[int], order: IntArray) -> list[HeldOut]:
    """Learns the first records of `order`, int64 (n,), and scores the others; then learns more.

    Args:
        sizes: how many records are learnt before each scoring; see `fitting_sizes`.
    """
    found, learnt = [], 0
    for size in sizes:
        learner.learn(problem, order[learnt:size])
        learnt, rest = size, order[size:]
        best = float(problem.pool.latency[order[:size]].min())
        found.append(_held_out(learner, problem, rest, learnt, best))
    return found


def rank_unseen(learner: Learner, problem: Problem, order: IntArray) -> HeldOut:
    """Scores all records, in this order, none of them learnt."""
    return _held_out(learner, problem, order, 0, float("inf"))


def _held_out(learner: Learner, problem: Problem, records: IntArray, learnt: int, best: float) -> HeldOut:
    prediction = learner.predict(problem, records)
    return HeldOut(learnt, best, prediction.scores, prediction.latency, problem.pool.latency[records])
