"""TIR's index expressions as `digits.Index`: what of each loop, or of each axis of a block, an index is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.digits import UNKNOWN, Digit, Index, Limits, add, capped, divided, remainder, scaled
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround

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


def limits_of(predicate: Any, values: Values) -> dict[frozenset[Digit], tuple[int, int]]:
    """The bounds that a block's predicate (`T.where`) has for sums of digits, where it compares them with numbers."""
    limits: dict[frozenset[Digit], tuple[int, int]] = {}
    stack = [predicate]
    while stack:
        condition = stack.pop()
        kind = type(condition).__name__
        if kind == "And":
            stack += [condition.a, condition.b]
        elif kind in ("LT", "LE", "GT", "GE"):
            less, more = (index_of(x, values, {}) for x in (condition.a, condition.b))
            if kind in ("GT", "GE"):
                less, more = more, less
            strictly = kind in ("LT", "GT")
            if not (less.exact and more.exact) or bool(less.digits) == bool(more.digits):
                continue
            key = frozenset(less.digits or more.digits)
            low, high = limits.get(key, (0, Index(tuple(key)).span))
            if less.digits:
                high = min(high, more.constant - less.constant + (not strictly))
            else:
                low = max(low, less.constant - more.constant + strictly)
            limits[key] = low, high
    return limits


def within(index: Index, extent: int, limits: Limits) -> Index:
    """The value of an axis of so many values, under a predicate."""
    low, high = limits.get(frozenset(index.digits), (0, extent))
    return capped(index, min(extent, max(1, high - low)))


def axis_values(around: BlockAround, extents: Mapping[int, int]) -> tuple[list[Index], Limits]:
    """What each axis of a block is of the loops around it (by their numbers), and what its predicates limit; `extents`
    are those of the axes, by address."""
    values: dict[int, Index] = {
        NAMES.address(loop.variable): Index.of(loop.number, loop.extent) for loop in around.loops
    }
    limits: dict[frozenset[Digit], tuple[int, int]] = {}
    found: list[Index] = []
    for block in (*around.parents, around):
        limits |= limits_of(block.realize.predicate, values)
        found = []
        for axis, value in zip(block.block.iter_vars, block.realize.iter_values, strict=True):
            index = index_of(value, values, limits)
            begins = type(axis.dom.min).__name__ == "IntImm"  # or follows an axis of a block around it
            found.append(within(index, extents[NAMES.address(axis.var)], limits) if begins else index)
        values |= {NAMES.address(axis.var): index for axis, index in zip(block.block.iter_vars, found, strict=True)}
    return found, limits
