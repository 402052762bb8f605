"""Stages that multiply tensors and sum: matrix products, batched and over several axes, and their relatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.random_programs.draws import Draws
from tvm_gnn_cost.workloads.random_programs.pointwise import cast, index_condition
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, Value, reduce_axes
from tvm_gnn_cost.workloads.tir import tir

Letters = tuple[int, ...]
"""Axes by number: of the result and of the sum, shared by all tensors of a contraction."""


def contraction(sketch: Sketch) -> list[Stage] | None:
    """x and another tensor, summed over the axes that they share and the result lacks."""
    draws, x = sketch.draws, sketch.operand(1, 4)
    if x is None:
        return None
    roles = ["batch" if draws.chance(18) else "sum" if draws.chance(45) else "free" for _ in x.shape]
    if "sum" not in roles:
        roles[draws.below(x.rank)] = "sum"
    batch, summed, free = ([i for i, role in enumerate(roles) if role == kind] for kind in ("batch", "sum", "free"))
    extents = list(x.shape)
    for _ in range(draws.weighted({0: 2, 1: 6, 2: 2})):
        extents.append(sketch.new_axis([e for i, e in enumerate(extents) if i not in summed]))
    new = list(range(x.rank, len(extents)))
    result = batch + free + new
    result = draws.shuffled(result) if draws.chance(25) else result
    if len(result) > 5:
        return None
    operands: list[tuple[Value, Letters]] = [(x, tuple(range(x.rank)))]
    for axes in _other_operands(draws, batch, summed, new):
        operands.append((sketch.input([extents[a] for a in axes], x.dtype), axes))
    return [_contract(sketch, operands, extents, result, summed)]


def _other_operands(draws: Draws, batch: list[int], summed: list[int], new: list[int]) -> list[Letters]:
    """The axes of the other tensor, sometimes of two."""
    axes = batch + summed + new
    axes = draws.shuffled(axes) if draws.chance(50) else axes
    if draws.chance(10):
        return [tuple(axes), tuple(draws.subset(axes, max(1, len(axes) - 1)))]
    return [tuple(axes)]


def pair_product(sketch: Sketch) -> list[Stage] | None:
    """A product of a tensor with itself or with another stage's: x x^T, or x y^T where an axis fits."""
    draws, x = sketch.draws, sketch.operand(2, 3)
    if x is None or x.dtype == "bool":
        return None
    others = [v for v in sketch.values() + sketch.inputs if v.dtype == x.dtype and 2 <= v.rank <= 3]
    y = draws.choose(others) if others and draws.chance(70) else x
    pairs = [(i, j) for i in range(x.rank) for j in range(y.rank) if x.shape[i] == y.shape[j]]
    if not pairs:
        return None
    i, j = draws.choose(pairs)
    of_x, of_y = list(range(x.rank)), [x.rank + n for n in range(y.rank)]
    of_y[j] = i
    extents = [*x.shape, *y.shape]
    batch = 0 if x.rank == y.rank == 3 and i and j and x.shape[0] == y.shape[0] else None
    if batch is not None:
        of_y[0] = 0
    result = [a for a in of_x if a != i] + [a for a in of_y if a != i and a not in of_x]
    return [_contract(sketch, [(x, tuple(of_x)), (y, tuple(of_y))], extents, result, [i])]


def sum_type(draws: Draws, dtype: str) -> str:
    """The type that numbers of a type are summed in."""
    if dtype == "float16":
        return draws.choose(("float16", "float32"))
    return {"int8": "int32", "bool": "int32"}.get(dtype, dtype)


Term = Callable[[Sequence[Any]], Any]


def _product(values: Sequence[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total * value
    return total


TERMS: dict[str, tuple[Callable[..., Any], Term]] = {
    "product": (te.sum, _product),
    "distance": (te.sum, lambda v: (v[0] - v[-1]) * (v[0] - v[-1])),
    "taxicab": (te.sum, lambda v: tir.abs(v[0] - v[-1])),
    "longest": (te.max, lambda v: v[0] + v[-1]),
    "narrowest": (te.max, lambda v: tir.min(v[0], v[-1])),
    "shortest": (te.min, lambda v: v[0] + v[-1]),
}
"""The reduction and its term."""


def _contract(
    sketch: Sketch,
    operands: Sequence[tuple[Value, Letters]],
    extents: Sequence[int],
    result: Sequence[int],
    summed: Sequence[int],
) -> Stage:
    draws = sketch.draws
    dtype = sum_type(draws, operands[0][0].dtype)
    name = draws.weighted({"product": 80, "distance": 7, "taxicab": 3, "longest": 4, "narrowest": 3, "shortest": 3})
    reduce, term = TERMS[name]
    shape = tuple(extents[a] for a in result)
    condition = index_condition(draws, len(result) + len(summed)) if draws.chance(6) else None
    start = sketch.input(shape, dtype) if reduce is te.sum and draws.chance(3) else None

    def body(*arguments: Any) -> Any:
        *tensors, axes = arguments
        sums = reduce_axes([extents[a] for a in summed])
        place = dict(zip(result, axes, strict=True)) | dict(zip(summed, sums, strict=True))
        values = [
            cast(t(*(place[a] for a in letters)), dtype) for t, (_, letters) in zip(tensors, operands, strict=False)
        ]
        where = condition([*axes, *(s.var for s in sums)]) if condition else None
        return reduce(term(values), sums, where, tensors[-1](*axes) if start else None)

    reads = [value for value, _ in operands] + ([start] if start else [])
    return Stage("contract", shape, (dtype,), tuple(reads), body, reduced=prod(extents[a] for a in summed))
