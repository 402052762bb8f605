"""The elements that a block of a TIR program touches, found by running its indices: nothing of the reader is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround

_POINTS = 4096
"""Iterations of a block that are enumerated at most; of more, as many at random beside the corners."""


class Touched:
    """The elements that a block touches while the loops `running` run and the others stand: somewhere inside, where no
    predicate cuts a tile off, if there is such a place among those that are tried; else `is_cut`."""

    def __init__(self, around: BlockAround, running: Sequence[Any], generator: np.random.Generator) -> None:
        self.around, self.running, self._generator = around, running, generator
        others = [loop for loop in around.loops if loop not in running]
        cuts = set()
        best = -1.0
        for attempt in range(12 if others else 1):
            place = {
                NAMES.address(loop.variable): 0 if not attempt else int(generator.integers(loop.extent))
                for loop in others
            }
            variables, keep = self._at(place)
            cuts.add(keep.tobytes())
            if keep.mean() > best:
                self._variables, best = variables, float(keep.mean())
        self.is_cut = best < 1.0 and len(cuts) > 1

    def _at(self, place: Mapping[int, int]) -> tuple[dict[int, NDArray[np.int64]], NDArray[np.bool_]]:
        """As `_kept`, while the other loops stand at a place."""
        variables = dict(self._points)
        count = len(next(iter(variables.values()), np.zeros(1)))
        return self._kept(variables | {address: np.full(count, value) for address, value in place.items()})

    def _kept(self, variables: dict[int, NDArray[np.int64]]) -> tuple[dict[int, NDArray[np.int64]], NDArray[np.bool_]]:
        """The variables of iterations that a predicate lets run, and which those are; given those of all loops."""
        count = len(next(iter(variables.values()), np.zeros(1)))
        keep = np.ones(count, bool)
        for block in (*self.around.parents, self.around):
            for axis, value in zip(block.block.iter_vars, block.realize.iter_values, strict=True):
                variables[NAMES.address(axis.var)] = evaluate(value, variables) * np.ones(count, np.int64)
            keep &= np.asarray(evaluate(block.realize.predicate, variables), bool)
        return {address: values[keep] for address, values in variables.items()}, keep

    @cached_property
    def _points(self) -> dict[int, NDArray[np.int64]]:
        """Iterations of the running loops: all of them, or many with the corners among them, of all and of those that a
        predicate leaves."""
        extents = [loop.extent for loop in self.running]
        addresses = [NAMES.address(loop.variable) for loop in self.running]
        total = prod(extents)
        if total <= _POINTS:
            return dict(zip(addresses, np.unravel_index(np.arange(total), extents), strict=True)) if extents else {}
        left = [self._left(address, extent) for address, extent in zip(addresses, extents, strict=True)]
        result = {}
        for address, extent, end in zip(addresses, extents, left, strict=True):
            inside = self._generator.integers(0, [[extent], [end]], (2, _POINTS))
            corners = self._generator.integers(0, 2, (2, _POINTS)) * [[extent - 1], [end - 1]]
            result[address] = np.concatenate([*inside, *corners, [0, extent - 1]])
        return result

    def _left(self, address: int, extent: int) -> int:
        """How far a loop runs while all others stand at 0."""
        at_zero = {NAMES.address(loop.variable): np.zeros(extent, np.int64) for loop in self.around.loops}
        _, keep = self._kept(at_zero | {address: np.arange(extent)})
        return 1 + int(np.max(np.flatnonzero(keep), initial=0))

    def extents(self, region: Any) -> list[int]:
        """Of each dimension of a region: the distance of the outermost elements touched, and one."""
        sizes = [int(getattr(size, "value", 1)) for size in NAMES.shape(NAMES.region_buffer(region))]
        result = []
        for part, size in zip(region.region, sizes, strict=True):
            least = evaluate(part.min, self._variables) * np.ones(1, np.int64)
            extent = evaluate(part.extent, self._variables)
            if not np.size(least):
                result.append(0)
            else:
                result.append(min(size, int(np.max(least + extent) - np.min(least))))
        return result


_NUMPY: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
    "Div": np.floor_divide,
    "Mod": np.mod,
    "Min": np.minimum,
    "Max": np.maximum,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
    "EQ": np.equal,
    "NE": np.not_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}


def evaluate(expression: Any, variables: Mapping[int, Any]) -> Any:
    """The values of an expression of integers. Raises ValueError for what it does not know."""
    kind = type(expression).__name__
    if kind == "IntImm":
        return int(expression.value)
    if kind == "Var":
        return variables[NAMES.address(expression)]
    if kind == "Cast":
        return evaluate(expression.value, variables)
    if kind == "Select":
        return np.where(
            evaluate(expression.condition, variables),
            evaluate(expression.true_value, variables),
            evaluate(expression.false_value, variables),
        )
    if kind in _NUMPY:
        return _NUMPY[kind](evaluate(expression.a, variables), evaluate(expression.b, variables))
    raise ValueError(f"a region depends on {kind}")


def has_load(expression: Any) -> bool:
    """Whether data decide on an index: then it is anywhere."""
    if type(expression).__name__ == NAMES.load:
        return True
    children = [getattr(expression, name, None) for name in ("a", "b", "value", "condition", "true_value")]
    children += list(getattr(expression, "args", ()))
    return any(has_load(child) for child in children if child is not None)
