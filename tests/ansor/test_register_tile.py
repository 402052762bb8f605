"""Schedules with the same register tile, and with others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tvm_gnn_cost.ansor.schedules.register_tile import register_tile, with_other_tiles

DENSE: list[list[Any]] = [
    ["SP", 2, 0, 512, [2, 16, 16], 1], ["SP", 2, 4, 512, [4, 8, 16], 1], ["SP", 2, 8, 512, [32], 1],
    ["RE", 2, [0, 4, 1, 5, 8, 2, 6, 9, 3, 7]], ["FSP", 3, 0, 0, 2], ["AN", 2, 9, 2],
]  # fmt: skip


def with_lengths(*lengths: list[int]) -> list[list[Any]]:
    splits = [[*step[:4], own, step[5]] for step, own in zip(DENSE, lengths, strict=False)]
    return splits + DENSE[len(lengths) :]


def test_the_innermost_lengths_of_a_tiled_stage_make_the_tile() -> None:
    same = with_lengths([1, 32, 16], [1, 1, 16], [8])
    assert register_tile(same) == register_tile(DENSE)
    assert register_tile(with_lengths([2, 16, 8], [4, 8, 16], [32])) != register_tile(DENSE)


def test_without_tiles_all_splits_count() -> None:
    one, other = ([["SP", 1, 0, 512, [length], 1], ["AN", 1, 1, 2]] for length in (16, 64))
    assert register_tile(one) != register_tile(other)
    assert register_tile([["AN", 1, 0, 3]]) == register_tile([]), "nothing is split"
    assert register_tile([["SP", 1, 0, 512, [], 1]]) == register_tile([]), "a split into one part is none"


def test_another_sketch_is_another_tile() -> None:
    assert register_tile([["CHW", 1], *DENSE]) != register_tile(DENSE)
    assert register_tile([["RF", 1, 2, 1], *DENSE]) != register_tile([["CHW", 1], *DENSE])


def test_others_differ_in_the_tile_alone() -> None:
    known = {register_tile(DENSE), register_tile(with_lengths([2, 16, 16], [4, 8, 8]))}
    others = with_other_tiles(DENSE, known, 200, np.random.default_rng(0))
    tiles = [register_tile(other) for other in others]
    assert len(set(tiles)) == len(tiles) == 7 * 7 - 2, "all divisors of 512 up to 64, of both axes"
    assert not known & set(tiles)
    for other in others:
        assert other[2:] == DENSE[2:] and [step[:4] for step in other] == [step[:4] for step in DENSE]
        for step, was in zip(other[:2], DENSE[:2], strict=True):
            assert 512 % math.prod(step[4]) == 0 and step[4][0] == was[4][0]
            assert math.prod(step[4][1:]) == math.prod(was[4][1:]), "the tile around it is as large as it was"


def test_one_stage_at_a_time_is_changed() -> None:
    both = [*DENSE, ["SP", 5, 0, 64, [2, 2, 2], 1]]
    for other in with_other_tiles(both, set(), 50, np.random.default_rng(0)):
        assert (other[:2] == DENSE[:2]) != (other[-1] == both[-1]) or other == both


def test_no_split_has_no_other_tiles() -> None:
    assert with_other_tiles([["AN", 1, 0, 3]], set(), 8, np.random.default_rng(0)) == []
