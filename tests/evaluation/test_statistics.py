"""Ranking, error, noise and calibration, on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tvm_gnn_cost.evaluation.calibration import reliability
from tvm_gnn_cost.evaluation.error import improvement, noise_floors, prediction_error, reading_pairs
from tvm_gnn_cost.evaluation.held_out import HeldOut, Ranking, fitting_sizes
from tvm_gnn_cost.evaluation.results import decode, encode
from tvm_gnn_cost.learning.metrics import MIN_RANKED

from .problems import make_pool, make_problem


def held_out(best: float, predicted: list[float], latency: list[float]) -> HeldOut:
    return HeldOut(8, best, best / np.array(predicted), np.array(predicted), np.array(latency))


def test_only_measured_schedules_are_ranked() -> None:
    latency = np.concatenate([np.arange(1.0, 21.0), [math.inf] * 5])
    scores = np.concatenate([-np.arange(20.0), np.full(5, 99.0)])
    assert Ranking.of(scores, latency) == Ranking(1.0, pytest.approx(1.0), 1.0, 1.0)
    backwards = Ranking.of(-scores, latency)
    assert backwards is not None and (backwards.pairwise, backwards.top1, backwards.top5) == (0.0, 1 / 20, 1 / 16)


def test_few_schedules_are_not_ranked() -> None:
    latency = np.concatenate([np.arange(1.0, MIN_RANKED), [math.inf] * 9])
    assert Ranking.of(latency, latency) is None


def test_sizes_leave_enough_to_rank() -> None:
    problem = make_problem(make_pool(count=64 + MIN_RANKED))
    assert fitting_sizes(problem, (128, 64, 32)) == (32, 64)
    assert fitting_sizes(make_problem(make_pool(count=64 + MIN_RANKED - 1)), (64, 128)) == ()


def test_the_error_is_over_measured_schedules() -> None:
    assert prediction_error(held_out(1.0, [1.1, 3.0, 7.0], [1.0, 4.0, math.inf])) == pytest.approx((10 + 25) / 2)
    assert math.isnan(prediction_error(held_out(1.0, [math.nan], [1.0])))


def test_noise_is_told_from_readings() -> None:
    readings = [[1.0, 1.1, 1.2, 1.0, 1.3], *([2.0 + i, 2.2 + i] for i in range(7)), [5.0], []]
    pool = make_pool(latency=[1.0] * len(readings), readings=readings)
    pairs = reading_pairs(make_problem(pool))
    assert pairs.shape == (8, 2)
    assert pairs[0].tolist() == [1.0, 1.0]  # minima of (1.0, 1.2, 1.3) and of (1.1, 1.0)
    (floor,) = noise_floors(make_problem(pool))
    assert (floor.source, floor.schedules, floor.ceiling) == ("readings", 8, 1.0)
    assert floor.error == pytest.approx(100 * np.mean([0.2 / (2 + i) for i in range(7)] + [0.0]))


def test_noise_is_told_from_schedules_measured_twice() -> None:
    pairs = [[1.0 + i, 1.5 + i] for i in range(7)] + [[8.0, 1.0]]
    pool = make_pool(latency=[1.0], readings=[[1.0]])
    (floor,) = noise_floors(make_problem(pool, pairs))
    assert (floor.source, floor.schedules) == ("remeasured", 8)
    assert floor.ceiling == pytest.approx(1 - 7 / 28)  # the last schedule is ordered otherwise against all others
    assert not noise_floors(make_problem(pool, pairs[:7]))


def test_improvement_is_the_baseline_over_the_error() -> None:
    assert improvement(30.0, 10.0) == 3.0
    assert math.isnan(improvement(math.nan, 10.0)) and math.isnan(improvement(30.0, math.nan))


def test_reliability_is_by_bins() -> None:
    # relative to the best known, 1 ms: predicted 0.95, 0.91, 0.5, 2.0; measured 0.85, 0.71, 0.7, 1.25
    found = reliability(
        [
            held_out(1.0, [1 / 0.95, 1 / 0.91, 1 / 0.5], [1 / 0.85, 1 / 0.71, 1 / 0.7]),
            held_out(2.0, [1.0, 1.0], [1.6, math.inf]),
        ]
    )
    assert found is not None and found.counts == (1, 3)
    np.testing.assert_allclose(found.predicted, [0.5, (0.95 + 0.91 + 2.0) / 3])
    np.testing.assert_allclose(found.measured, [0.7, (0.85 + 0.71 + 1.25) / 3])
    assert found.expected_error == pytest.approx((0.2 + 3 * abs(3.86 - 2.81) / 3) / 4)


def test_nothing_predicted_has_no_reliability() -> None:
    assert reliability([held_out(math.inf, [1.0], [1.0]), held_out(1.0, [math.nan], [1.0])]) is None
    assert reliability([held_out(1.0, [1.0], [math.inf])]) is None


def test_what_is_not_finite_survives_the_results_file() -> None:
    before = HeldOut(0, math.inf, np.array([0.25, 1 / 3]), np.array([math.nan, 2.0]), np.array([math.inf, 3.0]))
    after = decode(encode(before))
    assert (after.learnt, after.best) == (0, math.inf)
    for name in ("scores", "predicted", "latency"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-8)
