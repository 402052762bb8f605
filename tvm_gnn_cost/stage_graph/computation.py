"""What a set of stages computes: axes, operations, and how every stage reads every buffer.

It does not depend on tile sizes or annotations, so it is made once for each set of stages and inlining decisions of a
task (a sketch gives a few; each rfactor extent one more) and shared by all schedules that have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm_gnn_cost.stage_graph.expression import (
    CATEGORIES,
    Environment,
    LinearForm,
    Node,
    address,
    linear_form,
    read_expression,
)
from tvm_gnn_cost.stage_graph.reader import rebuild
from tvm_gnn_cost.stage_graph.schedule import Structure

MAX_LOADS = 4096
"""Loads analysed for one stage: inlining may multiply them without end; past this the rest repeats their pattern."""


@dataclass(frozen=True)
class StageComputation:
    """One stage: `operations` and `inlined_operations` count per iteration, by `expression.CATEGORIES`; the latter
    include what is inlined into the stage. Element size in bytes."""

    name: str
    is_placeholder: bool
    is_inlined: bool
    axis_extents: tuple[int, ...]
    reduce_extents: tuple[int, ...]
    element_bytes: int
    is_float: bool
    is_constant: bool
    operations: tuple[float, ...]
    inlined_operations: tuple[float, ...]

    @property
    def scope(self) -> str:
        """The storage scope, from the suffix that TVM's cache steps put on the name: "shared", "local" or ""."""
        suffix = self.name.rpartition(".")[2]
        return suffix if suffix in ("shared", "local") else ""


@dataclass(frozen=True)
class Access:
    """The reads of buffer `producer` that stage `host` executes through edge `edge`, all with the same coefficients.

    Dimension d of the buffer is read at sum_a coefficients[d][a] * axis_a + a constant; the constants of the merged
    reads spread over `spread[d]`; a modulo caps the span of dimension d at `limit[d]`. Axes are the host's spatial
    axes followed by its reduction axes.
    """

    host: int
    producer: int
    edge: int
    coefficients: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]
    limit: tuple[float, ...]
    reads: float
    affine: bool


@dataclass(frozen=True)
class Computation:
    """Stages in TVM's order, edges (producer, consumer) between all stages, and the accesses that run."""

    stages: tuple[StageComputation, ...]
    edges: tuple[tuple[int, int], ...]
    accesses: tuple[Access, ...]


OperationKey = tuple[str, int]
"""A stage by its operation's name, and how many stages before it have the same name."""


@dataclass(frozen=True)
class _Operation:
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


