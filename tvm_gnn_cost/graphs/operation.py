"""Tensor operations as light Python values: axes, and bodies as expression trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tvm_gnn_cost.graphs.expression import CATEGORIES, LinearForm, Node, linear_form

OperationKey = tuple[str, int]
"""A stage by its operation's name, and how many stages before it have the same name."""

TensorKey = tuple[str, int, int]
"""A tensor by the OperationKey of the stage that makes it, and which of its outputs it is."""

NO_OPERATIONS = (0.0,) * len(CATEGORIES)


@dataclass(frozen=True)
class Domain:
    """What an axis runs over, where that is not a constant number of values from 0 on: `extent` values from `begin`.

    Either may depend on the axes before it, or on data.
    """

    begin: Node
    extent: Node


@dataclass(frozen=True)
class Operation:
    """One operation, read once; `counts` are `count_operations` of the body.

    A reduction also has what is evaluated once an element, when it begins: its initial values (`init`, which count
    `init_counts`) and the domains of its axes. `domains` has those of some axes, by number. `element_bytes` is the size
    of an element, of all outputs together; where there are several, `output_bytes` has that of each. The loads in nodes
    name the tensors they read by their TensorKey.
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
    init: tuple[Node, ...] = ()
    init_counts: tuple[float, ...] = NO_OPERATIONS
    domains: tuple[tuple[int, Domain], ...] = ()
    output_bytes: tuple[int, ...] = ()

    @cached_property
    def loads(self) -> tuple[Node, ...]:
        """The loads in the body, those in the indices of others included: each runs once an iteration."""
        return tuple(load for body in self.body for load in loads_of(body))

    @cached_property
    def first_loads(self) -> tuple[Node, ...]:
        """The loads that run once an element: before its first iteration, or to know how many there are."""
        parts = [*self.init, *(part for _, domain in self.domains for part in (domain.begin, domain.extent))]
        return tuple(load for part in parts for load in loads_of(part))

    @cached_property
    def indices(self) -> tuple[tuple[LinearForm, ...], ...]:
        """The indices of each of `loads`, over the operation's own axes."""
        return self._indices(self.loads)

    @cached_property
    def first_indices(self) -> tuple[tuple[LinearForm, ...], ...]:
        """The indices of each of `first_loads`, over the operation's own axes."""
        return self._indices(self.first_loads)

    def _indices(self, loads: Sequence[Node]) -> tuple[tuple[LinearForm, ...], ...]:
        return tuple(tuple(linear_form(c, self._environment) for c in load.children) for load in loads)

    @cached_property
    def _environment(self) -> Mapping[str, LinearForm]:
        extents = self.axis_extents + self.reduce_extents
        domains = dict(self.domains)
        environment: dict[str, LinearForm] = {}
        for axis, (name, extent) in enumerate(zip(self.axis_names, extents, strict=True)):
            form = LinearForm.axis(axis, extent)
            domain = domains.get(axis)
            if domain is not None:
                if domain.extent.kind != "Const":
                    form = replace(form, least=0.0, most=float("inf"))
                form = form.plus(linear_form(domain.begin, environment))
            environment[name] = form
        return environment


def operation_keys(names: Sequence[str]) -> list[OperationKey]:
    """The key of each of these operations."""
    return [(name, list(names[:i]).count(name)) for i, name in enumerate(names)]


def loads_of(node: Node) -> list[Node]:
    """The loads that an expression executes, those in the indices of others included."""
    found, stack = [], [node]
    while stack:
        current = stack.pop()
        if current.kind == "Load":
            found.append(current)
        stack.extend(current.children[1:] if current.kind == "Given" else current.children)
    return found


def count_operations(bodies: Sequence[Node]) -> tuple[float, ...]:
    """Operations per iteration of the bodies, by `CATEGORIES`; index arithmetic inside loads is not counted."""
    counts, stack = [0.0] * len(CATEGORIES), list(bodies)
    while stack:
        node = stack.pop()
        if node.category is not None:
            counts[CATEGORIES.index(node.category)] += node.operations
        if node.kind != "Load":
            stack.extend(node.children[1:] if node.kind == "Given" else node.children)
    return tuple(counts)
