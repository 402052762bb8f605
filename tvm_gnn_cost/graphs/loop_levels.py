"""The nest of one stage, level by level: what runs, what is touched, and how neighbouring iterations move.

A stage's nest is the non-trivial loops around its body: those of the stages it is attached in, then its own. Level l of
the nest means that loops l, l + 1, ... run and the outer ones stand still; level 0 is the whole kernel, level n one
iteration. What a level touches follows from the spans of the axes and the coefficients of the accesses; memory traffic
follows from the outermost level whose touched bytes fit a cache of a given size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from typing import NamedTuple

from tvm_gnn_cost.graphs.arithmetic import dot, product, total
from tvm_gnn_cost.graphs.computation import Access
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt, LoopKind, NestLoop
from tvm_gnn_cost.graphs.schema import CACHES


class Group(NamedTuple):
    """A run of loops of one kind: the level where it starts, the product of its loops, whether it reduces."""

    level: int
    extent: float
    reduces: bool


class LoopLevels:
    """The nest of stage `i`, which runs, with n loops and its accesses in the order of the computation.

    Attributes:
        outer, own: the non-trivial loops of others around the stage, and its own; `loops` both.
        outside: (n + 1,) how often each level runs; the last, `iterations`, is how often the body does.
        output: (n + 1,) elements of the stage that each level writes.
        distinct: (n + 1, accesses) elements that each level reads. What is read once an element, before its
            reduction, counts on average: fewer where the reduction goes on outside the level.
        lines: (n + 1, accesses + 1) bytes of the cache lines that each level reads, and of those it writes (last).
        touched: (n + 1,) their sums.
        cache_levels: for each of `CACHES`, the outermost level whose touched bytes fit, or the innermost one.
        groups: the runs of loops of one kind, from the inside.
        vector_loop: the stage's innermost vectorised loop, if any.
    """

    def __init__(self, nest: LoopNest, hardware: Hardware, i: int) -> None:
        self.nest, self.hardware, self.i = nest, hardware, i
        self.stage, self.placement = nest.computation.stages[i], nest.placements[i]
        self.outer = _non_trivial(nest.outer[i])
        self.own = _non_trivial(nest.loops[i])
        self.loops = self.outer + self.own
        self.accesses = [a for a in nest.computation.accesses if a.host == i]
        self.outside = [1.0]
        for around in self.loops:
            self.outside.append(self.outside[-1] * around.extent)
        self.iterations = self.outside[-1]
        self.output: list[float] = []
        self.distinct: list[list[float]] = []
        self.lines: list[list[float]] = []
        self.touched: list[float] = []
        begun = 1.0  # iterations of a reduction by its loops outside the level
        for level, loop in enumerate([*self.loops, None]):
            self._add_level(_level_spans(nest, i, self.loops, level), begun)
            if loop is not None and loop.stage == i and loop.kind == LoopKind.REDUCTION:
                begun *= loop.extent
        self.cache_levels = [
            next((level for level, touched in enumerate(self.touched) if touched <= capacity), len(self.loops))
            for capacity in hardware.cache_bytes
        ]
        self.groups = _groups(self.loops)
        vector = [loop for loop in self.own if loop.annotation == Annotation.VECTORIZE]
        self.vector_loop = vector[-1] if vector else None

    def _add_level(self, spans: Sequence[float], begun: float) -> None:
        computation, written = self.nest.computation, spans[: len(self.stage.axis_extents)]
        line = float(self.hardware.cache_line_bytes)
        lines, distinct = [], []
        for access in self.accesses:
            region = self.nest.region(access, spans)
            runs = begun if access.once else 1.0
            lines.append(_line_bytes(region, float(computation.access_bytes(access)), line) / runs)
            distinct.append(product(region) / runs)
        lines.append(total([_line_bytes(written, float(size), line) for size in self.stage.outputs]))
        self.output.append(product(written))
        self.distinct.append(distinct)
        self.lines.append(lines)
        self.touched.append(total(lines))

    def extent_of(self, annotations: Collection[int]) -> float:
        """The product of the loops with one of these annotations."""
        return product([loop.extent for loop in self.loops if loop.annotation in annotations])

    def traffic(self, cache: str) -> float:
        """Bytes moved in all into and out of a cache."""
        level = self.cache_levels[CACHES.index(cache)]
        return self.touched[level] * self.outside[level]

    def shift(self, loop: NestLoop) -> list[float]:
        """How far every axis of the stage moves from one iteration of `loop` to the next."""
        return _shift(self.nest, self.i, loop)

    def stride(self, access: Access, shift: Sequence[float]) -> float:
        """Elements between the reads of neighbouring iterations, in the producer's row-major buffer."""
        shape = self.nest.axis_extents[access.producer][: len(access.coefficients)]
        return _offset([dot(row, shift) for row in access.coefficients], shape)

    def store_stride(self, shift: Sequence[float]) -> float:
        """Elements between the writes of neighbouring iterations, in the stage's row-major buffer."""
        spatial = len(self.stage.axis_extents)
        attached = self.placement.compute_at == ComputeAt.ITER
        shape = self.nest.axis_extents[self.i][:spatial] if attached else self.stage.axis_extents
        return _offset(shift[:spatial], shape)


