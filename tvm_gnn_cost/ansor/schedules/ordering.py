"""In which order a network's tasks begin, where each may begin from the schedules of those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvm_gnn_cost.ansor.schedules.structure import distance

_FARTHEST = 8.0
"""Octaves: nothing that is known helps a task that is farther from it, nor one of another structure."""


def most_helpful_first(
    shapes: Sequence[tuple[str, Sequence[int]]], importance: Sequence[float], known: Sequence[float]
) -> list[int]:
    """The tasks, each time the one whose schedules help those that have not begun most, itself among them.

    A task is helped by what is known of the same structure, the nearer the better. So of several of one structure the
    one in their midst begins, and the others come last; among equals, the most important.

    Args:
        shapes: of each task its structure and extents, as `structure_of` gives them.
        importance: of each, its share of the time, in any unit.
        known: of each, how far from it the nearest is that a database holds, in octaves; inf: there is none.
    """
    apart = [
        [distance(mine, other) if structure == others else math.inf for others, other in shapes]
        for structure, mine in shapes
    ]
    far = [min(octaves, _FARTHEST) for octaves in known]
    left, order = list(range(len(shapes))), list[int]()
    while left:
        saved = {
            task: sum(importance[other] * max(0.0, far[other] - apart[task][other]) for other in left) for task in left
        }
        order.append(max(left, key=lambda task: (saved[task], importance[task])))
        left.remove(order[-1])
        far = [min(octaves, near) for octaves, near in zip(far, apart[order[-1]], strict=True)]
    return order
