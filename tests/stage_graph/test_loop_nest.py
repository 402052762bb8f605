"""Loop nests: derived from TVM's own replay of random steps, and given by hand without any scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import auto_scheduler, te

from tvm_gnn_cost.report.schedule_view import view_schedule
from tvm_gnn_cost.stage_graph.buffers import buffer_bytes, buffer_shape
from tvm_gnn_cost.stage_graph.computation import Access, Computation, StageComputation
from tvm_gnn_cost.stage_graph.computation_reader import ComputationReader
from tvm_gnn_cost.stage_graph.derivation import derive_nest
from tvm_gnn_cost.stage_graph.edge_features import tile_bytes
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest
from tvm_gnn_cost.stage_graph.loops import Annotation, ComputeAt, LoopKind, NestLoop, Part, Placement
from tvm_gnn_cost.stage_graph.reader import read_schedule, state_object

# --- on TVM's replay ---

NESTED = {"map": (16, 64), "product": (32, 8, 16)}
"""Axes of powers of two: whatever divides a fused loop divides it at the border of an axis or inside one."""

ROUGH = {"map": (15, 14), "product": (6, 20, 9)}


@cache
def make_task(name: str, extents: tuple[int, ...]) -> tuple[Any, ComputationReader]:
    """A task of one stage that computes: a map over two axes, or a matrix product over three."""
    if name == "map":
        a = te.placeholder(extents, name="a")
        tensors = [a, te.compute(extents, lambda i, j: a[i, j] * 2.0, name="map")]
    else:
        rows, columns, depth = extents
        a, b = te.placeholder((rows, depth), name="a"), te.placeholder((depth, columns), name="b")
        k = te.reduce_axis((0, depth), name="k")
        tensors = [a, b, te.compute((rows, columns), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="product")]
    key = f"test_loop_nest_{name}_{extents}"
    auto_scheduler.workload_registry.register_workload_tensors(key, tensors, override=True)
    task = auto_scheduler.SearchTask(
        compute_dag=auto_scheduler.ComputeDAG(tensors), workload_key=key, target="llvm -num-cores=4"
    )
    return task, ComputationReader(task)


def shaped_state(draw: Any, task: Any, dividing: bool) -> Any:
    """The initial state after some splits (by factors that divide, or any), fusions and reorders of its last stage."""
    state = task.compute_dag.get_init_state()
    stage = len(state.stages) - 1
    for _ in range(draw(st.integers(1, 6))):
        loops = list(state.stages[stage].iters)
        kind = draw(st.sampled_from(["split", "split", "fuse", "reorder"]))
        if kind == "split":
            loop = draw(st.sampled_from(loops))
            rest, lengths = int(loop.range.extent), []
            for _ in range(draw(st.integers(1, 2))):
                allowed = [n for n in range(1, rest + 1) if rest % n == 0] if dividing else list(range(1, 10))
                lengths.append(draw(st.sampled_from(allowed)))
                rest //= lengths[-1] if dividing else 1
            state.split(stage, loop, lengths, draw(st.booleans()))
        elif kind == "fuse" and len(loops) > 1:
            first = draw(st.integers(0, len(loops) - 2))
            state.fuse(stage, loops[first : draw(st.integers(first + 2, len(loops)))])
        elif kind == "reorder":
            state.reorder(stage, draw(st.permutations(loops)))
    return state_object(task.compute_dag.infer_bound_from_state(state))


def derived(task: Any, reader: ComputationReader, state: Any) -> LoopNest:
    schedule = read_schedule(task, state)
    return derive_nest(reader.read(schedule.structure(), state), schedule)


def tvm_extents(state: Any) -> list[int]:
    return [int(loop.range.extent) for loop in state.stages[-1].iters]


@pytest.mark.parametrize("name", NESTED)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_loops_cut_and_join_axes_as_tvm_does(name: str, data: st.DataObject) -> None:
    task, reader = make_task(name, NESTED[name])
    state = shaped_state(data.draw, task, dividing=True)
    nest = derived(task, reader, state)
    loops = nest.loops[-1]
    assert [loop.extent for loop in loops] == tvm_extents(state), state
    assert [prod(part.extent for part in loop.parts) for loop in loops] == tvm_extents(state), state
    for axis, extent in enumerate(NESTED[name]):  # the parts of an axis meet each of its values once
        reached = 1
        for part in sorted((p for loop in loops for p in loop.parts if p.axis == axis), key=lambda p: p.stride):
            assert part.stride == reached, state
            reached *= part.extent
        assert reached == extent, state
    assert nest.axis_extents[-1] == NESTED[name]


@pytest.mark.parametrize("name", ROUGH)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_loops_that_do_not_divide_still_cover_what_tvm_runs(name: str, data: st.DataObject) -> None:
    task, reader = make_task(name, ROUGH[name])
    state = shaped_state(data.draw, task, dividing=False)
    nest = derived(task, reader, state)
    assert [loop.extent for loop in nest.loops[-1]] == tvm_extents(state), state
    for loop in nest.loops[-1]:  # one without parts runs past the end of its axis only
        assert prod(part.extent for part in loop.parts) >= loop.extent or not loop.parts, state


# --- given by hand ---

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