class ComputationReader:
    """Reads the computations of one task, each once.

    Operations are cached by everything that may change them (inserted stages; the factors of an rfactor), so that a
    new combination of rfactor extents or inlined stages costs no visit to TVM's expressions.
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self._operations: dict[tuple[Any, ...], _Operation] = {}
        self._computations: dict[Structure, Computation] = {}

    def known(self) -> Iterable[Computation]:
        """Those that were read so far."""
        return self._computations.values()

    def read(self, structure: Structure, state: Any) -> Computation:
        """The computation of the schedules with this structure; `state` is any `StateObject` that has it."""
        computation = self._computations.get(structure)
        if computation is None:
            keys = _operation_keys([stage.op.name for stage in state.stages])
            operations = self._read_operations(structure, keys, state)
            computation = _analyse(keys, operations, structure.inlined)
            self._computations[structure] = computation
        return computation

    def _read_operations(self, structure: Structure, keys: Sequence[OperationKey], state: Any) -> list[_Operation]:
        where = [(structure.inserts, key, rfactor) for key, rfactor in zip(keys, structure.rfactors, strict=True)]
        if any(w not in self._operations for w in where):
            stages = rebuild(self._task, state).stages
            by_address = {address(stage.op): key for stage, key in zip(stages, keys, strict=True)}
            for w, stage in zip(where, stages, strict=True):
                if w not in self._operations:
                    self._operations[w] = _read_operation(stage, by_address)
        return [self._operations[w] for w in where]


def _operation_keys(names: Sequence[str]) -> list[OperationKey]:
    return [(name, list(names[:i]).count(name)) for i, name in enumerate(names)]


def _read_operation(stage: Any, by_address: dict[int, OperationKey]) -> _Operation:
    op = stage.op
    is_placeholder = int(stage.op_type) == 0
    dtype = str(op.output(0).dtype)
    digits = "".join(c for c in dtype.split("x")[0] if c.isdigit())
    axes = [] if is_placeholder else [*op.axis, *op.reduce_axis]
    body = () if is_placeholder else tuple(_name_loads(read_expression(b), by_address) for b in _bodies(op))
    return _Operation(
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


def _analyse(keys: Sequence[OperationKey], operations: Sequence[_Operation], inlined: Sequence[bool]) -> Computation:
    position = {key: i for i, key in enumerate(keys)}
    edges: dict[tuple[int, int], int] = {}
    for i, op in enumerate(operations):
        for body in op.body:
            for load in _loads(body):
                producer = position.get(load.value)
                if producer is not None and producer != i:
                    edges.setdefault((producer, i), len(edges))
    accesses: list[Access] = []
    stages = []
    for i, op in enumerate(operations):
        walk = _HostWalk(i, operations, inlined, edges, position)
        if not op.is_placeholder and not inlined[i]:
            walk.run()
            accesses.extend(walk.accesses())
        stages.append(
            StageComputation(
                op.name,
                op.is_placeholder,
                inlined[i],
                op.axis_extents,
                op.reduce_extents,
                op.element_bytes,
                op.is_float,
                op.is_constant,
                op.counts,
                tuple(walk.operations),
            )
        )
    return Computation(tuple(stages), tuple(edges), tuple(accesses))


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


class _HostWalk:
    """Collects what one stage executes: its own loads and operations and those of the stages inlined into it."""

    def __init__(
        self,
        host: int,
        operations: Sequence[_Operation],
        inlined: Sequence[bool],
        edges: dict[tuple[int, int], int],
        position: dict[OperationKey, int],
    ) -> None:
        self._host, self._all, self._inlined, self._edges = host, operations, inlined, edges
        self._position = position
        self._loads_seen = 0
        self.operations = list(operations[host].counts)
        # (producer, edge, coefficients) -> (forms of the indices, one tuple a read)
        self._merged: dict[tuple[Any, ...], list[tuple[LinearForm, ...]]] = {}

    def run(self) -> None:
        op = self._all[self._host]
        environment = {name: LinearForm({axis: 1.0}) for axis, name in enumerate(op.axis_names)}
        self._visit(self._host, op.body, environment)

    def _visit(self, reader: int, bodies: Sequence[Node], environment: Environment) -> None:
        for body in bodies:
            for load in _loads(body):
                self._loads_seen += 1
                if self._loads_seen > MAX_LOADS:
                    return
                producer = self._position.get(load.value)
                if producer is None or producer == reader:
                    continue
                indices = tuple(linear_form(c, environment) for c in load.children)
                if self._inlined[producer]:
                    inner = self._all[producer]
                    if not inner.is_constant:
                        self.operations = [a + b for a, b in zip(self.operations, inner.counts, strict=True)]
                    self._visit(producer, inner.body, dict(zip(inner.axis_names, indices, strict=False)))
                else:
                    self._record(producer, self._edges[(producer, reader)], indices)

    def _record(self, producer: int, edge: int, indices: tuple[LinearForm, ...]) -> None:
        axes = range(len(self._all[self._host].axis_names))
        rows = tuple(tuple(form.coefficients.get(a, 0.0) for a in axes) for form in indices)
        self._merged.setdefault((producer, edge, rows), []).append(indices)

    def accesses(self) -> list[Access]:
        result = []
        for (producer, edge, rows), reads in self._merged.items():
            dimensions = range(len(rows))
            result.append(
                Access(
                    self._host,
                    producer,
                    edge,
                    rows,
                    tuple(max(f[d].high for f in reads) - min(f[d].low for f in reads) for d in dimensions),
                    tuple(max(f[d].limit for f in reads) for d in dimensions),
                    float(len(reads)),
                    all(form.affine for f in reads for form in f),
                )
            )
        return result
