"""Which axis every loop runs over, and the region of a stage that any loop level touches.

The steps of a schedule are replayed on the axes of its stages: each loop becomes a list of parts, outermost first, one
for every axis it covers (a fused loop covers several). The extents are TVM's own wherever it gave one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from tvm_gnn_cost.stage_graph.computation import Access, Computation
from tvm_gnn_cost.stage_graph.schedule import (
    THREAD_ANNOTATIONS,
    Annotation,
    ComputeAt,
    Schedule,
    Step,
    StepKind,
)

SHARED_BY_THREADS = THREAD_ANNOTATIONS | {Annotation.VTHREAD}


@dataclass(frozen=True)
class Part:
    """A piece of an axis: `extent` values, `stride` elements of the axis apart."""

    axis: int
    extent: int
    stride: int


@dataclass(frozen=True)
class NestLoop:
    """Loop `index` of stage `stage`. `exact` is False where TVM gave no constant extent and it is estimated."""

    stage: int
    index: int
    extent: int
    kind: int
    annotation: int
    parts: tuple[Part, ...]
    exact: bool


def split_parts(parts: Sequence[Part], factor: int) -> tuple[list[Part], list[Part]]:
    """Splits off the innermost `factor` iterations: (outer parts, inner parts)."""
    outer: list[Part] = list(parts)
    inner: list[Part] = []
    rest = max(1, factor)
    while outer and rest > 1:
        part = outer.pop()
        if part.extent <= rest:
            inner.insert(0, part)
            rest = -(-rest // part.extent)
        else:
            inner.insert(0, Part(part.axis, rest, part.stride))
            outer.append(Part(part.axis, -(-part.extent // rest), part.stride * rest))
            rest = 1
    return outer, inner


def _split(parts: Sequence[Part], step: Step) -> list[list[Part]]:
    rest = list(parts)
    if step.inner_to_outer:
        pieces: list[list[Part]] = []
        for factor in reversed(step.values):
            rest, inner = split_parts(rest, factor)
            pieces.insert(0, inner)
        return [rest, *pieces]
    pieces = []
    for count in step.values:
        total = 1
        for part in rest:
            total *= part.extent
        outer, rest = split_parts(rest, -(-total // max(1, count)))
        pieces.append(outer)
    return [*pieces, rest]


def replay(axis_extents: Sequence[int], steps: Sequence[Step]) -> list[list[Part]]:
    """The parts of every loop, after `steps` (SPLIT, FUSE, REORDER of this stage alone) on one loop an axis."""
    loops = [[Part(a, e, 1)] for a, e in enumerate(axis_extents)]
    for step in steps:
        if step.kind == StepKind.SPLIT:
            loops[step.index : step.index + 1] = _split(loops[step.index], step)
        elif step.kind == StepKind.FUSE:
            if not step.values:  # TVM fuses nothing to give a scalar stage a loop of extent 1
                loops.append([])
                continue
            first, last = step.values[0], step.values[-1]
            loops[first : last + 1] = [[part for loop in loops[first : last + 1] for part in loop]]
        else:
            loops = [loops[i] for i in step.values]
    return loops


def steps_by_stage(schedule: Schedule) -> list[list[Step]]:
    """The steps that shape each stage's loops, by the stage's final position."""
    inserted = sum(s.kind == StepKind.INSERT for s in schedule.steps)
    slots: list[list[Step]] = [[] for _ in range(len(schedule.stages) - inserted)]
    for step in schedule.steps:
        if step.kind != StepKind.INSERT:
            slots[step.stage_id].append(step)
        elif step.index == 1:
            slots.insert(step.stage_id + 1, [])
        else:
            slots[step.stage_id] = []
            slots.insert(step.stage_id, [])
    return slots


class LoopNest:
    """The loop nests of all stages of one schedule.

    Attributes:
        axis_extents: per stage, the extent of every axis (spatial, then reduction) that one run of the stage covers.
        loops: per stage, its own loops in order, trivial ones included. Empty for placeholders and inlined stages.
        outer: per stage, the loops of the stages it is attached in, outermost first, without those it shares with
            them (a thread index bound again).
    """

    def __init__(self, computation: Computation, schedule: Schedule) -> None:
        self.computation, self.schedule = computation, schedule
        count = len(schedule.stages)
        self.axis_extents: list[tuple[int, ...]] = [()] * count
        self.loops: list[tuple[NestLoop, ...]] = [()] * count
        self.outer: list[tuple[NestLoop, ...]] = [()] * count
        self._readers: list[list[Access]] = [[] for _ in range(count)]
        for access in computation.accesses:
            self._readers[access.producer].append(access)
        self._spans: dict[tuple[int, int, int, bool], tuple[float, ...]] = {}
        steps = steps_by_stage(schedule)
        for i in reversed(range(count)):  # consumers first: they decide what a stage inside them has to cover
            stage = computation.stages[i]
            if stage.is_placeholder or stage.is_inlined:
                self.axis_extents[i] = stage.axis_extents + stage.reduce_extents
                continue
            self._derive(i, steps[i])

    def _derive(self, i: int, steps: Sequence[Step]) -> None:
        stage, how = self.computation.stages[i], self.schedule.stages[i]
        full = stage.axis_extents + stage.reduce_extents
        extents = [float(e) for e in full]
        if how.compute_at == ComputeAt.ITER and how.attach is not None:
            extents = list(self.spans(i, how.attach[0], how.attach[1], stage.scope == "shared"))
        parts = replay([int(e) for e in extents], steps)
        if len(parts) != len(how.loops):  # steps that we do not know: loops without axes, extents from TVM
            parts = [[] for _ in how.loops]
        loops = []
        for index, (loop, pieces) in enumerate(zip(how.loops, parts, strict=True)):
            fitted = _fit(pieces, loop.extent)
            known = loop.extent >= 0
            extent = loop.extent if known else _product(fitted)
            loops.append(NestLoop(i, index, extent, loop.kind, loop.annotation, tuple(fitted), known))
        self.loops[i] = tuple(loops)
        covered = [1] * len(full)
        for nest_loop in loops:
            for part in nest_loop.parts:
                covered[part.axis] += (part.extent - 1) * part.stride
        self.axis_extents[i] = tuple(min(c, f) for c, f in zip(covered, full, strict=True))
        self.outer[i] = self._outer_loops(i)

    def _outer_loops(self, i: int) -> tuple[NestLoop, ...]:
        own = {loop.annotation for loop in self.loops[i]} & THREAD_ANNOTATIONS
        if self.computation.stages[i].scope == "shared":
            own = own | {Annotation.VTHREAD}
        attach = self.schedule.stages[i].attach
        if self.schedule.stages[i].compute_at != ComputeAt.ITER or attach is None:
            return ()
        target, position = attach
        loops = (*self.outer[target], *self.loops[target][: position + 1])
        return tuple(loop for loop in loops if loop.annotation not in own)

    def inside(self, i: int, target: int, position: int) -> bool:
        """Whether stage i runs inside loop `position` of stage `target` (position -1: inside the stage at all)."""
        while True:
            how = self.schedule.stages[i]
            if how.compute_at != ComputeAt.ITER or how.attach is None:
                return False
            i, at = how.attach
            if i == target:
                return at >= position

    def spans(self, i: int, target: int, position: int, relax: bool) -> tuple[float, ...]:
        """The region of stage i that one iteration of loop `position` of `target` touches: a span for every axis.

        `target` is i itself or a stage that i is attached in. With `relax`, the threads of a block count as running,
        as TVM's bound inference has it for shared memory.
        """
        key = (i, target, position, relax)
        if key not in self._spans:
            self._spans[key] = self._compute_spans(i, target, position, relax)
        return self._spans[key]

    def _compute_spans(self, i: int, target: int, position: int, relax: bool) -> tuple[float, ...]:
        stage = self.computation.stages[i]
        full = stage.axis_extents + stage.reduce_extents
        if i == target:
            spans = [1.0] * len(full)
            for loop in self.loops[i]:
                if loop.index > position or (relax and loop.annotation in SHARED_BY_THREADS):
                    for part in loop.parts:
                        spans[part.axis] += (part.extent - 1) * part.stride
            how = self.schedule.stages[i]
            if relax and how.compute_at == ComputeAt.ITER and how.attach is not None:
                # the threads may be loops of the stages around i: they move what i covers as a whole
                one = self.spans(i, how.attach[0], how.attach[1], False)
                block = self.spans(i, how.attach[0], how.attach[1], True)
                spans = [s + b - o for s, b, o in zip(spans, block, one, strict=True)]
            return tuple(min(s, float(f)) for s, f in zip(spans, full, strict=True))
        region: list[float] | None = None
        for access in self._readers[i]:
            if access.host == target or self.inside(access.host, target, position):
                touched = self.region(access, self.spans(access.host, target, position, relax))
                region = touched if region is None else [max(a, b) for a, b in zip(region, touched, strict=True)]
        if region is None:
            return tuple(float(f) for f in full)
        return (*region, *(float(e) for e in stage.reduce_extents))

    def region(self, access: Access, spans: Sequence[float]) -> list[float]:
        """The span of every dimension of the producer that an access touches while its host's axes run over `spans`."""
        sizes = self.computation.stages[access.producer].axis_extents
        result = []
        for row, spread, limit, size in zip(access.coefficients, access.spread, access.limit, sizes, strict=True):
            span = 1.0 + spread
            for coefficient, axis_span in zip(row, spans, strict=True):
                if coefficient != 0.0:
                    span += abs(coefficient) * (axis_span - 1.0)
            result.append(float(ceil(min(span, limit, float(size)))))  # a data-dependent index spans its dimension
        return result


def _fit(parts: Sequence[Part], extent: int) -> list[Part]:
    """Parts whose product is TVM's extent: the outermost part absorbs the difference."""
    kept = [p for p in parts if p.extent > 1]
    if extent < 0 or _product(kept) == extent:
        return kept
    if not kept:
        return [Part(parts[0].axis, extent, parts[0].stride)] if len(parts) == 1 else []
    rest = _product(kept[1:])
    first = Part(kept[0].axis, max(1, -(-extent // rest)), kept[0].stride)
    return [p for p in (first, *kept[1:]) if p.extent > 1]


def _product(parts: Sequence[Part]) -> int:
    result = 1
    for part in parts:
        result *= part.extent
    return result
