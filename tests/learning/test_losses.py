"""Losses: corner cases, task separation, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning import LOSSES, get_loss

INF = math.inf
WITHIN_TASK = [name for name in LOSSES if name != "hybrid"]


def labels(values: list[list[float]]) -> tuple[Tensor, Tensor, Tensor]:
    """log_throughput, log_best and group of tasks given as lists of log2 throughput."""
    z = torch.tensor([v for task in values for v in task], dtype=torch.float64)
    best = torch.tensor([max(task) for task in values for _ in task], dtype=torch.float64)
    return z, best, torch.tensor([i for i, task in enumerate(values) for _ in task])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "values",
    [
        [[1.0]],
        [[-INF]],
        [[-INF, -INF, -INF]],
        [[2.0, 2.0, 2.0]],
        [[1.0], [5.0], [-INF]],
        [[1.0, -INF], [-INF, -INF], [3.0, 9.0, -40.0]],
    ],
)
def test_corner_cases_are_finite(name: str, values: list[list[float]]) -> None:
    z, best, group = labels(values)
    for spread in (0.0, 1.0, 1e3):
        score = (spread * torch.linspace(-1, 1, len(z), dtype=torch.float64)).requires_grad_()
        loss = get_loss(name)(score, z, best, group)
        loss.backward()
        assert math.isfinite(loss.item()) and loss.item() >= 0
        assert score.grad is not None and torch.isfinite(score.grad).all()


@pytest.mark.parametrize("name", WITHIN_TASK)
@pytest.mark.parametrize("values", [[[1.0]], [[-INF, -INF]], [[1.0], [7.0]]])
def test_nothing_to_compare_is_zero_loss(name: str, values: list[list[float]]) -> None:
    z, best, group = labels(values)
    score = torch.arange(len(z), dtype=torch.float64).requires_grad_()
    loss = get_loss(name)(score, z, best, group)
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert score.grad is not None and score.grad.abs().max() < 1e-12


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_scores_are_least(name: str) -> None:
    z, best, group = labels([[0.0, 1.0, 3.0, 2.5], [-7.0, -4.0, -9.0]])
    perfect = get_loss(name)(z, z, best, group).item()
    assert perfect < 1e-9
    assert get_loss(name)(-z, z, best, group).item() > perfect + 0.05


@pytest.mark.parametrize("name", WITHIN_TASK)
@settings(max_examples=30, deadline=None)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_a_task_offset_changes_nothing(name: str, shift: float, seed: int) -> None:
    z, best, group = labels([[0.0, 1.0, -INF, 3.0], [-7.0, -4.0, -9.0]])
    score = torch.randn(len(z), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    moved = score + shift * (group == 1)
    loss = get_loss(name)
    torch.testing.assert_close(loss(moved, z, best, group), loss(score, z, best, group), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name: str) -> None:
    z, best, group = labels([[0.0, 1.0, -INF, 3.0], [-7.0, -4.2, -9.0]])
    score = torch.tensor([0.3, 0.2, 0.9, 1.4, -0.6, 0.1, 0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: get_loss(name)(s, z, best, group), (score,))


@pytest.mark.parametrize("name", LOSSES)
def test_failed_records_are_pushed_down(name: str) -> None:
    z, best, group = labels([[0.0, 1.0, -INF]])
    score = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64, requires_grad=True)
    get_loss(name)(score, z, best, group).backward()
    assert score.grad is not None and score.grad[2] > 0


def test_rank_emphasises_fast_records() -> None:
    z, best, group = labels([[10.0, 9.0, 1.0, 0.0]])
    loss = get_loss("rank")
    fast_swapped = loss(torch.tensor([9.0, 10.0, 1.0, 0.0], dtype=torch.float64), z, best, group)
    slow_swapped = loss(torch.tensor([10.0, 9.0, 0.0, 1.0], dtype=torch.float64), z, best, group)
    assert fast_swapped > 2 * slow_swapped


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(InvalidArgumentError, match="'mse'.*hybrid, rank"):
        get_loss("mse")
