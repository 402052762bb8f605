"""What two programs have in common whatever their sizes: two digests of te tensors.

`structure` tells stages, edges, types and every operation apart; `skeleton` only which axes each stage has and how it
reads what, in whatever operation: two programs of different skeletons are of different kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.tir import dtype_of, name_of, read_of, tir, visit

_OPERANDS = ("a", "b")


def structure(tensors: Sequence[te.Tensor]) -> str:
    """A digest of everything but extents and other numbers."""
    numbers: dict[Any, int] = {}
    lines: list[str] = []
    for op in _operations(tensors):
        numbers[op] = len(numbers)
        if isinstance(op, te.PlaceholderOp):
            lines.append(f"input {len(op.output(0).shape)} {dtype_of(op.output(0))}")
            continue
        axes = {axis.var: i for i, axis in enumerate([*op.axis, *op.reduce_axis])}
        bodies = " ; ".join(_text(body, axes, numbers) for body in _bodies(op))
        lines.append(f"{len(op.axis)} {len(op.reduce_axis)} {bodies}")
    return _digest("\n".join(lines))


def skeleton(tensors: Sequence[te.Tensor]) -> str:
    """A digest of the axes of each stage, and of which axes run over which dimension of what it reads."""
    labels: dict[Any, str] = {}
    for op in _operations(tensors):
        if isinstance(op, te.PlaceholderOp):
            labels[op] = f"input {len(op.output(0).shape)}"
            continue
        axes = {axis.var: i for i, axis in enumerate([*op.axis, *op.reduce_axis])}
        reads = sorted({f"{labels[tensor.op]} at {_places(indices, axes)}" for tensor, indices in _loads(op)})
        labels[op] = _digest(f"{len(op.axis)} {len(op.reduce_axis)} " + " ; ".join(reads))
    return _digest(" ; ".join(sorted(labels[t.op] for t in tensors if not isinstance(t.op, te.PlaceholderOp))))


def _operations(tensors: Sequence[te.Tensor]) -> list[Any]:
    """Those that the tensors need, each after what it reads."""
    found: list[Any] = []
    seen = set()

    def visit(op: Any) -> None:
        if op in seen:
            return
        seen.add(op)
        for tensor in op.input_tensors:
            visit(tensor.op)
        found.append(op)

    for tensor in tensors:
        visit(tensor.op)
    return found


def _bodies(op: te.ComputeOp) -> list[Any]:
    """A reduction with several outputs repeats all of them in each."""
    bodies = list(op.body)
    return bodies[:1] if isinstance(bodies[0], tir.Reduce) else bodies


def _loads(op: te.ComputeOp) -> list[tuple[te.Tensor, list[Any]]]:
    """The tensors that are read, each with its indices."""
    found: list[tuple[te.Tensor, list[Any]]] = []

    def note(node: Any) -> None:
        read = read_of(node)
        if read is not None:
            found.append(read)

    for body in _bodies(op):
        parts = [*body.source, body.condition, *body.init] if isinstance(body, tir.Reduce) else [body]
        for part in parts:
            visit(part, note)
    return found


def _places(indices: Sequence[Any], axes: dict[Any, int]) -> list[list[int]]:
    """The axes in each index, ascending."""
    places = []
    for index in indices:
        met: set[int] = set()

        def note(node: Any, met: set[int] = met) -> None:
            if isinstance(node, tir.Var) and node in axes:
                met.add(axes[node])

        visit(index, note)
        places.append(sorted(met))
    return places


def _text(node: Any, axes: dict[Any, int], numbers: dict[Any, int]) -> str:
    """An expression with axes and stages by number, and no other number."""

    def many(nodes: Sequence[Any]) -> str:
        return ", ".join(_text(n, axes, numbers) for n in nodes)

    kind = type(node).__name__
    if isinstance(node, tir.IntImm | tir.FloatImm):
        return dtype_of(node)
    if isinstance(node, tir.Var):
        return f"axis {axes[node]}" if node in axes else "var"
    read = read_of(node)
    if read is not None:
        tensor, indices = read
        return f"{numbers[tensor.op]}.{tensor.value_index}[{many(indices)}]"
    if isinstance(node, tir.Reduce):
        parts = [*node.combiner.result, *node.source, node.condition, *node.init]
        return f"reduce({many(parts)})"
    if kind == "Call":
        return f"{name_of(node.op) or kind}({many(list(node.args))})"
    if isinstance(node, tir.Select):
        return f"select({many([node.condition, node.true_value, node.false_value])})"
    if isinstance(node, tir.Cast):
        return f"{dtype_of(node)}({many([node.value])})"
    return f"{kind}({many([getattr(node, name) for name in _OPERANDS if hasattr(node, name)])})"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
