"""Stages that move elements and compute nothing: transposition, padding, slices, gathers, index arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from tvm_gnn_cost.workloads.random_programs.draws import Draws
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, Value, replaced
from tvm_gnn_cost.workloads.tir import tir


def _moved(kind: str, x: Value, shape: Sequence[int], index: Any) -> Stage:
    """A stage whose elements are elements of x; `index` gives the place in x for a place in the result."""
    return Stage(kind, tuple(shape), (x.dtype,), (x,), lambda t, axes: t(*index(axes)))


def transposition(sketch: Sketch) -> list[Stage] | None:
    """The axes in another order."""
    draws, x = sketch.draws, sketch.operand(2)
    if x is None:
        return None
    order = draws.shuffled(range(x.rank))
    if order == sorted(order):
        order = order[::-1]
    back = [order.index(i) for i in range(x.rank)]
    return [_moved("transpose", x, [x.shape[i] for i in order], lambda axes: [axes[i] for i in back])]


def reshaping(sketch: Sketch) -> list[Stage] | None:
    """Two axes as one, one as two, or all as one: quotients and remainders of indices."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    how = draws.choose(("merge", "split", "flatten", "tail"))
    if how == "split":
        axis = draws.below(x.rank)
        parts = [n for n in (2, 3, 4, 7, 8, 16) if x.shape[axis] % n == 0 and x.shape[axis] > n]
        if not parts:
            return None
        inner = draws.choose(parts)
        shape = [*x.shape[:axis], x.shape[axis] // inner, inner, *x.shape[axis + 1 :]]
        return [
            _moved(
                "split",
                x,
                shape,
                lambda axes: [*axes[:axis], axes[axis] * inner + axes[axis + 1], *axes[axis + 2 :]],
            )
        ]
    if x.rank < 2:
        return None
    first = 0 if how == "flatten" else draws.below(x.rank - 1)
    last = first + 1 if how == "merge" else x.rank - 1
    merged = x.shape[first : last + 1]

    def index(axes: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        rest = axes[first]
        for extent in reversed(merged[1:]):
            found.insert(0, tir.floormod(rest, extent))
            rest = tir.floordiv(rest, extent)
        return [*axes[:first], rest, *found, *axes[first + 1 :]]

    return [_moved("merge", x, [*x.shape[:first], prod(merged), *x.shape[last + 1 :]], index)]


def slicing(sketch: Sketch) -> list[Stage] | None:
    """A part of an axis: from an offset, every so many, or backwards."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axis = draws.below(x.rank)
    extent, step = x.shape[axis], draws.choose((1, 1, 2, 3, -1))
    begin = draws.between(0, min(4, extent - 1)) if step > 0 else extent - 1
    count = -(-(extent - begin) // step) if step > 0 else extent
    if step > 0 and count > 2 and draws.chance(30):
        count -= draws.between(1, count // 2)
    shape = replaced(x.shape, axis, count)
    return [_moved("slice", x, shape, lambda axes: replaced(axes, axis, axes[axis] * step + begin))]


def border(draws: Draws) -> int:
    """What a padding adds, see `padded`; seldom the nearest element, whose clamped index LLVM often takes amiss."""
    return draws.weighted({0: 65, 1: 25, 2: 10})


def padded(x: Value, widths: Mapping[int, tuple[int, int]], how: int) -> Stage:
    """x with a border along some axes: constant (0), reflected (1) or the nearest element (2)."""
    shape = [extent + sum(widths.get(i, (0, 0))) for i, extent in enumerate(x.shape)]
    reflected = how == 1 and all(x.shape[i] > max(width) for i, width in widths.items())

    def body(t: Any, axes: Sequence[Any]) -> Any:
        index, inside = list(axes), []
        for i, (before, _) in widths.items():
            extent, moved = x.shape[i], axes[i] - before
            if how == 0:
                inside += [moved >= 0, moved < extent]
            elif reflected:
                moved = tir.Select(moved < 0, -moved, tir.Select(moved >= extent, 2 * extent - 2 - moved, moved))
            else:
                moved = tir.max(tir.min(moved, extent - 1), 0)
            index[i] = moved
        value = t(*index)
        return tir.if_then_else(tir.all(*inside), value, tir.const(0, x.dtype)) if inside else value

    return Stage("pad", tuple(shape), (x.dtype,), (x,), body)


def padding(sketch: Sketch) -> list[Stage] | None:
    """A border along one or two axes."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axes = draws.subset(range(x.rank), draws.between(1, min(2, x.rank)))
    widths = {axis: (draws.between(0, 3), draws.between(1, 3)) for axis in axes}
    return [padded(x, widths, border(draws))]


def concatenation(sketch: Sketch) -> list[Stage] | None:
    """Two tensors end to end along an axis."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axis, first = draws.below(x.rank), x.shape
    y = sketch.input(replaced(first, axis, max(1, first[axis] // draws.choose((1, 1, 2)))), x.dtype)
    shape = tuple(replaced(first, axis, first[axis] + y.shape[axis]))

    def body(s: Any, t: Any, axes: Sequence[Any]) -> Any:
        beyond = replaced(axes, axis, axes[axis] - first[axis])
        return tir.if_then_else(axes[axis] < first[axis], s(*axes), t(*beyond))

    return [Stage("concatenate", shape, (x.dtype,), (x, y), body)]


def gather(sketch: Sketch) -> list[Stage] | None:
    """Elements or rows that an integer tensor names; numbers beyond the end are cut off or begin anew."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axis, each = draws.below(x.rank), draws.chance(25)
    extent, cut = x.shape[axis], draws.chance(50)
    count = sketch.new_axis([e for i, e in enumerate(x.shape) if i != axis])
    shape = tuple(replaced(x.shape, axis, count))
    numbers = sketch.input(shape if each else (count,), "int32")

    def body(t: Any, n: Any, axes: Sequence[Any]) -> Any:
        number = n(*axes) if each else n(axes[axis])
        number = tir.max(tir.min(number, extent - 1), 0) if cut else tir.floormod(number, extent)
        return t(*replaced(axes, axis, number))

    return [Stage("gather", shape, (x.dtype,), (x, numbers), body)]


def resampling(sketch: Sketch) -> list[Stage] | None:
    """An axis longer or shorter by a whole number or a fraction: the nearest element for each place."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axes = draws.subset(range(x.rank), draws.between(1, min(2, x.rank)))
    more, less = draws.choose(((2, 1), (3, 1), (3, 2), (4, 3), (2, 3), (1, 2)))
    shape = [e * more // less if i in axes else e for i, e in enumerate(x.shape)]
    if not all(shape):
        return None

    def index(places: Sequence[Any]) -> list[Any]:
        return [tir.floordiv(p * less, more) if i in axes else p for i, p in enumerate(places)]

    return [_moved("resample", x, shape, index)]


def repetition(sketch: Sketch) -> list[Stage] | None:
    """An axis several times over, or turned round by some places."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axis = draws.below(x.rank)
    extent, times, by = x.shape[axis], draws.choose((1, 2, 3)), draws.between(0, 3)
    by = by or (1 if times == 1 else 0)
    shape = replaced(x.shape, axis, extent * times)
    return [_moved("roll", x, shape, lambda axes: replaced(axes, axis, tir.floormod(axes[axis] + by, extent)))]


def dilation(sketch: Sketch) -> list[Stage] | None:
    """Zeros between the elements of an axis."""
    draws, x = sketch.draws, sketch.operand(1)
    if x is None:
        return None
    axis, step = draws.below(x.rank), draws.choose((2, 2, 3))
    shape = tuple(replaced(x.shape, axis, (x.shape[axis] - 1) * step + 1))

    def body(t: Any, axes: Sequence[Any]) -> Any:
        value = t(*replaced(axes, axis, tir.floordiv(axes[axis], step)))
        return tir.if_then_else(tir.floormod(axes[axis], step) == 0, value, tir.const(0, x.dtype))

    return [Stage("dilate", shape, (x.dtype,), (x,), body)]


def diagonal(sketch: Sketch) -> list[Stage] | None:
    """The elements whose places along two axes are the same."""
    draws, x = sketch.draws, sketch.operand(2)
    if x is None:
        return None
    a, b = draws.subset(range(x.rank), 2)
    shape = [e for i, e in enumerate(x.shape) if i != b]
    shape[a] = min(x.shape[a], x.shape[b])
    return [_moved("diagonal", x, shape, lambda axes: [*axes[:b], axes[a], *axes[b:]])]


def shuffling(sketch: Sketch) -> list[Stage] | None:
    """Blocks of one axis become neighbours along another (pixels from channels), or the other way round."""
    draws, x = sketch.draws, sketch.operand(2)
    if x is None:
        return None
    a, b = draws.shuffled(range(x.rank))[:2]
    factors = [n for n in (2, 3, 4) if x.shape[a] % n == 0]
    if not factors:
        return None
    n = draws.choose(factors)
    shape = list(x.shape)
    shape[a], shape[b] = shape[a] // n, shape[b] * n

    def index(axes: Sequence[Any]) -> list[Any]:
        found = list(axes)
        found[a], found[b] = axes[a] * n + tir.floormod(axes[b], n), tir.floordiv(axes[b], n)
        return found

    return [_moved("shuffle", x, shape, index)]


def sliding(sketch: Sketch) -> list[Stage] | None:
    """Windows of an axis as a new axis: overlapping rows, as of a matrix for a convolution."""
    draws, x = sketch.draws, sketch.operand(1, 4)
    if x is None:
        return None
    axis, size, step = draws.below(x.rank), draws.choose((2, 3, 5, 8)), draws.choose((1, 1, 2))
    if x.shape[axis] < size:
        return None
    place = draws.choose((axis + 1, x.rank))
    shape = replaced(x.shape, axis, (x.shape[axis] - size) // step + 1)
    shape.insert(place, size)

    def index(axes: Sequence[Any]) -> list[Any]:
        rest = [*axes[:place], *axes[place + 1 :]]
        return replaced(rest, axis, rest[axis] * step + axes[place])

    return [_moved("slide", x, shape, index)]


def one_hot(sketch: Sketch) -> list[Stage] | None:
    """One where a place along a new axis is the number that an integer tensor holds, else zero."""
    draws, n = sketch.draws, sketch.input((sketch.new_axis(()),), "int32")
    depth = sketch.new_axis(n.shape)
    dtype = draws.choose(("float32", sketch.dtype, "int32"))

    def body(t: Any, axes: Sequence[Any]) -> Any:
        hit = tir.floormod(t(axes[0]), depth) == axes[1]
        return tir.Select(hit, tir.const(1, dtype), tir.const(0, dtype))

    return [Stage("one_hot", (n.shape[0], depth), (dtype,), (n,), body)]
