"""Index expressions as digits of loops: equal to the expression wherever they say so, and as wide where they do not."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tvm_gnn_cost.meta_schedule.tir.digits import Index, add, capped, divided, remainder, scaled


def values(index: Index, loops: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    total = np.full(loops[0].shape, index.constant)
    for digit in index.digits:
        total = total + digit.scale * (loops[digit.source] // digit.divisor % digit.extent)
    return total


@st.composite
def fused(draw: st.DrawFn) -> tuple[Index, list[NDArray[np.int64]], int]:
    """A fused loop that was split: its loops, each with the product of those inside it, and how many values it has."""
    extents = draw(st.lists(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12]), min_size=1, max_size=3))
    loops = list(np.unravel_index(np.arange(prod(extents)), extents))
    index = Index()
    for number, extent in enumerate(extents):
        index = add(index, scaled(Index.of(number, extent), prod(extents[number + 1 :])))
    return index, loops, prod(extents)


@settings(deadline=None, max_examples=200)
@given(fused(), st.integers(1, 40), st.integers(1, 40))
def test_quotients_and_remainders(case: tuple[Index, list[NDArray[np.int64]], int], by: int, then: int) -> None:
    index, loops, total = case
    whole = values(index, loops)
    assert whole.tolist() == list(range(total))
    for ours, theirs in (
        (divided(index, by, {}), whole // by),
        (remainder(index, by, {}), whole % by),
        (divided(remainder(index, by, {}), then, {}), whole % by // then),
        (remainder(divided(index, by, {}), then, {}), whole // by % then),
    ):
        if ours.exact:
            assert values(ours, loops).tolist() == theirs.tolist()
        assert not ours.digits or ours.span == theirs.max() - theirs.min() + 1


@settings(deadline=None)
@given(fused(), st.integers(1, 300))
def test_what_a_predicate_leaves(case: tuple[Index, list[NDArray[np.int64]], int], most: int) -> None:
    index, _, total = case
    assert capped(index, most).span == min(most, total)


def test_a_sum_is_no_wider_than_it_is() -> None:
    twice = add(Index.of(0, 4), Index.of(0, 4))
    assert twice.span == 7 and add(twice, Index.of(0, 4), -1) == Index.of(0, 4)
