"""Small programs, one for each way in which a stage may read, and each shape and type that it may have.

Every function gives the tensors of a task: its inputs and its outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te, tir, topi

Tensors = list[Any]
N = 16


def placeholder(shape: tuple[int, ...], name: str, dtype: str = "float32") -> Any:
    return te.placeholder(shape, dtype, name)


def over(extent: int, name: str = "k", begin: int = 0) -> Any:
    """A reduction axis of so many values."""
    return te.reduce_axis((begin, begin + extent), name)


def initial_value() -> Tensors:
    """A sum that begins from its bias."""
    a, w, bias = (placeholder((N, N), name) for name in ("a", "w", "bias"))
    k = over(N)
    c = te.compute((N, N), lambda i, j: te.sum(a[i, k] * w[k, j], axis=k, init=bias[i, j]), "c")
    return [a, w, bias, c]


def long_initial_value() -> Tensors:
    """The same over a long row: rfactor moves the initial value to the second half."""
    a, bias, k = placeholder((4, 512), "a"), placeholder((4,), "bias"), over(512)
    return [a, bias, te.compute((4,), lambda i: te.sum(a[i, k], axis=k, init=bias[i]), "c")]


def inlined_initial_value() -> Tensors:
    """The bias is a copy that is inlined."""
    a, bias, k = placeholder((N, N), "a"), placeholder((N,), "bias"), over(N)
    copied = te.compute((N,), lambda i: bias[i], "copied")
    return [a, bias, te.compute((N,), lambda i: te.sum(a[i, k], axis=k, init=copied[i]), "c")]


def condition() -> Tensors:
    """A sum over what a mask lets through."""
    a, mask, k = placeholder((N, N), "a"), placeholder((N, N), "mask", "int32"), over(N)
    return [a, mask, te.compute((N,), lambda i: te.sum(a[i, k], axis=k, where=mask[i, k] > 0), "c")]


def select() -> Tensors:
    """The condition of a Select is read."""
    a, b, mask = placeholder((32,), "a"), placeholder((32,), "b"), placeholder((32,), "mask", "int32")
    return [a, b, mask, te.compute((32,), lambda i: tir.Select(mask[i] > 0, a[i], b[i]), "c")]


def if_then_else() -> Tensors:
    """The condition of an if_then_else is read."""
    a, b, mask = placeholder((32,), "a"), placeholder((32,), "b"), placeholder((32,), "mask", "int32")
    return [a, b, mask, te.compute((32,), lambda i: tir.if_then_else(mask[i] > 0, a[i], b[i]), "c")]


def gather() -> Tensors:
    """Rows that an index tensor names."""
    table, ids = placeholder((64, 16), "table"), placeholder((32,), "ids", "int32")
    return [table, ids, te.compute((32, 16), lambda i, j: table[ids[i], j] * 2.0, "rows")]


def gather_twice() -> Tensors:
    """An index tensor read inside the index of another."""
    table, ids = placeholder((64, 16), "table"), placeholder((32,), "ids", "int32")
    order = placeholder((64,), "order", "int32")
    return [table, ids, order, te.compute((32, 16), lambda i, j: table[order[ids[i]], j] * 2.0, "rows")]


def _best() -> tuple[Any, Any, Any, Any]:
    """An argmax over rows of 64: its inputs, its places, its values."""

    def better(left: Any, right: Any) -> tuple[Any, Any]:
        keep = left[1] >= right[1]
        return tir.Select(keep, left[0], right[0]), tir.Select(keep, left[1], right[1])

    pair = te.comm_reducer(better, lambda where, value: (tir.const(-1, where), te.min_value(value)), "best_of")
    x, places, k = placeholder((8, 64), "x"), placeholder((8, 64), "places", "int32"), over(64)
    where, value = te.compute((8,), lambda i: pair((places[i, k], x[i, k]), axis=k), "best")
    return x, places, where, value


def pairs() -> Tensors:
    """Both outputs of a reduction are outputs of the task."""
    return list(_best())


def second_of_pairs() -> Tensors:
    """Only the second output is read."""
    x, places, _, value = _best()
    return [x, places, te.compute((8,), lambda i: value[i] * 2.0, "out")]


def both_of_pairs() -> Tensors:
    """Two consumers, each of another output."""
    x, places, where, value = _best()
    doubled = te.compute((8,), lambda i: value[i] * 2.0, "doubled")
    return [x, places, doubled, te.compute((8,), lambda i: where[i] + 1, "next")]


def pairs_together() -> Tensors:
    """One consumer of both outputs."""
    x, places, where, value = _best()
    return [x, places, te.compute((8,), lambda i: value[i] + where[i].astype("float32"), "out")]


def two_bodies() -> Tensors:
    """A stage with two bodies, of different types."""
    x, y = placeholder((16, 8), "x"), placeholder((16, 8), "y", "float64")
    return [x, y, *te.compute((16, 8), lambda i, j: (x[i, j] + 1.0, y[i, j] * y[i, j]), "two")]


def of_type(dtype: str) -> Tensors:
    """A map over elements of a type."""
    x = placeholder((32, 16), "x", dtype)
    double: Callable[[Any], Any] = (lambda v: v) if dtype == "handle" else (lambda v: v + v)
    return [x, te.compute((32, 16), lambda i, j: double(x[i, j]), "y")]


def broadcast() -> Tensors:
    """A vector made of one element."""
    x = placeholder((32, 16), "x")
    return [x, te.compute((32, 16), lambda i, j: tir.Broadcast(x[i, j], 4), "y")]


def later_axis() -> Tensors:
    """A reduction axis that begins at 2."""
    a, k = placeholder((8, 16), "a"), over(8, begin=2)
    return [a, te.compute((8,), lambda i: te.sum(a[i, k], axis=k), "c")]


def later_axis_divided() -> Tensors:
    """Its values, 6 to 9, divided by 8 are 0 and 1."""
    a, k = placeholder((8, 16), "a"), over(4, begin=6)
    return [a, te.compute((8,), lambda i: te.sum(a[i, tir.floordiv(k, 8)], axis=k), "c")]


def triangle() -> Tensors:
    """A reduction as long as the row's number."""
    a = placeholder((N, N), "a")

    def row(i: Any) -> Any:
        k = te.reduce_axis((0, i + 1), "k")
        return te.sum(a[i, k], axis=k)

    return [a, te.compute((N,), row, "c")]


