"""Stages that compute each element from one element of each tensor that they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm_gnn_cost.workloads.random_programs.draws import Draws
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, Value
from tvm_gnn_cost.workloads.tir import dtype_of, tir

Expression = Any
Unary = Callable[[Expression], Expression]
Binary = Callable[[Expression, Expression], Expression]


def _const(value: float, like: Expression) -> Expression:
    return tir.const(value, dtype_of(like))


FLOAT_UNARY: Mapping[str, Unary] = {
    "relu": lambda x: tir.max(x, _const(0.0, x)),
    "tanh": tir.tanh,
    "sigmoid": tir.sigmoid,
    "exp": lambda x: tir.exp(tir.min(x, _const(8.0, x))),
    "log": lambda x: tir.log(tir.abs(x) + _const(1.0, x)),
    "sqrt": lambda x: tir.sqrt(tir.abs(x)),
    "rsqrt": lambda x: tir.rsqrt(tir.abs(x) + _const(0.125, x)),
    "clip": lambda x: tir.max(tir.min(x, _const(6.0, x)), _const(0.0, x)),
    "leaky": lambda x: tir.Select(x > _const(0.0, x), x, x * _const(0.125, x)),
    "square": lambda x: x * x * _const(0.0625, x),
    "scale": lambda x: x * _const(0.25, x) + _const(1.0, x),
    "abs": tir.abs,
    "negative": lambda x: -x,
    "swish": lambda x: x * tir.sigmoid(x),
    "gelu": lambda x: x * (_const(0.5, x) + _const(0.5, x) * tir.tanh(x * _const(0.75, x))),
    "hard_swish": lambda x: x * tir.max(tir.min(x + _const(3.0, x), _const(6.0, x)), _const(0.0, x)) / _const(6.0, x),
    "cos": lambda x: tir.cos(x * _const(0.125, x)),
    "erf": tir.erf,
    "floor": tir.floor,
    "reciprocal": lambda x: _const(1.0, x) / (tir.abs(x) + _const(1.0, x)),
}
_PLAIN = ("relu", "clip", "leaky", "square", "scale", "abs", "negative", "hard_swish", "reciprocal")
"""Those without an intrinsic, which half precision has only in part."""

INTEGER_UNARY: Mapping[str, Unary] = {
    "relu": lambda x: tir.max(x, _const(0, x)),
    "clip": lambda x: tir.max(tir.min(x, _const(100, x)), _const(-100, x)),
    "shift": lambda x: tir.shift_right(x, _const(2, x)),
    "increment": lambda x: x + _const(3, x),
    "modulo": lambda x: tir.floormod(x, _const(17, x)),
    "quotient": lambda x: tir.floordiv(x, _const(5, x)),
    "even": lambda x: tir.Select(tir.floormod(x, _const(2, x)) == _const(0, x), x, -x),
}

FLOAT_BINARY: Mapping[str, Binary] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (tir.abs(y) + _const(1.0, y)),
    "maximum": tir.max,
    "minimum": tir.min,
    "gate": lambda x, y: x * tir.max(tir.min(y, _const(1.0, y)), _const(0.0, y)),
    "square_of_difference": lambda x, y: (x - y) * (x - y),
    "mix": lambda x, y: x * _const(0.75, x) + y * _const(0.25, y),
}
INTEGER_BINARY: Mapping[str, Binary] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "maximum": tir.max,
    "minimum": tir.min,
    "average": lambda x, y: tir.shift_right(x + y, _const(1, x)),
}


def cast(x: Expression, dtype: str) -> Expression:
    """x in another type, and a large number that no integer type holds cut off first."""
    own = dtype_of(x)
    if own == dtype:
        return x
    if dtype.startswith("int") and own.startswith("float"):
        x = tir.max(tir.min(x, _const(100.0, x)), _const(-100.0, x))
    return x.astype(dtype)


def apply_unary(draws: Draws, dtype: str) -> Unary:
    """An operation on one number of this type. Half precision goes through float32 where it needs an intrinsic."""
    if dtype == "bool":
        return lambda x: tir.Not(x)
    if not dtype.startswith("float"):
        return draws.choose(list(INTEGER_UNARY.values()))
    name = draws.choose(list(FLOAT_UNARY))
    function = FLOAT_UNARY[name]
    if dtype == "float16" and name not in _PLAIN:
        return lambda x: function(x.astype("float32")).astype("float16")
    return function


def apply_binary(draws: Draws, dtype: str) -> Binary:
    """An operation on two numbers of this type."""
    if dtype == "bool":
        return draws.choose((tir.And, tir.Or))
    return draws.choose(list((FLOAT_BINARY if dtype.startswith("float") else INTEGER_BINARY).values()))


def unary(sketch: Sketch) -> list[Stage] | None:
    """One to three operations on each element."""
    x = sketch.operand(0)
    if x is None:
        return None
    functions = [apply_unary(sketch.draws, x.dtype) for _ in range(sketch.draws.choose((1, 1, 1, 2, 3)))]

    def body(t: Any, axes: Sequence[Any]) -> Expression:
        value = t(*axes)
        for function in functions:
            value = function(value)
        return value

    return [Stage("map", x.shape, (x.dtype,), (x,), body)]


def change_type(sketch: Sketch) -> list[Stage] | None:
    """Each element in another type."""
    x = sketch.operand(0)
    if x is None:
        return None
    to = sketch.draws.weighted({"float32": 5, "float16": 2, "float64": 1, "int32": 2, "int8": 1})
    if to == x.dtype:
        return None
    return [Stage("cast", x.shape, (to,), (x,), lambda t, axes: cast(t(*axes), to))]


def places(draws: Draws, small: Sequence[int], big: Sequence[int]) -> list[int] | None:
    """For each axis of the one an axis of the other that it can be read along, in order; None where there are none."""
    found: list[int] = []
    end = len(big)
    for extent in reversed(small):
        fit = [i for i in range(end) if extent in (1, big[i])]
        if not fit:
            return None
        end = fit[-1] if draws.chance(80) else draws.choose(fit)
        found.insert(0, end)
    return found


def read_at(t: Any, shape: Sequence[int], where: Sequence[int], axes: Sequence[Any]) -> Expression:
    """The element of a tensor that is broadcast along other axes."""
    return t(*(0 if extent == 1 else axes[i] for extent, i in zip(shape, where, strict=True)))


def binary(sketch: Sketch) -> list[Stage] | None:
    """Two tensors, of which one may be broadcast along some axes of the other."""
    draws, x = sketch.draws, sketch.operand(0)
    if x is None:
        return None
    y, where = _partner(sketch, x)
    dtype = x.dtype
    function, first = apply_binary(draws, dtype), draws.chance(50)

    def body(s: Any, t: Any, axes: Sequence[Any]) -> Expression:
        pair = s(*axes), cast(read_at(t, y.shape, where, axes), dtype)
        return function(*pair) if first else function(*pair[::-1])

    return [Stage("combine", x.shape, (dtype,), (x, y), body)]


def _partner(sketch: Sketch, x: Value) -> tuple[Value, list[int]]:
    """Another tensor to combine with x, and the axes of x that it is read along."""
    draws = sketch.draws
    for y in draws.shuffled([v for v in sketch.values() + sketch.inputs if v != x])[:6]:
        where = places(draws, y.shape, x.shape)
        tiled = x.stage.reduced > 1 and y.stage.reduced > 1  # TVM cannot tile two products into their one consumer
        if where is not None and not tiled and (y.rank or not x.rank) and draws.chance(60):
            return y, where
    kept = draws.subset(range(x.rank), draws.between(0, x.rank)) if draws.chance(50) else list(range(x.rank))
    return sketch.input([x.shape[i] for i in kept], x.dtype), kept


def outer(sketch: Sketch) -> list[Stage] | None:
    """Each element of one tensor with each of another: a new axis, nothing reduced."""
    draws, x = sketch.draws, sketch.operand(1, 3)
    if x is None:
        return None
    y, place = sketch.input((sketch.new_axis(x.shape),), x.dtype), draws.between(0, x.rank)
    shape = (*x.shape[:place], y.shape[0], *x.shape[place:])
    function = apply_binary(draws, x.dtype)

    def body(s: Any, t: Any, axes: Sequence[Any]) -> Expression:
        return function(s(*axes[:place], *axes[place + 1 :]), t(axes[place]))

    return [Stage("outer", shape, (x.dtype,), (x, y), body)]


def compare(sketch: Sketch) -> list[Stage] | None:
    """A mask: where an element is larger than a number or than another tensor's."""
    x = sketch.operand(1)
    if x is None or x.dtype == "bool":
        return None
    y, where = _partner(sketch, x)
    against_number = sketch.draws.chance(50)
    if against_number:
        return [Stage("mask", x.shape, ("bool",), (x,), lambda t, axes: t(*axes) > _const(3, t(*axes)))]

    def body(s: Any, t: Any, axes: Sequence[Any]) -> Expression:
        return s(*axes) >= cast(read_at(t, y.shape, where, axes), x.dtype)

    return [Stage("mask", x.shape, ("bool",), (x, y), body)]


