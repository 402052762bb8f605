"""FeatureScaler and the metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning import (
    FeatureScaler,
    mean_absolute_percentage_error,
    pairwise_accuracy,
    spearman,
    top_k_score,
)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), seed=st.integers(0, 99))
def test_partial_fit_in_pieces_equals_fit(cuts: list[int], seed: int) -> None:
    rows = np.random.default_rng(seed).normal(3.0, 2.0, (60, 4)).astype(np.float32)
    whole, pieces = FeatureScaler(4).fit(rows), FeatureScaler(4)
    for part in np.split(rows, sorted(cuts)):
        pieces.partial_fit(part)
    assert pieces.count_ == whole.count_ == 60
    np.testing.assert_allclose(pieces.mean_, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(pieces.variance_), rows.std(0), rtol=1e-4)


def test_scaled_columns_and_dtype() -> None:
    rows = np.random.default_rng(0).normal(100.0, 5.0, (500, 3)).astype(np.float32)
    scaled = FeatureScaler(3).fit(rows).transform(rows)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-2)


def test_constant_column_is_zero_and_harmless_when_it_varies() -> None:
    rows = np.full((50, 1), 0.1, dtype=np.float32)
    scaler = FeatureScaler(1).fit(rows)
    assert (scaler.transform(rows) == 0).all() and (scaler.transform(rows + 1e6) == 0).all()
    scaler.partial_fit(np.array([[0.2]], dtype=np.float32))
    assert np.abs(scaler.transform(np.array([[1e9]], dtype=np.float32))).max() == 10.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_column_is_named(value: float) -> None:
    rows = np.zeros((3, 4), dtype=np.float32)
    rows[1, 2] = value
    for call in (FeatureScaler(4).partial_fit, FeatureScaler(4).transform, FeatureScaler(4).fit):
        with pytest.raises(InvalidArgumentError, match="column 2"):
            call(rows)
    with pytest.raises(InvalidArgumentError, match="shape"):
        FeatureScaler(3).transform(rows)


def test_pairwise_accuracy_by_hand() -> None:
    assert pairwise_accuracy([3, 2, 1], [1.0, 2.0, 3.0]) == 1.0
    assert pairwise_accuracy([1, 2, 3], [1.0, 2.0, 3.0]) == 0.0
    assert pairwise_accuracy([1, 1, 1], [1.0, 2.0, 3.0]) == 0.5
    assert pairwise_accuracy([3, 1, 2], [1.0, 1.0, 2.0]) == 0.5  # the pair of equal latencies does not count
    assert pairwise_accuracy([3, 1, 0], [1.0, math.inf, math.inf]) == 1.0
    assert math.isnan(pairwise_accuracy([1, 2], [math.inf, math.inf]))
    assert math.isnan(pairwise_accuracy([], []))
    with pytest.raises(InvalidArgumentError, match="NaN"):
        pairwise_accuracy([math.nan], [1.0])


def test_pairwise_accuracy_in_blocks() -> None:
    rng = np.random.default_rng(0)
    scores, latency = rng.integers(0, 40, 1500).astype(float), rng.integers(1, 40, 1500).astype(float)
    difference = np.sign(scores[:, None] - scores[None]) * np.sign(latency[None] - latency[:, None])
    counted = np.sign(latency[None] - latency[:, None]) != 0
    assert pairwise_accuracy(scores, latency) == pytest.approx((difference[counted].mean() + 1) / 2)


def test_top_k_score() -> None:
    latency = [4.0, 1.0, 2.0, math.inf]
    assert top_k_score([9, 1, 5, 0], latency, 1) == 0.25
    assert top_k_score([9, 1, 5, 0], latency, 2) == 0.5
    assert top_k_score([9, 1, 5, 0], latency, 10) == 1.0
    assert top_k_score([0, 0, 0, 1], latency, 1) == 0.0
    assert math.isnan(top_k_score([1], [math.inf], 1))
    with pytest.raises(InvalidArgumentError, match="k must"):
        top_k_score([1], [1.0], 0)


def test_spearman_and_mape() -> None:
    assert spearman([3, 2, 1], [1.0, 2.0, 30.0]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [1.0, 2.0, 30.0]) == pytest.approx(-1.0)
    ranks = [3.5, 3.5, 1, 2], [4, 3, 2, 1]
    assert spearman([3, 3, 1, 2], [1.0, 2.0, 3.0, math.inf]) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert math.isnan(spearman([1, 1], [1.0, 2.0]))
    assert mean_absolute_percentage_error([1.1, 4.0, 1.0], [1.0, 2.0, math.inf]) == pytest.approx(55.0)
    assert math.isnan(mean_absolute_percentage_error([math.nan], [1.0]))
