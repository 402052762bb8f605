"""Stages that reduce one tensor over some of its axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.random_programs.contractions import sum_type
from tvm_gnn_cost.workloads.random_programs.draws import Draws
from tvm_gnn_cost.workloads.random_programs.pointwise import apply_binary, apply_unary, cast, index_condition
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, Value, reduce_axes
from tvm_gnn_cost.workloads.tir import tir

_product = te.comm_reducer(lambda x, y: x * y, lambda t: tir.const(1, t), name="product")
_any = te.comm_reducer(lambda x, y: tir.Or(x, y), lambda t: tir.const(False, t), name="any")


def _places(rank: int, reduced: Sequence[int], keep: bool, axes: Sequence[Any], sums: Sequence[Any]) -> list[Any]:
    """The index of each axis of the tensor that is reduced."""
    outer, inner = iter(axes), iter(sums)
    found = []
    for i in range(rank):
        if i in reduced:
            found.append(next(inner))
            if keep:
                next(outer)
        else:
            found.append(next(outer))
    return found


def reduced_axes(draws: Draws, x: Value, last: int, single: int) -> list[int]:
    """The last axis in so many cases of a hundred; else any single one in so many, or several."""
    if draws.chance(last):
        return [x.rank - 1]
    return draws.subset(range(x.rank), 1 if draws.chance(single) else draws.between(1, x.rank))


def reduction(sketch: Sketch) -> list[Stage] | None:
    """A sum, maximum, minimum or product; of a function of the elements, on a condition, or from an initial value."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axes = reduced_axes(draws, x, 45, 60)
    keep = draws.chance(20)
    shape = tuple(1 if i in axes else e for i, e in enumerate(x.shape) if keep or i not in axes)
    if x.dtype == "bool":
        reduce, dtype = draws.choose(((_any, "bool"), (te.sum, "int32")))
    else:
        reduce = draws.weighted({te.sum: 55, te.max: 20, te.min: 12, _product: 13})
        dtype = sum_type(draws, x.dtype) if reduce is te.sum else x.dtype
    function = apply_unary(draws, dtype) if dtype != "bool" and draws.chance(40) else None
    y = sketch.input(x.shape, x.dtype) if reduce is te.sum and dtype != "bool" and draws.chance(15) else None
    both = apply_binary(draws, dtype)
    condition = index_condition(draws, len(shape) + len(axes)) if draws.chance(12) else None
    start = sketch.input(shape, dtype) if reduce is te.sum and draws.chance(4) else None

    def body(*arguments: Any) -> Any:
        *tensors, outer = arguments
        sums = reduce_axes([x.shape[i] for i in axes])
        place = _places(x.rank, axes, keep, outer, sums)
        value = cast(tensors[0](*place), dtype)
        if y is not None:
            value = both(value, cast(tensors[1](*place), dtype))
        value = function(value) if function else value
        if reduce is _product and dtype.startswith("float"):
            value = tir.max(tir.min(value, tir.const(1.0, dtype)), tir.const(0.75, dtype))
        where = condition([*outer, *(s.var for s in sums)]) if condition else None
        return reduce(value, sums, where, tensors[-1](*outer) if start else None)

    reads = [x] + [v for v in (y, start) if v is not None]
    return [Stage("reduce", shape, (dtype,), tuple(reads), body, reduced=prod(x.shape[i] for i in axes))]


def reduce_twice(sketch: Sketch) -> list[Stage] | None:
    """One axis after the other, with two kinds of reduction."""
    draws, x = sketch.draws, sketch.operand(2)
    if x is None or x.dtype == "bool":
        return None
    first, last = draws.choose(((te.max, te.sum), (te.sum, te.max), (te.sum, te.sum), (te.min, te.max)))
    inner = over("reduce", first, x, [draws.below(x.rank)])
    value = inner.outputs()[0]
    return [inner, over("reduce", last, value, [draws.below(value.rank)])]


def over(
    kind: str, reduce: Any, x: Value, axes: Sequence[int], of: Callable[[Any], Any] = lambda value: value
) -> Stage:
    """A stage that reduces a function of x over some axes."""
    shape = tuple(e for i, e in enumerate(x.shape) if i not in axes)

    def body(t: Any, outer: Sequence[Any]) -> Any:
        sums = reduce_axes([x.shape[i] for i in axes])
        return reduce(of(t(*_places(x.rank, axes, False, outer, sums))), sums)

    return Stage(kind, shape, (x.dtype,), (x,), body, reduced=prod(x.shape[i] for i in axes))


def arg_reduction(sketch: Sketch) -> list[Stage] | None:
    """A reduction of pairs: the best element and where it is, or the sum and the sum of squares; then a use of both."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype in ("bool", "int8"):
        return None
    axis = draws.below(x.rank)
    shape = tuple(e for i, e in enumerate(x.shape) if i != axis)
    moments = x.is_float and draws.chance(40)
    largest = draws.chance(70)

    def body(t: Any, outer: Sequence[Any]) -> Any:
        (r,) = reduce_axes([x.shape[axis]])
        value = t(*_places(x.rank, [axis], False, outer, [r]))
        if moments:
            return list(_moments()((value, value * value), axis=[r]))
        return list(_best(largest)((r.var, value), axis=[r]))

    pair = Stage("pair", shape, (x.dtype if moments else "int32", x.dtype), (x,), body, reduced=x.shape[axis])
    if draws.chance(30):
        part = draws.below(2)
        taken = pair.outputs()[part]
        return [pair, Stage("part", shape, (taken.dtype,), (taken,), lambda t, axes: t(*axes))]
    if draws.chance(80):
        first, second = pair.outputs()
        dtype = x.dtype

        def use(s: Any, t: Any, axes: Sequence[Any]) -> Any:
            return cast(s(*axes), dtype) * tir.const(0.5 if x.is_float else 2, dtype) + t(*axes)

        return [pair, Stage("both", shape, (dtype,), (first, second), use)]
    return [pair]


def _best(largest: bool) -> Any:
    def better(left: Any, right: Any) -> tuple[Any, Any]:
        keep = left[1] >= right[1] if largest else left[1] <= right[1]
        return tir.Select(keep, left[0], right[0]), tir.Select(keep, left[1], right[1])

    worst = te.min_value if largest else te.max_value
    return te.comm_reducer(better, lambda where, value: (tir.const(-1, where), worst(value)), name="best")


def _moments() -> Any:
    def add(left: Any, right: Any) -> tuple[Any, Any]:
        return left[0] + right[0], left[1] + right[1]

    return te.comm_reducer(add, lambda s, t: (tir.const(0, s), tir.const(0, t)), name="moments")


def folded(sketch: Sketch) -> list[Stage] | None:
    """Blocks of an axis summed: neighbours, or elements a stride apart."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype == "bool":
        return None
    axis, dtype = draws.below(x.rank), sum_type(draws, x.dtype)
    parts = [n for n in (2, 3, 4, 7, 8, 16, 32) if x.shape[axis] % n == 0 and x.shape[axis] > n]
    if not parts:
        return None
    block = draws.choose(parts)
    count = x.shape[axis] // block
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    neighbours, reduce = draws.chance(50), draws.choose((te.sum, te.max))

    def body(t: Any, axes: Sequence[Any]) -> Any:
        (r,) = reduce_axes([block])
        index = axes[axis] * block + r if neighbours else r * count + axes[axis]
        return reduce(cast(t(*axes[:axis], index, *axes[axis + 1 :]), dtype), [r])

    return [Stage("fold", shape, (dtype,), (x,), body, reduced=block)]
