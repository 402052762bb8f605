"""The loops around the bodies of one schedule's stages, and the region of a stage that any loop level touches.

The loops are given; how they come from a schedule's primitives is the scheduler's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tvm_gnn_cost.graphs.computation import Access, Computation
from tvm_gnn_cost.graphs.loops import SHARED_BY_THREADS, THREAD_ANNOTATIONS, Annotation, NestLoop, Placement


class LoopNest:
    """The loop nests of all stages of one schedule.

    It starts without loops; `add` gives those of each stage that runs, from the last stage to the first: consumers
    decide what a stage inside them has to cover, which `extents_to_cover` tells.

    Args:
        computation: what the N stages compute.
        placements: (N,) where each stage runs.

    Attributes:
        axis_extents: per stage, the extent of every axis (spatial, then reduction) that one run of the stage covers.
        loops: per stage, its own loops in order, trivial ones included. Empty for placeholders and inlined stages.
        outer: per stage, the loops of the stages it is attached in, outermost first, without those it shares with
            them (a thread index bound again).
    """

    def __init__(self, computation: Computation, placements: Sequence[Placement]) -> None:
        self.computation, self.placements = computation, placements
        count = len(computation.stages)
        if len(placements) != count:
            raise ValueError(f"{len(placements)} placements for {count} stages: give one for each")
        self.axis_extents = [stage.axis_extents + stage.reduce_extents for stage in computation.stages]
        self.loops: list[tuple[NestLoop, ...]] = [()] * count
        self.outer: list[tuple[NestLoop, ...]] = [()] * count
        self._readers: list[list[Access]] = [[] for _ in range(count)]
        for access in computation.accesses:
            self._readers[access.producer].append(access)
        self._spans: dict[tuple[int, int, int, bool], tuple[float, ...]] = {}
        self._without_loops = [i for i, stage in enumerate(computation.stages) if stage.runs]

    @staticmethod
    def of(computation: Computation, placements: Sequence[Placement], loops: Sequence[Sequence[NestLoop]]) -> LoopNest:
        """The nest of stages whose loops are all known: `loops` has those of each stage, none where it does not run.

        Raises ValueError if it has loops for another number of stages.
        """
        nest = LoopNest(computation, placements)
        if len(loops) != len(computation.stages):
            raise ValueError(f"loops of {len(loops)} stages for {len(computation.stages)}: give those of each")
        for i, stage in reversed(list(enumerate(computation.stages))):
            if stage.runs:
                nest.add(i, loops[i])
        return nest

    def add(self, i: int, loops: Sequence[NestLoop]) -> None:
        """Gives stage i its loops, in order.

        Raises ValueError if i is not the last stage that runs and has no loops yet, or for loops of another stage.
        """
        stages = self.computation.stages
        if not self._without_loops or self._without_loops[-1] != i:
            turn = f"it is the turn of stage {self._without_loops[-1]}" if self._without_loops else "all have theirs"
            raise ValueError(
                f"stage {i} ({stages[i].name}) cannot get loops now: {turn}; add the stages that run, each once, from "
                "the last to the first"
            )
        if [(loop.stage, loop.index) for loop in loops] != [(i, index) for index in range(len(loops))]:
            raise ValueError(f"the loops of stage {i} ({stages[i].name}) must name it and count from 0")
        self._without_loops.pop()
        self.loops[i] = tuple(loops)
        full = self.axis_extents[i]
        covered = [1] * len(full)
        for loop in loops:
            for part in loop.parts:
                covered[part.axis] += (part.extent - 1) * part.stride
        self.axis_extents[i] = tuple(min(c, f) for c, f in zip(covered, full, strict=True))
        self.outer[i] = self._outer_loops(i)

    def extents_to_cover(self, i: int) -> tuple[int, ...]:
        """The extent of every axis (spatial, then reduction) that one run of stage i has to cover.

        That is the whole axis, or, if the stage is computed inside others, what its consumers read in one iteration.
        Raises ValueError while a stage behind it has no loops.
        """
        stage, attach = self.computation.stages[i], self.placements[i].attach
        if self._without_loops and self._without_loops[-1] > i:
            raise ValueError(
                f"what stage {i} ({stage.name}) has to cover is unknown before stage {self._without_loops[-1]} has "
                "its loops: consumers come first"
            )
        if attach is None:
            return stage.axis_extents + stage.reduce_extents
        return tuple(int(span) for span in self.spans(i, *attach, stage.scope == "shared"))

    def _outer_loops(self, i: int) -> tuple[NestLoop, ...]:
        attach = self.placements[i].attach
        if attach is None:
            return ()
        own = {loop.annotation for loop in self.loops[i]} & THREAD_ANNOTATIONS
        if self.computation.stages[i].scope == "shared":
            own = own | {Annotation.VTHREAD}
        target, position = attach
        loops = (*self.outer[target], *self.loops[target][: position + 1])
        return tuple(loop for loop in loops if loop.annotation not in own)

    def inside(self, i: int, target: int, position: int) -> bool:
        """Whether stage i runs inside loop `position` of stage `target` (position -1: inside the stage at all)."""
        while True:
            attach = self.placements[i].attach
            if attach is None:
                return False
            i, at = attach
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
        if i == target:
            return self._own_spans(i, position, relax)
        stage = self.computation.stages[i]
        region: list[float] | None = None
        for access in self._readers[i]:
            if access.host == target or self.inside(access.host, target, position):
                touched = self.region(access, self.spans(access.host, target, position, relax))
                region = touched if region is None else [max(a, b) for a, b in zip(region, touched, strict=True)]
        if region is None:
            return tuple(float(e) for e in stage.axis_extents + stage.reduce_extents)
        return (*region, *(float(e) for e in stage.reduce_extents))

    def _own_spans(self, i: int, position: int, relax: bool) -> tuple[float, ...]:
        stage, attach = self.computation.stages[i], self.placements[i].attach
        full = stage.axis_extents + stage.reduce_extents
        spans = [1.0] * len(full)
        for loop in self.loops[i]:
            if loop.index > position or (relax and loop.annotation in SHARED_BY_THREADS):
                for part in loop.parts:
                    spans[part.axis] += (part.extent - 1) * part.stride
        if relax and attach is not None:
            # the threads may be loops of the stages around i: they move what i covers as a whole
            one = self.spans(i, *attach, False)
            block = self.spans(i, *attach, True)
            spans = [s + b - o for s, b, o in zip(spans, block, one, strict=True)]
        return tuple(min(s, float(f)) for s, f in zip(spans, full, strict=True))

    def region(self, access: Access, spans: Sequence[float]) -> list[float]:
        """The span of every dimension of the producer that an access touches while its host's axes run over `spans`."""
        sizes = self.computation.stages[access.producer].axis_extents
        result = []
        for row, spread, limit, size in zip(access.coefficients, access.spread, access.limit, sizes, strict=True):
            span = 1.0 + spread
            for coefficient, axis_span in zip(row, spans, strict=True):
                if coefficient != 0.0:
                    span += abs(coefficient) * (axis_span - 1.0)
            span = max(0.0, min(span, limit, float(size)))  # a data-dependent index spans its dimension
            result.append(float(ceil(span)))
        return result
