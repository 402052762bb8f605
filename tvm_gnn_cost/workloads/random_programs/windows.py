"""Stages that read a window around each place: convolutions, pooling, stencils, transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.random_programs.contractions import sum_type
from tvm_gnn_cost.workloads.random_programs.movement import border, padded
from tvm_gnn_cost.workloads.random_programs.pointwise import cast
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, Value, reduce_axes
from tvm_gnn_cost.workloads.tir import tir


@dataclass(frozen=True)
class _Window:
    """Along one axis: its size, the stride between windows, the dilation within one."""

    axis: int
    size: int
    stride: int
    dilation: int

    @property
    def reach(self) -> int:
        return (self.size - 1) * self.dilation + 1


def _windows(sketch: Sketch, x: Value, axes: Sequence[int], extra: int) -> list[_Window] | None:
    """Windows along these axes that fit into x with so much padding on both sides."""
    draws = sketch.draws
    size, stride = draws.choose((1, 2, 3, 3, 3, 4, 5, 7)), draws.choose((1, 1, 1, 2, 2, 3))
    dilation = 2 if draws.chance(15) else 1
    found = []
    for axis in axes:
        window = _Window(axis, draws.choose((1, 3)) if draws.chance(10) else size, stride, dilation)
        if window.reach > x.shape[axis] + 2 * extra:
            return None
        found.append(window)
    return found


def _padding(sketch: Sketch, x: Value, axes: Sequence[int]) -> tuple[list[Stage], Value]:
    """Nothing most of the time, else a stage that adds a border along these axes, and what is read then."""
    draws = sketch.draws
    if not draws.chance(45):
        return [], x
    stage = padded(x, {axis: (width, width) for axis in axes for width in [draws.between(1, 3)]}, border(draws))
    return [stage], stage.outputs()[0]


def _consecutive(sketch: Sketch, rank: int, count: int) -> list[int]:
    first = sketch.draws.between(0, rank - count)
    return list(range(first, first + count))


def convolution(sketch: Sketch) -> list[Stage] | None:
    """A direct convolution over one to three axes; channels summed, kept (depthwise) or in groups, at any place."""
    draws, source = sketch.draws, sketch.operand(2)
    if source is None or source.dtype == "bool":
        return None
    dims = draws.between(1, min(3, source.rank - 1))
    axes = _consecutive(sketch, source.rank, dims)
    stages, x = _padding(sketch, source, axes)
    windows = _windows(sketch, x, axes, 0)
    if windows is None:
        return None
    channel = draws.choose([i for i in range(x.rank) if i not in axes])
    channels, dtype = x.shape[channel], sum_type(draws, x.dtype)
    mode = draws.weighted({"full": 60, "depthwise": 22, "grouped": 18})
    groups = {"full": 1, "depthwise": channels}.get(mode) or draws.choose(
        [g for g in (2, 3, 4, 8) if channels % g == 0] or [1]
    )
    shape = list(x.shape)
    for w in windows:
        shape[w.axis] = (x.shape[w.axis] - w.reach) // w.stride + 1
    if mode == "depthwise":
        out_channels = channels * (2 if draws.chance(20) else 1)
    else:
        out_channels = max(groups, sketch.new_axis([e for i, e in enumerate(shape) if i != channel]) // groups * groups)
    shape[channel] = out_channels
    inner = channels // groups
    order = draws.choose(("koi", "oik", "kio"))
    parts = {"k": [w.size for w in windows], "o": [out_channels], "i": [inner] if inner > 1 else []}
    weights = sketch.input([e for part in order for e in parts[part]], x.dtype)
    each = out_channels // groups

    def body(t: Any, f: Any, place: Sequence[Any]) -> Any:
        sums = reduce_axes([*(w.size for w in windows), *parts["i"]])
        index = list(place)
        for w, r in zip(windows, sums, strict=False):
            index[w.axis] = place[w.axis] * w.stride + r * w.dilation
        o, r_in = place[channel], sums[len(windows) :]
        base = 0 if groups == 1 else (o if each == 1 else tir.floordiv(o, each)) * inner
        index[channel] = base + r_in[0] if r_in else base
        at = {"k": sums[: len(windows)], "o": [o], "i": r_in}
        weight = f(*(r for part in order for r in at[part]))
        return te.sum(cast(t(*index), dtype) * cast(weight, dtype), sums)

    reduced = prod(w.size for w in windows) * inner
    return [*stages, Stage("convolve", tuple(shape), (dtype,), (x, weights), body, reduced=reduced)]


def pooling(sketch: Sketch) -> list[Stage] | None:
    """The maximum, minimum or sum of each window over one to three axes; no weights."""
    draws, source = sketch.draws, sketch.operand(1)
    if source is None or source.dtype == "bool":
        return None
    axes = _consecutive(sketch, source.rank, draws.between(1, min(3, source.rank)))
    stages, x = _padding(sketch, source, axes)
    windows = _windows(sketch, x, axes, 0)
    if windows is None or prod(w.size for w in windows) == 1:
        return None
    reduce = draws.choose((te.max, te.max, te.sum, te.sum, te.min))
    dtype = sum_type(draws, x.dtype) if reduce is te.sum else x.dtype
    shape = list(x.shape)
    for w in windows:
        shape[w.axis] = (x.shape[w.axis] - w.reach) // w.stride + 1

    def body(t: Any, place: Sequence[Any]) -> Any:
        sums = reduce_axes([w.size for w in windows])
        index = list(place)
        for w, r in zip(windows, sums, strict=True):
            index[w.axis] = place[w.axis] * w.stride + r * w.dilation
        return reduce(cast(t(*index), dtype), sums)

    return [*stages, Stage("pool", tuple(shape), (dtype,), (x,), body, reduced=prod(w.size for w in windows))]


def stencil(sketch: Sketch) -> list[Stage] | None:
    """A few neighbours with fixed weights, written out. Beyond the border: nothing, the last one, or from the start."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None or not x.is_float:
        return None
    axes = draws.subset(range(x.rank), draws.between(1, min(2, x.rank)))
    beyond = draws.weighted({"inside": 70, "last": 15, "around": 15})
    width = draws.choose((1, 1, 2))
    if any(x.shape[axis] <= 2 * width for axis in axes):
        return None
    offsets = [(0,) * len(axes)]
    for i in range(len(axes)):
        for step in (-width, width):
            offsets.append(tuple(step if n == i else 0 for n in range(len(axes))))
    if draws.chance(25):
        offsets.append(tuple(width for _ in axes))
    scales = [draws.between(1, 8) / 16 for _ in offsets]
    inside = beyond == "inside"
    shape = tuple(e - 2 * width if inside and i in axes else e for i, e in enumerate(x.shape))

    def body(t: Any, place: Sequence[Any]) -> Any:
        total = None
        for offset, scale in zip(offsets, scales, strict=True):
            index = list(place)
            for axis, step in zip(axes, offset, strict=True):
                moved = place[axis] + step + (width if inside else 0)
                if beyond == "last" and step:
                    moved = tir.max(tir.min(moved, x.shape[axis] - 1), 0)
                if beyond == "around" and step:
                    moved = tir.floormod(moved + x.shape[axis], x.shape[axis])
                index[axis] = moved
            term = t(*index) * tir.const(scale, x.dtype)
            total = term if total is None else total + term
        return total

    return [Stage("stencil", shape, (x.dtype,), (x,), body, points=len(offsets))]


