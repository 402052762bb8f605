"""Reductions whose iterations depend on where or what the element is: cumulative, triangular, banded, adaptive, ragged.

A sum whose extent depends on an axis reads along that axis: TVM tiles the others, and cannot split such an extent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.random_programs.contractions import sum_type
from tvm_gnn_cost.workloads.random_programs.pointwise import cast
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, reduce_axes, replaced
from tvm_gnn_cost.workloads.tir import dtype_of, tir


def _either(condition: Any, value: Any) -> Any:
    return tir.Select(condition, value, tir.const(0, dtype_of(value)))


def cumulative(sketch: Sketch) -> list[Stage] | None:
    """Each element with all before it along an axis: by a condition, by zeros, or by an extent that grows."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype == "bool":
        return None
    axis = draws.below(x.rank)
    extent, how = x.shape[axis], draws.choose(("condition", "zeros", "extent"))
    reduce = te.sum if how == "zeros" else draws.choose((te.sum, te.sum, te.max))
    dtype = sum_type(draws, x.dtype) if reduce is te.sum else x.dtype

    def body(t: Any, axes: Sequence[Any]) -> Any:
        (r,) = reduce_axes([axes[axis] + 1 if how == "extent" else extent])
        value = cast(t(*replaced(axes, axis, axes[axis] - r if how == "extent" else r)), dtype)
        if how == "zeros":
            return reduce(_either(r <= axes[axis], value), [r])
        return reduce(value, [r], r <= axes[axis] if how == "condition" else None)

    return [Stage("cumulate", x.shape, (dtype,), (x,), body, reduced=extent)]


def triangular_product(sketch: Sketch) -> list[Stage] | None:
    """A matrix product with a triangular factor, by a condition or by zeros."""
    draws, x = sketch.draws, sketch.operand(2, 2)
    if x is None or not x.is_float:
        return None
    m, k = x.shape
    w = sketch.input((k, sketch.new_axis((m,))), x.dtype)
    by_condition, lower = draws.chance(50), draws.chance(50)

    def body(t: Any, f: Any, axes: Sequence[Any]) -> Any:
        (r,) = reduce_axes([k])
        inside = r <= axes[0] if lower else r >= axes[0]
        value = t(axes[0], r) * f(r, axes[1])
        return te.sum(value, [r], inside) if by_condition else te.sum(_either(inside, value), [r])

    return [Stage("triangle", (m, w.shape[1]), (x.dtype,), (x, w), body, reduced=k)]


def banded(sketch: Sketch) -> list[Stage] | None:
    """The elements at most so many places away along an axis; fewer at the ends."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype == "bool":
        return None
    axis, width = draws.below(x.rank), draws.choose((1, 2, 4))
    extent = x.shape[axis]
    reduce = draws.choose((te.sum, te.max))

    def body(t: Any, axes: Sequence[Any]) -> Any:
        first = tir.max(axes[axis] - width, 0)
        (r,) = reduce_axes([tir.min(axes[axis] + width + 1, extent) - first])
        return reduce(t(*replaced(axes, axis, first + r)), [r])

    return [Stage("band", x.shape, (x.dtype,), (x,), body, reduced=min(extent, 2 * width + 1))]


def adaptive_pooling(sketch: Sketch) -> list[Stage] | None:
    """An axis cut into a given number of windows, which overlap where it is no multiple."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype == "bool":
        return None
    axis = draws.below(x.rank)
    extent = x.shape[axis]
    if extent < 3:
        return None
    count = draws.between(2, min(extent - 1, 16))
    reduce = draws.choose((te.sum, te.max))

    def body(t: Any, axes: Sequence[Any]) -> Any:
        first = tir.floordiv(axes[axis] * extent, count)
        last = tir.floordiv((axes[axis] + 1) * extent + count - 1, count)
        (r,) = reduce_axes([last - first])
        return reduce(t(*replaced(axes, axis, first + r)), [r])

    shape = tuple(replaced(x.shape, axis, count))
    return [Stage("adapt", shape, (x.dtype,), (x,), body, reduced=-(-extent // count) + 1)]


def ragged(sketch: Sketch) -> list[Stage] | None:
    """As many elements of each row as an integer tensor says: a loop whose extent is data."""
    draws, x = sketch.draws, sketch.operand(2)
    if x is None or x.dtype == "bool":
        return None
    axis = draws.between(1, x.rank - 1)
    extent = x.shape[axis]
    lengths = sketch.input((x.shape[0],), "int32")
    shape = tuple(e for i, e in enumerate(x.shape) if i != axis)
    by_loop = draws.chance(25)

    def body(t: Any, n: Any, axes: Sequence[Any]) -> Any:
        length = tir.max(tir.min(n(axes[0]), extent), 1)
        (r,) = reduce_axes([length if by_loop else extent])
        value = t(*axes[:axis], r, *axes[axis:])
        return te.sum(value, [r]) if by_loop else te.sum(_either(r < length, value), [r])

    return [Stage("ragged", shape, (x.dtype,), (x, lengths), body, reduced=extent)]
