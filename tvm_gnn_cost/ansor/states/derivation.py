"""From a schedule's steps to its loops: which axes every loop runs over, and how far.

The steps are replayed on the axes of the stages: each loop becomes a list of parts, outermost first, one for every axis
it covers (a fused loop covers several). The extents are TVM's own wherever it gave one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tvm_gnn_cost.ansor.states.schedule import Loop, Schedule, Step, StepKind
from tvm_gnn_cost.graphs.computation import Computation
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import NestLoop, Part


def derive_nest(computation: Computation, schedule: Schedule) -> LoopNest:
    """The loop nests of a schedule; `computation` is what its stages compute."""
    nest = LoopNest(computation, schedule.stages)
    steps = steps_by_stage(schedule)
    for i, stage in reversed(list(enumerate(computation.stages))):  # consumers first
        if stage.runs:
            nest.add(i, _stage_loops(i, nest.extents_to_cover(i), schedule.stages[i].loops, steps[i]))
    return nest


def _stage_loops(i: int, extents: Sequence[int], loops: Sequence[Loop], steps: Sequence[Step]) -> list[NestLoop]:
    """The loops of stage i, over axes of these extents; `loops` are what TVM says of them."""
    parts = replay(extents, steps)
    if len(parts) != len(loops):  # steps that we do not know: loops without axes, extents from TVM
        parts = [[] for _ in loops]
    result = []
    for index, (loop, pieces) in enumerate(zip(loops, parts, strict=True)):
        fitted = fitting(pieces, loop.extent)
        known = loop.extent >= 0
        extent = loop.extent if known else _iterations(fitted)
        result.append(NestLoop(i, index, extent, loop.kind, loop.annotation, tuple(fitted), known))
    return result


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
        outer, rest = split_parts(rest, -(-_iterations(rest) // max(1, count)))
        pieces.append(outer)
    return [*pieces, rest]


def replay(axis_extents: Sequence[int], steps: Sequence[Step]) -> list[list[Part]]:
    """The parts of every loop, after `steps` (SPLIT, FUSE, REORDER of this stage alone) on one loop an axis.

    An axis without values is taken for one with a single one.
    """
    loops = [[Part(a, max(1, e), 1)] for a, e in enumerate(axis_extents)]
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


def fitting(parts: Sequence[Part], extent: int) -> list[Part]:
    """Parts whose product is TVM's extent: the outermost part absorbs the difference. None for an extent of 0."""
    kept = [p for p in parts if p.extent > 1] if extent != 0 else []
    if extent <= 0 or _iterations(kept) == extent:
        return kept
    if not kept:
        return [Part(parts[0].axis, extent, parts[0].stride)] if len(parts) == 1 else []
    rest = _iterations(kept[1:])
    first = Part(kept[0].axis, max(1, -(-extent // rest)), kept[0].stride)
    return [p for p in (first, *kept[1:]) if p.extent > 1]


def _iterations(parts: Sequence[Part]) -> int:
    return prod(part.extent for part in parts)
