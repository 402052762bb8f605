"""Stages that come together in networks: softmax, normalisation, gated products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.random_programs.draws import Draws
from tvm_gnn_cost.workloads.random_programs.pointwise import apply_binary, apply_unary
from tvm_gnn_cost.workloads.random_programs.reductions import over, reduced_axes
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, Value, reduce_axes
from tvm_gnn_cost.workloads.tir import tir


def _with(kind: str, x: Value, y: Value, axes: Sequence[int], function: Callable[[Any, Any], Any]) -> Stage:
    """x with what was reduced from it over these axes."""

    def body(s: Any, t: Any, places: Sequence[Any]) -> Any:
        return function(s(*places), t(*(p for i, p in enumerate(places) if i not in axes)))

    return Stage(kind, x.shape, (x.dtype,), (x, y), body)


def _axes(draws: Draws, x: Value) -> list[int]:
    return reduced_axes(draws, x, 60, 70)


def softmax(sketch: Sketch) -> list[Stage] | None:
    """Powers of the distances to the largest, divided by their sum; sometimes powers of another kind, or no maximum."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype not in ("float32", "float64"):
        return None
    axes, stages = _axes(draws, x), []
    if draws.chance(70):
        stages.append(over("top", te.max, x, axes))
        stages.append(_with("power", x, stages[-1].outputs()[0], axes, lambda a, b: tir.exp(a - b)))
    else:
        stages.append(Stage("power", x.shape, (x.dtype,), (x,), lambda t, places: tir.sigmoid(t(*places))))
    source = stages[-1].outputs()[0]
    stages.append(over("total", te.sum, source, axes))
    stages.append(_with("share", source, stages[-1].outputs()[0], axes, lambda a, b: a / b))
    return stages


def normalisation(sketch: Sketch) -> list[Stage] | None:
    """Each element less the mean, or over a norm, of those beside it."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or x.dtype not in ("float32", "float64"):
        return None
    axes = _axes(draws, x)
    count = tir.const(1.0 / prod(x.shape[i] for i in axes), x.dtype)
    stages = []
    if draws.chance(50):
        stages.append(over("total", te.sum, x, axes))
        stages.append(_with("centre", x, stages[-1].outputs()[0], axes, lambda a, b: a - b * count))
    centred = stages[-1].outputs()[0] if stages else x
    if not stages or draws.chance(60):
        power, reduce = draws.choose(((lambda v: v * v, te.sum), (tir.abs, te.sum), (tir.abs, te.max)))
        stages.append(over("size", reduce, centred, axes, power))
        small = tir.const(1e-3, x.dtype)
        stages.append(
            _with("scaled", centred, stages[-1].outputs()[0], axes, lambda a, b: a * tir.rsqrt(b * count + small))
        )
    return stages


def gated_products(sketch: Sketch) -> list[Stage] | None:
    """Two products of one matrix, of which one decides how much of the other is let through.

    Two stages read the first: TVM cannot tile two products into one consumer that is the only one of both.
    """
    draws, x = sketch.draws, sketch.operand(1, 3)
    if x is None or not x.is_float:
        return None
    count = sketch.new_axis(x.shape[:-1])
    across = draws.chance(50)
    stages = []
    for _ in range(2):
        w = sketch.input((x.shape[-1], count) if across else (count, x.shape[-1]), x.dtype)

        def body(t: Any, f: Any, places: Sequence[Any]) -> Any:
            sums = reduce_axes([x.shape[-1]])
            return te.sum(
                t(*places[:-1], sums[0]) * (f(sums[0], places[-1]) if across else f(places[-1], sums[0])), sums
            )

        stages.append(Stage("product", (*x.shape[:-1], count), (x.dtype,), (x, w), body, reduced=x.shape[-1]))
    function, both = apply_unary(draws, x.dtype), apply_binary(draws, x.dtype)
    first, second = (stage.outputs()[0] for stage in stages)
    gate = Stage("gate", first.shape, (x.dtype,), (first,), lambda t, places: function(t(*places)))

    def gated(s: Any, t: Any, u: Any, places: Sequence[Any]) -> Any:
        return both(s(*places) * t(*places), u(*places))

    reads = (first, gate.outputs()[0], second)
    return [*stages, gate, Stage("gated", first.shape, (x.dtype,), reads, gated)]
