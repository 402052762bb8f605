"""How many values a reduction axis has where its extent is an expression: windows that overlap unevenly, triangles,
sparse rows. An axis has one extent for all elements here, the mean."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import floor, prod
from statistics import fmean

from tvm_gnn_cost.graphs.expression import Node

_POINTS = 4096
"""Values of an extent that are averaged: all, or so many evenly spaced ones."""


def estimated_extent(name: str, extent: Node, axes: Mapping[str, int], indexed: Sequence[tuple[Node, int]]) -> int:
    """The mean extent of the reduction axis `name`, rounded; 1 where nothing is known of it.

    Args:
        name: of the axis.
        extent: its extent, an expression over the axes before it.
        axes: the extents of these, by name.
        indexed: the indices of what the reduction reads, each with the size of the dimension that it indexes. Where
            data decide on the extent, as in sparse rows, the elements of such a dimension are shared evenly.
    """
    try:
        mean = _mean(extent, axes)
    except _NotKnown:
        mean = min(_shares(name, indexed, axes), default=1.0)
    return max(0, floor(mean + 0.5))


class _NotKnown(Exception):
    """The value of an expression depends on more than the axes, or on what is not computed here."""


def _mean(extent: Node, axes: Mapping[str, int]) -> float:
    """The mean over all values of the axes."""
    names = sorted(_variables(extent) & axes.keys())
    most = max(2, int(_POINTS ** (1.0 / max(1, len(names)))))
    grid = product(*(_spread(axes[name], most) for name in names))
    values = [max(0.0, float(_value(extent, dict(zip(names, point, strict=True))))) for point in grid]
    return fmean(values) if values else 0.0


def _spread(extent: int, most: int) -> list[int]:
    """The values of an axis, or `most` of them, evenly spaced."""
    if extent <= most:
        return list(range(extent))
    return [i * (extent - 1) // (most - 1) for i in range(most)]


def _shares(name: str, indexed: Sequence[tuple[Node, int]], axes: Mapping[str, int]) -> Iterator[float]:
    """For each dimension that the axis runs over: its size, shared by the elements that data give a part each."""
    for index, size in indexed:
        if name in _variables(index):
            owners = {v for load in _outer_loads(index) for v in _variables(load, through_loads=True)} & axes.keys()
            yield size / max(1, prod(axes[owner] for owner in owners))


def _variables(node: Node, through_loads: bool = False) -> set[str]:
    """The variables of an expression; those in what loads are indexed with count on request."""
    if node.kind == "Var":
        return {node.value}
    if node.kind == "Load" and not through_loads:
        return set()
    return {name for child in node.children for name in _variables(child, through_loads)}


def _outer_loads(node: Node) -> list[Node]:
    if node.kind == "Load":
        return [node]
    return [load for child in node.children for load in _outer_loads(child)]


def _value(node: Node, variables: Mapping[str, int]) -> int:
    """The value of an expression of integers."""
    if node.kind == "Const":
        return int(node.value)
    if node.kind == "Var" and node.value in variables:
        return variables[node.value]
    if node.kind == "Cast" or (node.kind == "Call" and node.value == "tir.likely"):
        return _value(node.children[0], variables)
    if node.kind == "Select":
        condition, yes, no = node.children
        return _value(yes if _value(condition, variables) else no, variables)
    combine = _OF_TWO.get(node.value if node.kind == "Call" else node.kind)
    if combine is None:
        raise _NotKnown
    a, b = (_value(child, variables) for child in node.children)
    try:
        return int(combine(a, b))
    except (ZeroDivisionError, ValueError):
        raise _NotKnown from None


def _truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_OF_TWO: Mapping[str, Callable[[int, int], int]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": _truncated,
    "Mod": lambda a, b: a - b * _truncated(a, b),
    "FloorDiv": operator.floordiv,
    "FloorMod": operator.mod,
    "Min": min,
    "Max": max,
    "EQ": operator.eq,
    "NE": operator.ne,
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
    "And": lambda a, b: a and b,
    "Or": lambda a, b: a or b,
    "tir.shift_left": operator.lshift,
    "tir.shift_right": operator.rshift,
}