def transposed_convolution(sketch: Sketch) -> list[Stage] | None:
    """The places that a strided convolution would have read: indices are divided, on conditions."""
    draws, x = sketch.draws, sketch.operand(2, 4)
    if x is None or not x.is_float:
        return None
    axis = draws.between(0, x.rank - 1)
    channel = draws.choose([i for i in range(x.rank) if i != axis])
    size, stride = draws.choose((2, 3, 4)), draws.choose((2, 2, 3))
    long = (x.shape[axis] - 1) * stride + size
    out_channels = sketch.new_axis([long if i == axis else e for i, e in enumerate(x.shape) if i != channel])
    shape = tuple(long if i == axis else out_channels if i == channel else extent for i, extent in enumerate(x.shape))
    weights = sketch.input((size, x.shape[channel], out_channels), x.dtype)

    def body(t: Any, f: Any, place: Sequence[Any]) -> Any:
        k, c = reduce_axes([size, x.shape[channel]])
        back = place[axis] - k
        index = list(place)
        index[axis], index[channel] = tir.floordiv(back, stride), c
        fits = tir.all(back >= 0, back < x.shape[axis] * stride, tir.floormod(back, stride) == 0)
        value = tir.if_then_else(fits, t(*index), tir.const(0, x.dtype))
        return te.sum(value * f(k, c, place[channel]), [k, c])

    return [Stage("transposed", shape, (x.dtype,), (x, weights), body, reduced=size * x.shape[channel])]
