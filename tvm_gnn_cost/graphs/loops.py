"""The words for how a stage runs: where it is computed, its loops, and which parts of its axes they run over.

Codes follow `include/tvm/auto_scheduler/loop_state.h`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ComputeAt(IntEnum):
    """`ComputeAtKind`: where a stage is computed."""

    ROOT = 0
    INLINED = 1
    ITER = 2


class LoopKind(IntEnum):
    """`IteratorKind`."""

    SPATIAL = 0
    REDUCTION = 1
    MIXED = 2
    SPECIAL = 3


class Annotation(IntEnum):
    """`IteratorAnnotation`."""

    NONE = 0
    UNROLL = 1
    VECTORIZE = 2
    PARALLEL = 3
    VTHREAD = 4
    BLOCK_X = 5
    THREAD_X = 6
    BLOCK_Y = 7
    THREAD_Y = 8
    BLOCK_Z = 9
    THREAD_Z = 10
    TENSORIZE = 11


BLOCK_ANNOTATIONS = frozenset({Annotation.BLOCK_X, Annotation.BLOCK_Y, Annotation.BLOCK_Z})
THREAD_ANNOTATIONS = frozenset({Annotation.THREAD_X, Annotation.THREAD_Y, Annotation.THREAD_Z})
SHARED_BY_THREADS = THREAD_ANNOTATIONS | {Annotation.VTHREAD}
"""Loops whose iterations use one buffer in shared memory together."""


@dataclass(frozen=True)
class Placement:
    """Where one stage runs. `attach` is (stage, loop) when `compute_at` is ITER, else None; `auto_unroll_max_step` is
    the pragma of that name, `storage_offset` what storage_align adds to a row, in elements; 0 for none."""

    compute_at: int
    attach: tuple[int, int] | None
    auto_unroll_max_step: int
    storage_offset: int


@dataclass(frozen=True)
class Part:
    """A piece of an axis: `extent` values, `stride` elements of the axis apart."""

    axis: int
    extent: int
    stride: int


@dataclass(frozen=True)
class NestLoop:
    """Loop `index` of stage `stage`, over `parts` of its axes, outermost first (several if it was fused).

    Axes are numbered from the spatial ones to the reduction ones. `exact` is False where no constant extent is known
    and it is estimated.
    """

    stage: int
    index: int
    extent: int
    kind: int
    annotation: int
    parts: tuple[Part, ...]
    exact: bool