def lane_kind(stride: float) -> str:
    """What neighbouring iterations that lie `stride` elements apart are: "invariant", "contiguous" or "strided"."""
    if stride == 0.0:
        return "invariant"
    return "contiguous" if stride <= 1.0 else "strided"


def read_in_all(nest: LoopNest, access: Access) -> list[float]:
    """The spans of the producer's dimensions that one run of the host's whole nest reads through an access."""
    host = access.host
    loops = _non_trivial(nest.outer[host]) + _non_trivial(nest.loops[host])
    return nest.region(access, _level_spans(nest, host, loops, 0))


def _non_trivial(loops: Sequence[NestLoop]) -> list[NestLoop]:
    return [loop for loop in loops if loop.extent > 1]


def _level_spans(nest: LoopNest, i: int, loops: Sequence[NestLoop], level: int) -> tuple[float, ...]:
    """The spans of stage i's axes while loops level, level + 1, ... run; `loops` are the non-trivial ones around it."""
    if level == len(loops):
        return nest.spans(i, i, len(nest.loops[i]), False)
    loop = loops[level]
    relax = nest.computation.stages[i].scope == "shared" and loop.stage != i
    return nest.spans(i, loop.stage, loop.index - 1, relax)


def _groups(loops: Sequence[NestLoop]) -> list[Group]:
    groups: list[Group] = []
    for level in reversed(range(len(loops))):
        reduces = loops[level].kind == LoopKind.REDUCTION
        extent = float(loops[level].extent)
        if groups and groups[-1].reduces == reduces:
            groups[-1] = Group(level, groups[-1].extent * extent, reduces)
        else:
            groups.append(Group(level, extent, reduces))
    return groups


def _shift(nest: LoopNest, i: int, loop: NestLoop) -> list[float]:
    stage = nest.computation.stages[i]
    shift = [0.0] * (len(stage.axis_extents) + len(stage.reduce_extents))
    if loop.stage == i:
        if loop.parts:
            shift[loop.parts[-1].axis] = float(loop.parts[-1].stride)
        return shift
    for access in nest.computation.accesses:
        if access.producer == i and (access.host == loop.stage or nest.inside(access.host, loop.stage, loop.index)):
            outer = _shift(nest, access.host, loop)
            for d, row in enumerate(access.coefficients):
                shift[d] = dot(row, outer)
            break
    return shift


def _offset(shift: Sequence[float], shape: Sequence[int]) -> float:
    """The elements that a move by `shift` makes in a row-major buffer of `shape`."""
    offset, step = 0.0, 1.0
    for moved, size in zip(reversed(shift), reversed(shape), strict=True):
        offset += moved * step
        step *= size
    return abs(offset)


def _line_bytes(region: Sequence[float], element_bytes: float, line: float) -> float:
    """Bytes of the cache lines that a box of elements touches, when its rows start on line boundaries."""
    rows, row = 1.0, element_bytes
    if region:
        rows, row = product(region[:-1]), region[-1] * element_bytes
    return rows * ceil(row / line) * line
