"""What a set of stages computes: axes, operations, and how every stage reads every buffer.

It does not depend on tile sizes or annotations, so it is made once for each set of stages and inlining decisions of a
task (a sketch gives a few; each rfactor extent one more) and shared by all schedules that have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_gnn_cost.graphs.expression import LinearForm, Node, linear_form
from tvm_gnn_cost.graphs.operation import Operation, OperationKey

MAX_LOADS = 4096
"""Loads analysed for one stage: inlining may multiply them without end; past this the rest repeats their pattern."""


@dataclass(frozen=True)
class StageComputation:
    """One stage: `operations` and `inlined_operations` count per iteration, by `expression.CATEGORIES`; the latter
    include what is inlined into the stage. What runs once an element, before its reduction, counts as part of an
    operation. `element_bytes` is the size of an element, of all outputs together; where there are several,
    `output_bytes` has that of each."""

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
    output_bytes: tuple[int, ...] = ()

    @property
    def outputs(self) -> tuple[int, ...]:
        """Bytes of an element of each output."""
        return self.output_bytes or (self.element_bytes,)

    @property
    def runs(self) -> bool:
        """Whether the stage has a loop nest: it is neither an input nor inlined."""
        return not self.is_placeholder and not self.is_inlined

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the whole tensor, or of all tensors that the stage makes."""
        return prod(self.axis_extents) * self.element_bytes

    @property
    def scope(self) -> str:
        """The storage scope, from the suffix that TVM's cache steps put on the name: "shared", "local" or ""."""
        suffix = self.name.rpartition(".")[2]
        return suffix if suffix in ("shared", "local") else ""


@dataclass(frozen=True)
class Access:
    """The reads of a buffer of stage `producer` (that of its output number `output`) that stage `host` executes through
    edge `edge`, all with the same coefficients.

    Dimension d of the buffer is read at sum_a coefficients[d][a] * axis_a + a constant; the constants of the merged
    reads spread over `spread[d]`; a modulo caps the span of dimension d at `limit[d]`. Axes are the host's spatial
    axes followed by its reduction axes. `reads` are those of an iteration: of reads that run `once` an element, before
    its reduction, their share of an iteration.
    """

    host: int
    producer: int
    edge: int
    coefficients: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]
    limit: tuple[float, ...]
    reads: float
    affine: bool
    output: int = 0
    once: bool = False


@dataclass(frozen=True)
class Computation:
    """Stages in TVM's order, edges (producer, consumer) between all stages, the accesses that run, and the evaluations
    (host, inlined stage, how often an iteration of the host evaluates it: less than once, if for initial values)."""

    stages: tuple[StageComputation, ...]
    edges: tuple[tuple[int, int], ...]
    accesses: tuple[Access, ...]
    evaluations: tuple[tuple[int, int, float], ...]

    def access_bytes(self, access: Access) -> int:
        """Bytes of an element of the buffer that an access reads."""
        return self.stages[access.producer].outputs[access.output]


def analyse(keys: Sequence[OperationKey], operations: Sequence[Operation], inlined: Sequence[bool]) -> Computation:
    """What N stages compute, in order: `keys` name them in each other's loads; `inlined` says which run in others.

    Raises ValueError if an operation reads what none of these makes.
    """
    position = {key: i for i, key in enumerate(keys)}
    edges: dict[tuple[int, int], int] = {}
    for i, op in enumerate(operations):
        for load in (*op.loads, *op.first_loads):
            producer = position.get(load.value[:2])
            if producer is None:
                raise ValueError(f"{op.name} reads {load.value[0]}, which no stage makes")
            if producer != i:
                edges.setdefault((producer, i), len(edges))
    accesses: list[Access] = []
    evaluations: list[tuple[int, int, float]] = []
    stages = []
    for i, op in enumerate(operations):
        walk = _HostWalk(i, operations, inlined, edges, position)
        if not op.is_placeholder and not inlined[i]:
            walk.run()
            accesses.extend(walk.accesses())
            evaluations.extend((i, stage, count) for stage, count in walk.evaluations.items())
        stages.append(
            StageComputation(
                name=op.name,
                is_placeholder=op.is_placeholder,
                is_inlined=inlined[i],
                axis_extents=op.axis_extents,
                reduce_extents=op.reduce_extents,
                element_bytes=op.element_bytes,
                is_float=op.is_float,
                is_constant=op.is_constant,
                operations=tuple(walk.own_operations),
                inlined_operations=tuple(walk.operations),
                output_bytes=op.output_bytes,
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
        op = operations[host]
        self._once = 1.0 / max(1, prod(op.reduce_extents))  # the share of an iteration of what runs once an element
        self.own_operations = [a + b * self._once for a, b in zip(op.counts, op.init_counts, strict=True)]
        self.operations = list(self.own_operations)
        self.evaluations: dict[int, float] = {}
        # (producer, output, edge, coefficients, once) -> the forms of the indices, one tuple a read
        self._merged: dict[tuple[Any, ...], list[tuple[LinearForm, ...]]] = {}

    def run(self) -> None:
        op = self._all[self._host]
        self._visit(self._host, op.loads, op.indices, once=False)
        self._visit(self._host, op.first_loads, op.first_indices, once=True)

    def _visit(
        self, reader: int, loads: Sequence[Node], all_indices: Iterable[tuple[LinearForm, ...]], once: bool
    ) -> None:
        """Follows loads of `reader`, whose indices are given over the host's axes."""
        for load, indices in zip(loads, all_indices, strict=True):
            self._loads_seen += 1
            if self._loads_seen > MAX_LOADS:
                return
            *key, output = load.value
            producer = self._position[tuple(key)]
            if producer == reader:
                continue
            if self._inlined[producer]:
                inner = self._all[producer]
                share = self._once if once else 1.0
                self.evaluations[producer] = self.evaluations.get(producer, 0.0) + share
                if not inner.is_constant:
                    counts = inner.counts if not once else tuple(count * share for count in inner.counts)
                    self.operations = [a + b for a, b in zip(self.operations, counts, strict=True)]
                environment = dict(zip(inner.axis_names, indices, strict=False))
                nested = (tuple(linear_form(c, environment) for c in load.children) for load in inner.loads)
                self._visit(producer, inner.loads, nested, once)
            else:
                self._record(producer, output, self._edges[(producer, reader)], indices, once)

    def _record(self, producer: int, output: int, edge: int, indices: tuple[LinearForm, ...], once: bool) -> None:
        axes = range(len(self._all[self._host].axis_names))
        sizes = self._all[producer].axis_extents
        rows = tuple(
            tuple(form.coefficients.get(a, 0.0) * (_distance(size) if a in form.scattered else 1.0) for a in axes)
            for form, size in zip(indices, sizes, strict=True)
        )
        self._merged.setdefault((producer, output, edge, rows, once), []).append(indices)

    def accesses(self) -> list[Access]:
        result = []
        for (producer, output, edge, rows, once), reads in self._merged.items():
            dimensions = range(len(rows))
            result.append(
                Access(
                    host=self._host,
                    producer=producer,
                    edge=edge,
                    coefficients=rows,
                    spread=tuple(max(f[d].high for f in reads) - min(f[d].low for f in reads) for d in dimensions),
                    limit=tuple(max(f[d].limit for f in reads) for d in dimensions),
                    reads=len(reads) * (self._once if once else 1.0),
                    affine=all(form.affine for f in reads for form in f),
                    output=output,
                    once=once,
                )
            )
        return result


def _distance(size: int) -> float:
    """How far apart the elements of a dimension are that data lead to: on average a third of its size."""
    return max(1.0, size / 3.0)
