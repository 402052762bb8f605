"""A schedule as plain values: what TVM's `StateNode` holds, without TVM.

Both readers (`reader.read_schedule` in Python, the native one in C++) give the same content; `derivation.derive_nest`
makes the loop nests of it, from which everything else follows. Field names and codes follow
`include/tvm/auto_scheduler/loop_state.h` and `transform_step.h`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.loops import ComputeAt, Placement

UNKNOWN_EXTENT = -1
"""The extent of a loop whose range TVM gave as a symbolic (non-constant) expression."""

UNDEFINED_EXTENT = -2
"""The extent of a loop that has no range: the state is not bound-inferred, or the stage does not run."""


class StepKind(IntEnum):
    """The transform steps that decide how loops come from axes, and those that insert a stage."""

    SPLIT = 0
    FUSE = 1
    REORDER = 2
    INSERT = 3


@dataclass(frozen=True)
class Loop:
    """One iterator of a stage: `extent` is TVM's inferred bound, UNKNOWN_EXTENT or UNDEFINED_EXTENT."""

    extent: int
    kind: int
    annotation: int


@dataclass(frozen=True)
class Step:
    """A normalised transform step; others (annotations, pragmas, compute_at ...) show in the stages themselves.

    SPLIT: `index` is the loop, `values` its factors, `inner_to_outer` as in TVM; follow-splits are resolved to factors.
    FUSE: `values` are the consecutive loops. REORDER: `values[i]` is the old position of new loop i.
    INSERT: a new stage before position `stage_id` (cache write; rfactor, whose `values` are its loop and factor loop)
    or behind it (`index` = 1, cache read, whose `values` are its readers); the stage behind an inserted cache-write or
    rfactor stage starts afresh.
    """

    kind: StepKind
    stage_id: int
    index: int = 0
    values: tuple[int, ...] = ()
    inner_to_outer: bool = True


@dataclass(frozen=True)
class StageSchedule(Placement):
    """How one stage runs: where, and TVM's iterators of it."""

    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Structure:
    """The part of a schedule that changes what its stages compute: `inserts` are the INSERT steps as (stage, index,
    values ...), `rfactors` the split factors behind each rfactor stage and its successor (else empty), `inlined` a
    flag for every stage."""

    inserts: tuple[tuple[int, ...], ...]
    rfactors: tuple[tuple[int, ...], ...]
    inlined: tuple[bool, ...]


@dataclass(frozen=True)
class Schedule:
    """One state: its stages in TVM's order, and the steps that shaped their loops, in order."""

    stages: tuple[StageSchedule, ...]
    steps: tuple[Step, ...]

    def structure(self) -> Structure:
        """What decides the operations of the stages within a task."""
        slots: list[list[tuple[int, ...]]] = [[] for _ in self.stages]
        rfactors: list[tuple[int, ...]] = [() for _ in self.stages]
        inserts: list[tuple[int, ...]] = []
        for step in self.steps:
            if step.kind == StepKind.SPLIT:
                slots[step.stage_id].append(step.values)
            elif step.kind == StepKind.INSERT:
                inserts.append((step.stage_id, step.index, *step.values))
                splits: tuple[int, ...] = ()
                if step.index == 0:
                    splits = tuple(factor for values in slots[step.stage_id] for factor in values)
                    slots[step.stage_id], rfactors[step.stage_id] = [], splits
                slots.insert(step.stage_id + step.index, [])
                rfactors.insert(step.stage_id + step.index, splits)
        count = len(self.stages)
        return Structure(
            tuple(inserts),
            tuple(rfactors[:count]),
            tuple(stage.compute_at == ComputeAt.INLINED for stage in self.stages),
        )


def encode_structure(structure: Structure) -> NDArray[np.int64]:
    """A structure as int64 (any number,), which `_native` knows it by.

    The numbers of stages and of inserts; each insert's length and values; each stage's `inlined` flag, number of
    rfactor factors and these factors.
    """
    flat = [len(structure.inlined), len(structure.inserts)]
    for insert in structure.inserts:
        flat += [len(insert), *insert]
    for is_inlined, factors in zip(structure.inlined, structure.rfactors, strict=True):
        flat += [int(is_inlined), len(factors), *factors]
    return np.array(flat, np.int64)
