"""Loop nests that are given their loops by hand: what a stage covers, and what every level touches. No scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import pytest

from tvm_gnn_cost.graphs.buffers import buffer_bytes, buffer_shape
from tvm_gnn_cost.graphs.computation import Access, Computation, StageComputation
from tvm_gnn_cost.graphs.edge_features import tile_bytes
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt, LoopKind, NestLoop, Part, Placement
from tvm_gnn_cost.graphs.schedule_view import view_schedule

X, PADDED, SUMS = 0, 1, 2
ROOT = Placement(ComputeAt.ROOT, None, 0, 0)


def stage(name: str, axes: tuple[int, ...], reduces: tuple[int, ...] = (), is_input: bool = False) -> StageComputation:
    nothing = (0.0,) * 8
    return StageComputation(
        name=name,
        is_placeholder=is_input,
        is_inlined=False,
        axis_extents=axes,
        reduce_extents=reduces,
        element_bytes=4,
        is_float=True,
        is_constant=False,
        operations=nothing,
        inlined_operations=nothing,
    )


def access(host: int, producer: int, edge: int, coefficients: tuple[tuple[float, ...], ...]) -> Access:
    none = (0.0,) * len(coefficients)
    unlimited = (float("inf"),) * len(coefficients)
    return Access(host, producer, edge, coefficients, none, unlimited, 1.0, True)


BLUR = Computation(
    stages=(stage("x", (18, 16), is_input=True), stage("padded", (18, 16)), stage("sums", (16, 16), (3,))),
    edges=((X, PADDED), (PADDED, SUMS)),
    accesses=(
        access(PADDED, X, 0, ((1.0, 0.0), (0.0, 1.0))),  # x[i, j]
        access(SUMS, PADDED, 1, ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0))),  # padded[i + r, j]
    ),
    evaluations=(),
)
"""sums[i, j] += padded[i + r, j], and padded[i, j] = x[i, j]."""


def loop(of: int, index: int, *parts: Part, kind: LoopKind = LoopKind.SPATIAL) -> NestLoop:
    return NestLoop(of, index, prod(part.extent for part in parts), kind, Annotation.NONE, parts, True)


SUMS_LOOPS = (
    loop(SUMS, 0, Part(0, 4, 4)),  # i.outer
    loop(SUMS, 1, Part(1, 2, 8)),  # j.outer: padded is computed here
    loop(SUMS, 2, Part(2, 3, 1), kind=LoopKind.REDUCTION),  # r
    loop(SUMS, 3, Part(0, 4, 1), Part(1, 8, 1)),  # i.inner and j.inner, fused
)
PADDED_LOOPS = (loop(PADDED, 0, Part(0, 6, 1)), loop(PADDED, 1, Part(1, 8, 1)))
PLACEMENTS = (ROOT, Placement(ComputeAt.ITER, (SUMS, 1), 0, 0), ROOT)


def blur() -> LoopNest:
    return LoopNest.of(BLUR, PLACEMENTS, [(), PADDED_LOOPS, SUMS_LOOPS])


def test_consumers_loops_decide_what_a_stage_covers() -> None:
    nest = LoopNest(BLUR, PLACEMENTS)
    assert nest.extents_to_cover(SUMS) == (16, 16, 3)
    nest.add(SUMS, SUMS_LOOPS)
    assert nest.extents_to_cover(PADDED) == (6, 8)  # rows i.inner + r of 4 + 3 - 1, columns j.inner
    nest.add(PADDED, PADDED_LOOPS)
    assert nest.axis_extents == [(18, 16), (6, 8), (16, 16, 3)]
    assert nest.outer == [(), SUMS_LOOPS[:2], ()]
    assert (nest.loops, nest.extents_to_cover(X)) == (blur().loops, (18, 16))


@pytest.mark.parametrize(
    ("position", "sums", "padded"),
    [
        (-1, (16, 16, 3), (18, 16)),
        (0, (4, 16, 3), (6, 16)),
        (1, (4, 8, 3), (6, 8)),
    ],
)
def test_spans_of_every_level(position: int, sums: Sequence[float], padded: Sequence[float]) -> None:
    nest = blur()
    assert nest.spans(SUMS, SUMS, position, False) == sums
    assert nest.spans(PADDED, SUMS, position, False) == padded
    assert nest.region(BLUR.accesses[1], nest.spans(SUMS, SUMS, position, False)) == list(padded)


def test_regions_inside_the_nest() -> None:
    nest = blur()
    inside_r, body = nest.spans(SUMS, SUMS, 2, False), nest.spans(SUMS, SUMS, 3, False)
    assert (inside_r, body) == ((4, 8, 1), (1, 1, 1))
    assert nest.region(BLUR.accesses[1], inside_r) == [4, 8]
    assert nest.region(BLUR.accesses[1], (1, 1, 3)) == [3, 1]
    assert nest.region(BLUR.accesses[0], nest.spans(PADDED, PADDED, 0, False)) == [1, 8]


def test_threads_share_what_is_in_shared_memory() -> None:
    """With j.outer bound to threads, a cache in shared memory holds what both of them read."""
    loops = (SUMS_LOOPS[0], replace(SUMS_LOOPS[1], annotation=Annotation.THREAD_X), *SUMS_LOOPS[2:])
    cached = replace(BLUR, stages=(BLUR.stages[X], stage("padded.shared", (18, 16)), BLUR.stages[SUMS]))
    for computation, covered in ((BLUR, (6, 8)), (cached, (6, 16))):
        nest = LoopNest(computation, PLACEMENTS)
        nest.add(SUMS, loops)
        assert nest.extents_to_cover(PADDED) == covered


def test_buffers_and_tiles() -> None:
    nest = blur()
    assert [buffer_shape(nest, i) for i in (X, PADDED, SUMS)] == [(18, 16), (6, 8), (16, 16)]
    assert buffer_bytes(nest, PADDED) == 6 * 8 * 4
    assert [tile_bytes(nest, access) for access in BLUR.accesses] == [18 * 16 * 4, 6 * 8 * 4]


def test_a_view_is_exact() -> None:
    adding = replace(BLUR.stages[SUMS], inlined_operations=(1.0,) + (0.0,) * 7)
    nest = LoopNest.of(replace(BLUR, stages=(*BLUR.stages[:SUMS], adding)), PLACEMENTS, [(), PADDED_LOOPS, SUMS_LOOPS])
    names = [[], ["i", "j"], ["i.0", "j.0", "r", "i.1.j.1"]]
    view = view_schedule(nest, names, ["float32"] * 3, title="blur")
    assert [stage.flop for stage in view.stages] == [0, 0, 16 * 16 * 3]
    assert [stage.tile for stage in view.stages] == [(18, 16), (6, 8), (16, 16)]
    assert [(edge.tile_bytes, edge.tensor_bytes, edge.attached) for edge in view.edges] == [
        (18 * 16 * 4, 18 * 16 * 4, False),
        (6 * 8 * 4, 18 * 16 * 4, True),
    ]


def test_a_stage_inside_another() -> None:
    nest = blur()
    assert nest.inside(PADDED, SUMS, -1) and nest.inside(PADDED, SUMS, 1)
    assert not nest.inside(PADDED, SUMS, 2) and not nest.inside(SUMS, PADDED, -1)


def test_wrong_loops_are_refused() -> None:
    nest = LoopNest(BLUR, PLACEMENTS)
    with pytest.raises(ValueError, match=r"stage 1 \(padded\) cannot get loops now: it is the turn of stage 2"):
        nest.add(PADDED, PADDED_LOOPS)
    with pytest.raises(ValueError, match=r"what stage 1 \(padded\) has to cover is unknown before stage 2"):
        nest.extents_to_cover(PADDED)
    with pytest.raises(ValueError, match="must name it and count from 0"):
        nest.add(SUMS, SUMS_LOOPS[1:])
    nest.add(SUMS, SUMS_LOOPS)
    nest.add(PADDED, PADDED_LOOPS)
    with pytest.raises(ValueError, match=r"stage 0 \(x\) cannot get loops now: all have theirs"):
        nest.add(X, ())
    with pytest.raises(ValueError, match="2 placements for 3 stages"):
        LoopNest(BLUR, PLACEMENTS[:2])
    with pytest.raises(ValueError, match="loops of 2 stages for 3"):
        LoopNest.of(BLUR, PLACEMENTS, [(), PADDED_LOOPS])
