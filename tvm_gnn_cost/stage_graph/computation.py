"""What a set of stages computes: axes, operations, and how every stage reads every buffer.

It does not depend on tile sizes or annotations, so it is made once for each set of stages and inlining decisions of a
task (a sketch gives a few; each rfactor extent one more) and shared by all schedules that have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm_gnn_cost.stage_graph.expression import LinearForm, address, linear_form
from tvm_gnn_cost.stage_graph.operation import Operation, OperationKey, operation_keys, read_operation
from tvm_gnn_cost.stage_graph.reader import rebuild
from tvm_gnn_cost.stage_graph.rfactor import RfactorFamily
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
    """Stages in TVM's order, edges (producer, consumer) between all stages, the accesses that run, and the evaluations
    (host, inlined stage, how often an iteration of the host evaluates it)."""

    stages: tuple[StageComputation, ...]
    edges: tuple[tuple[int, int], ...]
    accesses: tuple[Access, ...]
    evaluations: tuple[tuple[int, int, int], ...]


Inserts = tuple[tuple[int, ...], ...]


class ComputationReader:
    """Reads the computations of one task, each once.

    Operations are cached by everything that may change them (inserted stages; the factors of an rfactor), so that a
    new combination of rfactor extents or inlined stages costs no visit to TVM's expressions. Nor does a new extent once
    a few of its family were read.
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self._keys: dict[Inserts, list[OperationKey]] = {}
        self._operations: dict[tuple[Inserts, OperationKey, tuple[int, ...]], Operation] = {}
        self._families: dict[tuple[Inserts, OperationKey], RfactorFamily] = {}
        self._computations: dict[Structure, Computation] = {}

    def read(self, structure: Structure, state: Any) -> Computation:
        """The computation of the schedules with this structure; `state` is any `StateObject` that has it."""
        computation = self._computations.get(structure)
        if computation is None:
            if structure.inserts not in self._keys:
                self._keys[structure.inserts] = operation_keys([stage.op.name for stage in state.stages])
            keys = self._keys[structure.inserts]
            known = [self._find(structure, i, key) for i, key in enumerate(keys)]
            operations = [operation for operation in known if operation is not None]
            if len(operations) < len(keys):
                operations = self._read_operations(structure, keys, state)
            computation = _analyse(keys, operations, structure.inlined)
            self._computations[structure] = computation
        return computation

    def _find(self, structure: Structure, i: int, key: OperationKey) -> Operation | None:
        rfactor = structure.rfactors[i]
        operation = self._operations.get((structure.inserts, key, rfactor))
        family = self._families.get((structure.inserts, key))
        if operation is None and family is not None and len(rfactor) == 1:
            operation = family.get(rfactor[0])
            if operation is not None:
                self._operations[structure.inserts, key, rfactor] = operation
        return operation

    def _read_operations(self, structure: Structure, keys: Sequence[OperationKey], state: Any) -> list[Operation]:
        """The operations of all stages; those that are not known are read."""
        stages = rebuild(self._task, state).stages
        by_address = {address(stage.op): key for stage, key in zip(stages, keys, strict=True)}
        operations = []
        for key, rfactor, stage in zip(keys, structure.rfactors, stages, strict=True):
            where = (structure.inserts, key, rfactor)
            if where not in self._operations:
                self._operations[where] = read_operation(stage, by_address)
                if len(rfactor) == 1:
                    family = self._families.setdefault((structure.inserts, key), RfactorFamily())
                    family.add(rfactor[0], self._operations[where])
            operations.append(self._operations[where])
        return operations


def _analyse(keys: Sequence[OperationKey], operations: Sequence[Operation], inlined: Sequence[bool]) -> Computation:
    position = {key: i for i, key in enumerate(keys)}
    edges: dict[tuple[int, int], int] = {}
    for i, op in enumerate(operations):
        for load in op.loads:
            producer = position.get(load.value)
            if producer is not None and producer != i:
                edges.setdefault((producer, i), len(edges))
    accesses: list[Access] = []
    evaluations: list[tuple[int, int, int]] = []
    stages = []
    for i, op in enumerate(operations):
        walk = _HostWalk(i, operations, inlined, edges, position)
        if not op.is_placeholder and not inlined[i]:
            walk.run()
            accesses.extend(walk.accesses())
            evaluations.extend((i, stage, count) for stage, count in walk.evaluations.items())
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
    return Computation(tuple(stages), tuple(edges), tuple(accesses), tuple(evaluations))


class _HostWalk:
    """Collects what one stage executes: its own loads and operations and those of the stages inlined into it."""

    def __init__(
        self,
        host: int,
        operations: Sequence[Operation],
        inlined: Sequence[bool],
        edges: dict[tuple[int, int], int],
        position: dict[OperationKey, int],
    ) -> None:
        self._host, self._all, self._inlined, self._edges = host, operations, inlined, edges
        self._position = position
        self._loads_seen = 0
        self.operations = list(operations[host].counts)
        self.evaluations: dict[int, int] = {}
        # (producer, edge, coefficients) -> (forms of the indices, one tuple a read)
        self._merged: dict[tuple[Any, ...], list[tuple[LinearForm, ...]]] = {}

    def run(self) -> None:
        self._visit(self._host, self._all[self._host].indices)

    def _visit(self, reader: int, all_indices: Iterable[tuple[LinearForm, ...]]) -> None:
        """Follows the loads of `reader`, whose indices are given over the host's axes."""
        for load, indices in zip(self._all[reader].loads, all_indices, strict=True):
            self._loads_seen += 1
            if self._loads_seen > MAX_LOADS:
                return
            producer = self._position.get(load.value)
            if producer is None or producer == reader:
                continue
            if self._inlined[producer]:
                inner = self._all[producer]
                self.evaluations[producer] = self.evaluations.get(producer, 0) + 1
                if not inner.is_constant:
                    self.operations = [a + b for a, b in zip(self.operations, inner.counts, strict=True)]
                environment = dict(zip(inner.axis_names, indices, strict=False))
                self._visit(
                    producer, (tuple(linear_form(c, environment) for c in load.children) for load in inner.loads)
                )
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
