"""One schedule, made by auto_scheduler and in TIR: the same stage graph, to the last feature.

What differs elsewhere is what differs in the programs: auto_scheduler keeps what it inlines as stages of their own, and
TIR has it gone; MetaSchedule splits a reduction's beginning off, which is no stage here, as auto_scheduler's is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

auto_scheduler = pytest.importorskip("tvm.auto_scheduler")

import tvm  # noqa: E402
from meta_schedule.programs import CPU, GPU, matmul, matmul_tensors  # noqa: E402

from tvm_gnn_cost.ansor.hardware_params import hardware_params_for  # noqa: E402
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder  # noqa: E402
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of as hardware_of_task  # noqa: E402
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES  # noqa: E402
from tvm_gnn_cost.meta_schedule.hardware_of import hardware_of  # noqa: E402
from tvm_gnn_cost.meta_schedule.source import make_source  # noqa: E402


def matmul_task(target: Any) -> Any:
    auto_scheduler.register_workload("matmul_of_both", f=matmul_tensors, override=True)
    params = hardware_params_for(target)
    return auto_scheduler.SearchTask(func="matmul_of_both", args=(64, 64, 128), target=target, hardware_params=params)


def ansors(task: Any) -> Any:
    """Tiles of relu in parallel, the product of each tile inside, vectors of 16."""
    state = task.compute_dag.get_init_state()
    c, d = state.stage_ops[2:]
    rows = state.split(d, state[d].iters[0], [8])
    columns = state.split(d, state[d].iters[2], [16])
    state.reorder(d, [rows[0], columns[0], rows[1], columns[1]])
    tiles = state.parallel(d, state.fuse(d, [rows[0], columns[0]]))
    rows = state.split(c, state[c].iters[0], [4])
    columns = state.split(c, state[c].iters[2], [16])
    sums = state.split(c, state[c].iters[4], [8])
    state.reorder(c, [rows[0], columns[0], sums[0], rows[1], sums[1], columns[1]])
    state.vectorize(c, columns[1])
    state.compute_at(c, d, tiles)
    state.vectorize(d, state[d].iters[-1])
    state.pragma(d, state[d].iters[0], "auto_unroll_max_step$64")
    return task.compute_dag.infer_bound_from_state(state)


def meta_schedules() -> Any:
    """The same."""
    schedule = tvm.tir.Schedule(matmul())
    c, d = schedule.get_block("C"), schedule.get_block("D")
    i, j = schedule.get_loops(d)
    rows, columns = schedule.split(i, [None, 8]), schedule.split(j, [None, 16])
    schedule.reorder(rows[0], columns[0], rows[1], columns[1])
    tiles = schedule.fuse(rows[0], columns[0])
    schedule.parallel(tiles)
    schedule.compute_at(c, tiles)
    _, i, j, r = schedule.get_loops(c)
    rows, columns, sums = schedule.split(i, [None, 4]), schedule.split(j, [None, 16]), schedule.split(r, [None, 8])
    schedule.reorder(rows[0], columns[0], sums[0], rows[1], sums[1], columns[1])
    schedule.vectorize(columns[1])
    schedule.vectorize(schedule.get_loops(d)[-1])
    schedule.annotate(tiles, "pragma_auto_unroll_max_step", 64)
    return schedule


def test_a_schedule_has_the_same_features_from_either_scheduler() -> None:
    builder, source = StageGraphBuilder(matmul_task(CPU)), make_source(matmul(), CPU)
    theirs, ours = builder.graph(ansors(builder.task)), source.writer.graph(source.loop_nest(meta_schedules()))
    assert source.flop == builder.flop
    assert theirs.edge_index.tolist() == ours.edge_index.tolist()
    for one, other, features in (
        (theirs.node_features, ours.node_features, NODE_FEATURES),
        (theirs.edge_features, ours.edge_features, EDGE_FEATURES),
    ):
        different = {features[column].name for column in np.flatnonzero((one != other).any(axis=0))}
        assert not different


@pytest.mark.parametrize("target", [CPU, GPU])
def test_a_target_is_the_same_hardware_to_both(target: Any) -> None:
    assert hardware_of(target) == hardware_of_task(matmul_task(target))
