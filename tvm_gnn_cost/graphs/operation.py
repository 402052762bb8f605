"""Tensor operations as light Python values: axes, and bodies as expression trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tvm_gnn_cost.graphs.expression import CATEGORIES, LinearForm, Node, linear_form

OperationKey = tuple[str, int]
"""A stage by its operation's name, and how many stages before it have the same name."""


@dataclass(frozen=True)
class Operation:
    """One operation, read once; `counts` are `count_operations` of the body.

    The loads in `body` name the stages they read by their OperationKey.
    """

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


def _loads(node: Node) -> list[Node]:
    found, stack = [], [node]
    while stack:
        current = stack.pop()
        if current.kind == "Load":
            found.append(current)
        stack.extend(current.children)
    return found


def count_operations(bodies: Sequence[Node]) -> tuple[float, ...]:
    """Operations per iteration of the bodies, by `CATEGORIES`; index arithmetic inside loads is not counted."""
    counts, stack = [0.0] * len(CATEGORIES), list(bodies)
    while stack:
        node = stack.pop()
        if node.category is not None:
            counts[CATEGORIES.index(node.category)] += 1.0
        if node.kind != "Load":
            stack.extend(node.children)
    return tuple(counts)
