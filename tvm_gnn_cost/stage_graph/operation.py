"""TE operations as light Python values: axes, and bodies as expression trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvm_gnn_cost.stage_graph.expression import CATEGORIES, LinearForm, Node, linear_form, read_expression

OperationKey = tuple[str, int]
"""A stage by its operation's name, and how many stages before it have the same name."""


@dataclass(frozen=True)
class Operation:
    """One TE operation, read once. The loads in `body` name the stages they read by their OperationKey."""

    name: str
    is_placeholder: bool
    axis_names: tuple[str, ...]
    axis_extents: tuple[int, ...]
    reduce_extents: tuple[int, ...]
    body: tuple[Node, ...]
    element_bytes: int
    is_float: bool
    is_constant: bool
    counts: tuple[float, ...]

    @cached_property
    def loads(self) -> tuple[Node, ...]:
        """The loads in the body, those in the indices of others included."""
        return tuple(load for body in self.body for load in _loads(body))

    @cached_property
    def indices(self) -> tuple[tuple[LinearForm, ...], ...]:
        """The indices of each load, over the operation's own axes."""
        extents = self.axis_extents + self.reduce_extents
        environment = {
            name: LinearForm.axis(axis, extent)
            for axis, (name, extent) in enumerate(zip(self.axis_names, extents, strict=True))
        }
        return tuple(tuple(linear_form(c, environment) for c in load.children) for load in self.loads)


def operation_keys(names: Sequence[str]) -> list[OperationKey]:
    """The key of each of these operations."""
    return [(name, list(names[:i]).count(name)) for i, name in enumerate(names)]


def read_operation(stage: Any, by_address: dict[int, OperationKey]) -> Operation:
    """Reads the operation of an `auto_scheduler` stage; `by_address` names the operations of all stages."""
    op = stage.op
    is_placeholder = int(stage.op_type) == 0
    dtype = str(op.output(0).dtype)
    digits = "".join(c for c in dtype.split("x")[0] if c.isdigit())
    axes = [] if is_placeholder else [*op.axis, *op.reduce_axis]
    body = () if is_placeholder else tuple(_name_loads(read_expression(b), by_address) for b in _bodies(op))
    return Operation(
        op.name,
        is_placeholder,
        tuple(a.var.name for a in axes),
        tuple(_extent(d) for d in (op.output(0).shape if is_placeholder else (a.dom.extent for a in op.axis))),
        () if is_placeholder else tuple(_extent(a.dom.extent) for a in op.reduce_axis),
        body,
        max(1, int(digits or 8) // 8),
        "float" in dtype,
        bool(op.attrs and "const_matrix" in op.attrs),
        tuple(_count(body)),
    )


def _extent(value: Any) -> int:
    constant = getattr(value, "value", None)
    return int(constant) if isinstance(constant, int) else 1


def _bodies(op: Any) -> list[Any]:
    """A multi-output reduction repeats all its sources in every body: read it once."""
    bodies = list(op.body)
    return bodies[:1] if type(bodies[0]).__name__ == "Reduce" else bodies


def _name_loads(node: Node, by_address: dict[int, OperationKey]) -> Node:
    """Names the stages that are read. Cache steps rebuild operations, so an address may be stale: such a stage is
    found by its name, which is then its own."""
    children = tuple(_name_loads(c, by_address) for c in node.children)
    value = node.value
    if node.kind == "Load":
        name, where = node.value
        value = by_address.get(where, (name, 0))
    return Node(node.kind, value, children, node.category)


def _loads(node: Node) -> list[Node]:
    found, stack = [], [node]
    while stack:
        current = stack.pop()
        if current.kind == "Load":
            found.append(current)
        stack.extend(current.children)
    return found


def _count(bodies: Sequence[Node]) -> list[float]:
    """Operations per iteration of the bodies; index arithmetic inside loads is not counted."""
    counts, stack = [0.0] * len(CATEGORIES), list(bodies)
    while stack:
        node = stack.pop()
        if node.category is not None:
            counts[CATEGORIES.index(node.category)] += 1.0
        if node.kind != "Load":
            stack.extend(node.children)
    return counts
