"""The register tile of a schedule: how much of each axis its innermost loops compute at once.

It decides what of a program stays in registers and becomes vectors, so that schedules with the same one are often alike
in what limits them, and those with different ones are not.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.ansor.schedules.fitting import MOST_INNERMOST, Steps, divisors, with_innermost
from tvm_gnn_cost.ansor.states.reader import ADD_A_STAGE

Tile = tuple[Any, ...]

_DRAWS = 4
"""For each tile that is asked for, as some are drawn twice or known."""


def register_tile(steps: Sequence[Sequence[Any]]) -> Tile:
    """What schedules with the same register tile share; to be compared and hashed.

    The innermost lengths of the splits into most parts, which are those of the axes of a tiled stage; of all splits
    where each is into two. With them go the steps that add stages: another sketch is another tile.

    Args:
        steps: as a record's JSON has them.
    """
    added = tuple((step[0], step[1]) for step in steps if step[0] in ADD_A_STAGE)
    return added, tuple((steps[i][1], steps[i][2], steps[i][4][-1]) for i in _tiled(steps))


def with_other_tiles(
    steps: Sequence[Sequence[Any]], known: Container[Tile], most: int, generator: np.random.Generator
) -> list[Steps]:
    """At most `most` schedules that are like this one but for the register tile of one stage, of which none is `known`.

    Each axis keeps the extent of its next outer tile where it can. Not all of them fit.

    Args:
        steps: as a record's JSON has them.
        known: tiles that are left out.
        most: drawn at random where there are more.
        generator: draws.
    """
    places = _tiled(steps)
    choices = [[d for d in divisors(steps[i][3]) if d <= MOST_INNERMOST] for i in places]
    if not places or not all(choices):
        return []
    found: dict[Tile, Steps] = {}
    stages = sorted({steps[i][1] for i in places})
    for _ in range(_DRAWS * most):
        if len(found) == most:
            break
        other: Steps = [list(step) for step in steps]
        stage = generator.choice(stages)
        for i, lengths in zip(places, choices, strict=True):
            if steps[i][1] != stage:
                continue
            other[i][4] = list(with_innermost(steps[i][3], steps[i][4], int(generator.choice(lengths))))
        tile = register_tile(other)
        if tile not in known:
            found.setdefault(tile, other)
    return list(found.values())


def _tiled(steps: Sequence[Sequence[Any]]) -> list[int]:
    """The splits into most parts: their places among the steps."""
    splits = [i for i, step in enumerate(steps) if step[0] == "SP" and step[4] and step[5]]
    most = max((len(steps[i][4]) for i in splits), default=0)
    return [i for i in splits if len(steps[i][4]) == most]