def index_condition(draws: Draws, rank: int) -> Callable[[Sequence[Any]], Expression]:
    """A condition on the place of an element: a triangle of two axes, or a stripe of one."""
    a, b = draws.below(rank), draws.below(rank)
    if a != b:
        shift = draws.choose((0, 0, 0, 1, -1, 5))
        return draws.choose((lambda axes: axes[a] <= axes[b] + shift, lambda axes: axes[a] >= axes[b] + shift))
    step = draws.choose((2, 3, 4))
    return draws.choose((lambda axes: tir.floormod(axes[a], step) == 0, lambda axes: axes[a] >= step))


def choose_between(sketch: Sketch) -> list[Stage] | None:
    """One of two values for each element: by a mask, by the value itself or by its place."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype == "bool":
        return None
    masks = [v for v in sketch.values() if v.dtype == "bool" and places(draws, v.shape, x.shape) is not None]
    either = tir.if_then_else if draws.chance(40) else tir.Select
    other = draws.choose((0, -10, 1))
    if masks:
        mask = masks[-1]
        where = places(draws, mask.shape, x.shape) or []

        def masked(s: Any, t: Any, axes: Sequence[Any]) -> Expression:
            return either(read_at(t, mask.shape, where, axes), s(*axes), _const(other, s(*axes)))

        return [Stage("select", x.shape, (x.dtype,), (x, mask), masked)]
    condition, function = index_condition(draws, x.rank), apply_unary(draws, x.dtype)

    def placed(t: Any, axes: Sequence[Any]) -> Expression:
        value = t(*axes)
        return either(condition(axes), value, function(value) if other else _const(other, value))

    return [Stage("select", x.shape, (x.dtype,), (x,), placed)]


def add_position(sketch: Sketch) -> list[Stage] | None:
    """Each element plus a function of its place."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype in ("bool", "int8"):
        return None
    axis, by = draws.below(x.rank), draws.choose((1, 2, 7))

    def body(t: Any, axes: Sequence[Any]) -> Expression:
        value = t(*axes)
        return value + tir.floordiv(axes[axis], by).astype(dtype_of(value))

    return [Stage("place", x.shape, (x.dtype,), (x,), body)]
