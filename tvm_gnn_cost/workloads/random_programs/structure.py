"""What two programs have in common whatever their sizes: two digests of te tensors.

`structure` tells stages, edges, types and every operation apart; `skeleton` only which axes each stage has and how it
reads what, in whatever operation: two programs of different skeletons are of different kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from tvm import te, tir

_OPERANDS = ("a", "b")


def structure(tensors: Sequence[te.Tensor]) -> str:
    """A digest of everything but extents and other numbers."""
    numbers: dict[Any, int] = {}
    lines: list[str] = []
    for op in _operations(tensors):
        numbers[op] = len(numbers)
        if isinstance(op, te.PlaceholderOp):
            lines.append(f"input {len(op.output(0).shape)} {op.output(0).dtype}")
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
        reads = sorted({f"{labels[load.producer.op]} at {_places(load, axes)}" for load in _loads(op)})
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


def _loads(op: te.ComputeOp) -> list[tir.ProducerLoad]:
    found: list[tir.ProducerLoad] = []
    for body in _bodies(op):
        parts = [*body.source, body.condition, *body.init] if isinstance(body, tir.Reduce) else [body]
        for part in parts:
            tir.stmt_functor.post_order_visit(
                part, lambda node: found.append(node) if isinstance(node, tir.ProducerLoad) else None
            )
    return found


def _places(load: tir.ProducerLoad, axes: dict[Any, int]) -> list[list[int]]:
    """The axes in each index, ascending."""
    places = []
    for index in load.indices:
        met: set[int] = set()
        tir.stmt_functor.post_order_visit(
            index, lambda node, met=met: met.add(axes[node]) if isinstance(node, tir.Var) and node in axes else None
        )
        places.append(sorted(met))
    return places


def _text(node: Any, axes: dict[Any, int], numbers: dict[Any, int]) -> str:
    """An expression with axes and stages by number, and no other number."""

    def many(nodes: Sequence[Any]) -> str:
        return ", ".join(_text(n, axes, numbers) for n in nodes)

    kind = type(node).__name__
    if isinstance(node, tir.IntImm | tir.FloatImm):
        return f"{node.dtype}"
    if isinstance(node, tir.Var):
        return f"axis {axes[node]}" if node in axes else "var"
    if isinstance(node, tir.ProducerLoad):
        return f"{numbers[node.producer.op]}.{node.producer.value_index}[{many(node.indices)}]"
    if isinstance(node, tir.Reduce):
        parts = [*node.combiner.result, *node.source, node.condition, *node.init]
        return f"reduce({many(parts)})"
    if isinstance(node, tir.Call):
        return f"{getattr(node.op, 'name', kind)}({many([a for a in node.args if isinstance(a, tir.PrimExpr)])})"
    if isinstance(node, tir.Select):
        return f"select({many([node.condition, node.true_value, node.false_value])})"
    if isinstance(node, tir.Cast):
        return f"{node.dtype}({many([node.value])})"
    return f"{kind}({many([getattr(node, name) for name in _OPERANDS if hasattr(node, name)])})"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
