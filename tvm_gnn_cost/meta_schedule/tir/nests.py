"""From a TIR program to its loop nest: whose loops are whose, and which parts of the axes they run over.

A loop belongs to the last stage inside it, and the others inside it are attached to it there: TIR's shared loops mean
what Ansor's `compute_at` does. A block of initial values, merged into its reduction, owns no loops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt, LoopKind, NestLoop, Part, Placement
from tvm_gnn_cost.meta_schedule.tir.block_axes import BlockAxes
from tvm_gnn_cost.meta_schedule.tir.digits import Index, composed, scaled
from tvm_gnn_cost.meta_schedule.tir.indices import axis_values, within
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround, LoopAround, Program
from tvm_gnn_cost.meta_schedule.tir.stages import Stages


def read_nest(program: Program, stages: Stages) -> LoopNest:
    """The loop nest of a program; `stages` are what its blocks compute."""
    owners: dict[int, int] = {}
    for number, stage in enumerate(stages.blocks):
        owners.update(dict.fromkeys((loop.number for loop in program.blocks[stage.block].loops), number))
    count = stages.first
    placements = [Placement(ComputeAt.ROOT, None, 0, 0)] * count
    loops: list[list[NestLoop]] = [[] for _ in range(count)]
    indices: dict[int, int] = {}  # of a loop among those of its stage
    for number, stage in enumerate(stages.blocks):
        around = program.blocks[stage.block]
        own = [loop for loop in around.loops if owners[loop.number] == number]
        indices.update((loop.number, index) for index, loop in enumerate(own))
        loops.append(_StageLoops(count + number, stage.axes, around, program.extents).of(own))
    for number, stage in enumerate(stages.blocks):
        loops_around = program.blocks[stage.block].loops
        others = [loop for loop in loops_around if owners[loop.number] != number]
        own = [loop for loop in loops_around if owners[loop.number] == number]
        unroll = max((loop.unroll for loop in own), default=0)
        attach = (count + owners[others[-1].number], indices[others[-1].number]) if others else None
        kind = ComputeAt.ITER if attach else ComputeAt.ROOT
        placements.append(Placement(kind, attach, unroll, stage.storage_offset))
    return LoopNest.of(stages.computation, placements, loops)


class _StageLoops:
    """The loops of one stage, number `number` of the nest."""

    def __init__(self, number: int, axes: BlockAxes, around: BlockAround, extents_of: Mapping[int, int]) -> None:
        self._number, self._axes = number, axes
        self._parts: dict[int, list[tuple[int, Part]]] = {}  # of each loop, with the places that they are
        self._inexact: set[int] = set()
        self._inside = [variable for variable in axes.variables if variable.inside is not None]
        values, limits = axis_values(around, extents_of)
        values += [Index.of(_inside_number(k), variable.extent) for k, variable in enumerate(self._inside)]
        extents = [variable.extent for variable in axes.variables]
        for axis, digits in enumerate(axes.dimensions):
            self._move(axis, within(composed(digits, values, extents, limits), axes.extents[axis], limits))
        for place, v in enumerate(axes.reduces):
            self._move(len(axes.extents) + place, scaled(values[v], axes.variables[v].tile))

    def _move(self, axis: int, index: Index) -> None:
        for digit in index.digits:
            part = Part(axis, digit.extent, abs(digit.scale))
            self._parts.setdefault(digit.source, []).append((digit.divisor, part))
            if not (index.exact and self._axes.exact):
                self._inexact.add(digit.source)

    def of(self, own: Sequence[LoopAround]) -> list[NestLoop]:
        """The loops that are the stage's, then those in its body, then the elements of an intrinsic."""
        loops: list[NestLoop] = []
        for loop in own:
            loops.append(self._loop(len(loops), loop.number, loop.extent, loop.annotation, loop.exact))
        for k, variable in enumerate(self._inside):
            assert variable.inside is not None
            loops.append(self._loop(len(loops), _inside_number(k), variable.extent, variable.inside, True))
        reduced = [self._axes.variables[v].tile for v in self._axes.reduces]
        for axis, tile in enumerate((*self._axes.tiles, *reduced)):
            if tile > 1:
                parts = (Part(axis, tile, 1),)
                kind = self._kind(parts)
                loops.append(NestLoop(self._number, len(loops), tile, kind, Annotation.TENSORIZE, parts, True))
        return loops

    def _loop(self, index: int, source: int, extent: int, annotation: Annotation, exact: bool) -> NestLoop:
        found = sorted(self._parts.get(source, ()), key=lambda place: -place[0])
        parts = tuple(part for _, part in found)
        exact = exact and source not in self._inexact
        return NestLoop(self._number, index, extent, self._kind(parts), annotation, parts, exact)

    def _kind(self, parts: Sequence[Part]) -> LoopKind:
        reduces = [part.axis >= len(self._axes.extents) for part in parts]
        if not any(reduces):
            return LoopKind.SPATIAL
        return LoopKind.REDUCTION if all(reduces) else LoopKind.MIXED


def _inside_number(k: int) -> int:
    """The number of loop k in a body: no loop around a block has it."""
    return -1 - k
