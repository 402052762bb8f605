"""Loops derived from Ansor's steps, against TVM's own replay of random ones."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import auto_scheduler, te

from tvm_gnn_cost.ansor.states.computation_reader import ComputationReader
from tvm_gnn_cost.ansor.states.derivation import derive_nest
from tvm_gnn_cost.ansor.states.reader import read_schedule, state_object
from tvm_gnn_cost.graphs.loop_nest import LoopNest

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
