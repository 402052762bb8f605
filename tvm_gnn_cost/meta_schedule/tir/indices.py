"""TIR's index expressions as `digits.Index`: what of each loop, or of each axis of a block, an index is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.digits import UNKNOWN, Digit, Index, Limits, add, capped, divided, remainder, scaled

Values = Mapping[int, Index]
"""By the address of a variable."""


def index_of(expression: Any, values: Values, limits: Limits) -> Index:
    """The index of an expression over variables of known value; an estimate, where it is no sum of digits."""
    kind = type(expression).__name__
    if kind == "IntImm":
        return Index(constant=int(expression.value))
    if kind == "Var":
        return values.get(NAMES.address(expression), UNKNOWN)
    if kind == "Cast":
        return index_of(expression.value, values, limits)
    if kind in ("Add", "Sub"):
        a, b = (index_of(x, values, limits) for x in (expression.a, expression.b))
        return add(a, b, 1 if kind == "Add" else -1)
    if kind not in ("Mul", "FloorDiv", "FloorMod"):
        return UNKNOWN
    a, b = (index_of(x, values, limits) for x in (expression.a, expression.b))
    if kind == "Mul" and not a.digits and a.exact:
        a, b = b, a
    if b.digits or not b.exact:
        return UNKNOWN
    if kind == "Mul":
        return scaled(a, b.constant)
    return (divided if kind == "FloorDiv" else remainder)(a, b.constant, limits)


def limits_of(predicate: Any, values: Values) -> dict[frozenset[Digit], int]:
    """What a block's predicate (`T.where`) keeps below a bound: the sums of digits that it compares with numbers."""
    limits: dict[frozenset[Digit], int] = {}
    stack = [predicate]
    while stack:
        condition = stack.pop()
        kind = type(condition).__name__
        if kind == "And":
            stack += [condition.a, condition.b]
        elif kind in ("LT", "LE"):
            left, right = (index_of(x, values, {}) for x in (condition.a, condition.b))
            if left.digits and left.exact and right.exact and not right.digits:
                bound = right.constant - left.constant + (kind == "LE")
                key = frozenset(left.digits)
                limits[key] = min(bound, limits.get(key, bound))
    return limits


def within(index: Index, extent: int, limits: Limits) -> Index:
    """The value of an axis of so many values, under a predicate."""
    return capped(index, min(extent, limits.get(frozenset(index.digits), extent)))