def windows() -> Tensors:
    """Windows of uneven size: 8 -> 3."""
    x = placeholder((1, 8, 8, 8), "x")
    return [x, topi.nn.adaptive_pool(x, (3, 3), "avg")]


def sparse() -> Tensors:
    """Rows of a sparse matrix: data say how long each is. 40 values in 16 rows."""
    x, values = placeholder((24, 32), "x"), placeholder((40,), "values")
    columns, rows = placeholder((40,), "columns", "int32"), placeholder((17,), "rows", "int32")
    return [x, values, columns, rows, topi.nn.sparse_dense(x, values, columns, rows)]


def ones() -> Tensors:
    """All extents are 1."""
    x, k = placeholder((1, 1), "x"), over(1)
    return [x, te.compute((1, 1), lambda i, j: te.sum(x[i, k] * 2.0, axis=k), "y")]


def nothing() -> Tensors:
    """A tensor without elements."""
    x = placeholder((0, 4), "x")
    return [x, te.compute((0, 4), lambda i, j: x[i, j] + 1.0, "y")]


def sum_of_nothing() -> Tensors:
    """A reduction over no values."""
    x, k = placeholder((4, 0), "x"), over(0)
    return [x, te.compute((4,), lambda i: te.sum(x[i, k], axis=k), "y")]


def nothing_beside() -> Tensors:
    """One of two inputs has no elements."""
    x, empty = placeholder((4, 8), "x"), placeholder((0, 8), "empty")
    return [x, empty, te.compute((4, 8), lambda i, j: tir.if_then_else(i < 4, x[i, j], empty[i - 4, j]), "y")]


def scalars() -> Tensors:
    """An input and an output without axes."""
    scale, x, k = placeholder((), "scale"), placeholder((256,), "x"), over(256)
    return [scale, x, te.compute((), lambda: te.sum(x[k] * scale(), axis=k), "y")]


def ten_axes() -> Tensors:
    """A sum over the last of ten axes."""
    x, k = placeholder((2,) * 10, "x"), over(2)
    return [x, te.compute((2,) * 9, lambda *i: te.sum(x(*i, k), axis=k), "y")]


def huge() -> Tensors:
    """2^33 elements: more than 32 bits count."""
    extents = tir.const(2**33, "int64"), tir.const(4, "int64")
    x, k = te.placeholder(extents, name="x"), te.reduce_axis((tir.const(0, "int64"), extents[0]), "k")
    return [x, te.compute(extents[1:], lambda i: te.sum(x[k, i], axis=k), "y")]


def call() -> Tensors:
    """A call of a function that TVM does not know."""
    x = placeholder((32, 16), "x")
    return [x, te.compute((32, 16), lambda i, j: tir.call_pure_extern("float32", "fabsf", x[i, j]), "y")]


def let() -> Tensors:
    """A variable of a Let in two indices."""
    x = placeholder((34,), "x")

    def both(i: Any) -> Any:
        at = tir.Var("at", "int32")
        return tir.Let(at, i + 1, x[at] + x[at + 1])

    return [x, te.compute((32,), both, "y")]


def let_gather() -> Tensors:
    """A variable of a Let that data decide."""
    x, ids = placeholder((32,), "x"), placeholder((32,), "ids", "int32")

    def both(i: Any) -> Any:
        at = tir.Var("at", "int32")
        return tir.Let(at, ids[i], x[at] + x[31 - at])

    return [x, ids, te.compute((32,), both, "y")]


def shift() -> Tensors:
    """Every element twice, by a shift of bits."""
    x = placeholder((16,), "x")
    return [x, te.compute((32,), lambda i: x[i >> 1] + 1.0, "y")]


def unnamed() -> Tensors:
    """Stages that all have TVM's default name."""
    x, k, m = placeholder((32, 32), "x"), over(32, "k"), over(32, "m")
    a = te.compute((32, 32), lambda i, j: tir.exp(x[i, j]))
    b = te.compute((32, 32), lambda i, j: te.sum(a[i, k] * x[k, j], axis=k))
    c = te.compute((32, 32), lambda i, j: te.sum(b[i, m] * a[m, j], axis=m))
    return [x, te.compute((32, 32), lambda i, j: c[i, j] + b[i, j])]


def unused() -> Tensors:
    """An input that nothing reads."""
    x = placeholder((16,), "x")
    return [x, placeholder((16,), "spare"), te.compute((16,), lambda i: x[i] + 1.0, "y")]


PROGRAMS: tuple[Callable[[], Tensors], ...] = (
    initial_value, long_initial_value, inlined_initial_value, condition, select, if_then_else, gather, gather_twice,
    pairs, second_of_pairs, both_of_pairs, pairs_together, two_bodies, broadcast, later_axis, later_axis_divided,
    triangle, windows, ones, nothing, sum_of_nothing, nothing_beside, scalars, ten_axes, huge, call, let, let_gather,
    shift, unnamed, unused,
)  # fmt: skip
"""What TVM can sample schedules of; `sparse` needs a sketch rule of the user's."""
