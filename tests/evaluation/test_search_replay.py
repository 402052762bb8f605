from __future__ import annotations

import math

import numpy as np
import pytest

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.methods import Estimate, Learner
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.search_replay import (
    KEPT_SHARE,
    NEAR_BEST,
    ReplayOptions,
    best_after,
    relative_throughput,
    replay,
    thin,
    trials_to,
)
from tvm_gnn_cost.graphs.stage_graph import IntArray

from .problems import make_pool, make_problem

INF = math.inf


class Scripted(Learner):
    """Gives each record a score of its own, and remembers its lessons."""

    def __init__(self, scores: list[float], warm: bool = True) -> None:
        self.scores = np.array(scores)
        self.lessons: list[list[int]] = []
        self._warm = warm

    @property
    def is_warm(self) -> bool:
        return self._warm or bool(self.lessons)

    def learn(self, problem: Problem, records: IntArray) -> None:
        self.lessons.append(records.tolist())

    def predict(self, problem: Problem, records: IntArray) -> Estimate:
        return Estimate(self.scores[records], np.full(len(records), np.nan))


def test_a_thinned_pool_keeps_the_best_and_few_good_ones() -> None:
    latency = np.concatenate([np.linspace(1.0, NEAR_BEST, 100), np.linspace(1.3, 9.0, 97), [INF] * 3])
    kept = thin(latency, np.random.default_rng(0))
    good = kept[latency[kept] <= NEAR_BEST]
    assert len(good) == round(KEPT_SHARE * 200) == 3 and 0 in good
    assert set(range(100, 200)) <= set(kept.tolist()) and len(kept) == 103
    np.testing.assert_array_equal(kept, thin(latency, np.random.default_rng(0)))
    assert not np.array_equal(kept, thin(latency, np.random.default_rng(1)))


def test_a_small_or_sparse_pool_keeps_its_best() -> None:
    np.testing.assert_array_equal(thin(np.array([3.0, 1.0, 1.1, INF]), np.random.default_rng(0)), [0, 1, 3])
    np.testing.assert_array_equal(thin(np.array([3.0, 1.0]), np.random.default_rng(0)), [0, 1])
    assert not len(thin(np.array([INF, INF]), np.random.default_rng(0)))


#                    record: 0    1    2    3    4    5    6    7
PROBLEM = make_problem(make_pool("p", [4.0, 2.0, INF, 8.0, 1.0, 3.0, 1.25, 5.0]))
ALL = np.arange(8)


def test_a_warm_model_picks_what_it_scores_highest() -> None:
    learner = Scripted([0.1, 0.9, 0.8, 0.2, 0.3, 0.7, 0.6, 0.0])
    picked = replay(learner, PROBLEM, ALL, ALL, ReplayOptions(round=2, trials=8))
    # rounds: (1, 2), (5, 6), (4, 3): record 4 is the best, so the search ends there, and nothing is learnt of it
    assert picked.tolist() == [1, 2, 5, 6, 4, 3]
    assert learner.lessons == [[1, 2], [5, 6]]
    relative = relative_throughput(PROBLEM.pool.latency[picked], 1.0)
    np.testing.assert_allclose(relative, [1 / 2, 0.0, 1 / 3, 1 / 1.25, 1.0, 1 / 8])
    found = relative.tolist()
    assert [best_after(found, trials, 8) for trials in (1, 2, 4, 5, 8)] == [0.5, 0.5, 0.8, 1.0, 1.0]
    assert math.isnan(best_after(found, 16, 8))
    assert [trials_to(found, goal) for goal in (0.5, 0.75, 0.9)] == [1, 4, 5]
    assert trials_to(found[:4], 0.9) is None


def test_a_cold_model_begins_with_the_given_order() -> None:
    order = np.array([7, 0, 3, 1, 6, 2, 4, 5])
    learner = Scripted([0, 0, 0, 0, 9, 1, 0, 0], warm=False)
    picked = replay(learner, PROBLEM, ALL, order, ReplayOptions(round=3, trials=8))
    assert picked.tolist() == [7, 0, 3, 4, 5, 1]  # equal scores: 1 comes before 6 and 2 in the order
    assert learner.lessons == [[7, 0, 3]]


def test_a_replay_ends_with_its_trials_or_its_pool() -> None:
    never_the_best = Scripted([1, 1, 1, 1, 0, 1, 1, 1])
    assert len(replay(never_the_best, PROBLEM, ALL, ALL, ReplayOptions(round=2, trials=5))) == 5
    assert len(replay(never_the_best, PROBLEM, ALL, ALL, ReplayOptions(round=3, trials=99))) == 8


def test_only_the_given_records_are_picked() -> None:
    some = np.array([0, 2, 3, 5])
    picked = replay(Scripted([0.0] * 8), PROBLEM, some, some[::-1].copy(), ReplayOptions(round=3, trials=9))
    assert picked.tolist() == [5, 3, 2]  # the best of those is 5, of the first round


@pytest.mark.parametrize(("per_round", "trials"), [(0, 8), (16, 8)])
def test_wrong_options_are_refused(per_round: int, trials: int) -> None:
    with pytest.raises(InvalidArgumentError, match="a replay needs rounds"):
        ReplayOptions(per_round, trials)
