"""The loop nests equal TVM's: extents, annotations, nesting and pragmas, as TVM itself prints the state; and the native
graphs are Python's, for every kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import IRModule, auto_scheduler, te, tir, topi
from tvm.meta_schedule.testing.te_workload import CONFIGS

from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.record_log import read_records
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.states.loop_proof import loop_difference
from tvm_gnn_cost.ansor.tasks import make_task as make_workload
from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.graphs.loops import Annotation
from tvm_gnn_cost.networks import without_downloads
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import GPU_HARDWARE, make_task, measured, sample_states
from tvm_gnn_cost.testing.state_sources import nearest

TARGETS = ("llvm -num-cores=4", "cuda -arch=sm_70", "rocm")
CHAINS: dict[str, tuple[int, ...]] = {
    "attention": (2, 32, 16),
    "layer_norm": (32, 64),
    "swiglu": (16, 32, 48),
    "separable_conv2d": (1, 14, 14, 16, 32, 3, 1),
}
STATES = 6


def assert_equal_to_tvm(task: Any, states: Sequence[Any]) -> None:
    """The loop nests are those that TVM prints, and the native graphs those of Python."""
    builder = StageGraphBuilder(task)
    for state in states:
        problem = loop_difference(state, builder.loop_nest(state))
        assert problem is None, f"{problem} in\n{state}"
    expected = builder.build(states)
    assert expected.readable.all()
    assert graph_difference(make_builder(task).build(states), expected) is None


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_operator_of_tvms_set(name: str, target: str) -> None:
    task = make_workload(name, (0,), target, None if target.startswith("llvm") else GPU_HARDWARE)
    states = sample_states(task, STATES, evolved=True)
    assert len(states) == STATES
    assert_equal_to_tvm(task, states)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CHAINS)
def test_chains(name: str, target: str) -> None:
    task = make_workload(name, CHAINS[name], target, None if target.startswith("llvm") else GPU_HARDWARE)
    assert_equal_to_tvm(task, sample_states(task, STATES, evolved=True))


@pytest.fixture(scope="module", params=TARGETS[:2])
def network(request: pytest.FixtureRequest) -> list[Any]:
    """The tasks of two convolutions, of which the first is one for winograd."""
    from tvm import relay, transform

    x = relay.var("x", shape=(1, 14, 14, 64))
    weights = [np.ones((3, 3, 64, 96), np.float32), np.ones((1, 1, 96, 32), np.float32)]
    y = x
    for weight in weights:
        size, channels = weight.shape[0], weight.shape[-1]
        y = relay.nn.conv2d(
            y,
            relay.const(weight),
            channels=channels,
            kernel_size=(size, size),
            padding=(size // 2, size // 2),
            data_layout="NHWC",
            kernel_layout="HWIO",
        )
        y = relay.nn.relu(y)
    with transform.PassContext(opt_level=3), without_downloads():
        tasks, _ = auto_scheduler.extract_tasks(
            IRModule.from_expr(relay.Function([x], y)), {}, request.param, hardware_params=GPU_HARDWARE
        )
    return list(tasks)


def test_a_networks_tasks(network: list[Any]) -> None:
    """Winograd's constant matrices on both targets, and a CPU's weights whose layout is free."""
    operations = [op for task in network for op in task.compute_dag.ops]
    assert any(op.attrs and "auto_scheduler_simplify_const_tensor_indices" in op.attrs for op in operations)
    on_cpu = network[0].target.kind.name == "llvm"
    assert any(op.attrs and "layout_free_placeholders" in op.attrs for op in operations)
    assert all((task.layout_rewrite_option != 0) == on_cpu for task in network)
    for task in network:
        assert_equal_to_tvm(task, sample_states(task, STATES, evolved=True))


@pytest.mark.parametrize("target", TARGETS[:2])
def test_recorded_states(target: str, tmp_path: Path) -> None:
    task = make_task("conv2d_bn_relu", target)
    states = sample_states(task, STATES, evolved=True)
    log = tmp_path / "log.json"
    auto_scheduler.save_records(str(log), *measured(task, states, random_costs(len(states))))
    recovered = [inp.state for inp in read_records(log, rebuild=True).inputs]
    assert len(recovered) == STATES
    assert_equal_to_tvm(task, recovered)
    builder = make_builder(task)
    assert graph_difference(builder.build(recovered), builder.build(states)) is None


def test_a_reduction_of_pairs() -> None:
    """Two outputs, both cached by one stage."""

    auto_scheduler.register_workload("test_nearest", f=nearest, override=True)
    task = auto_scheduler.SearchTask(func="test_nearest", args=(), target="llvm -num-cores=4")
    states = sample_states(task, 16)
    assert any("best.local" in str(state) for state in states)
    assert_equal_to_tvm(task, states)


def test_a_difference_from_tvm_is_named() -> None:
    task = make_task("matmul")
    state = sample_states(task, 1)[0]
    nest = StageGraphBuilder(task).loop_nest(state)
    assert loop_difference(state, nest) is None
    stage, index = next((i, n) for i, loops in enumerate(nest.loops) for n, loop in enumerate(loops) if loop.extent > 1)
    loop = nest.loops[stage][index]
    unlike = Annotation.NONE if loop.annotation == Annotation.UNROLL else Annotation.UNROLL
    for other in (replace(loop, extent=loop.extent + 1), replace(loop, annotation=unlike)):
        changed = copy(nest)
        changed.loops = list(nest.loops)
        changed.loops[stage] = (*nest.loops[stage][:index], other, *nest.loops[stage][index + 1 :])
        problem = loop_difference(state, changed)
        assert problem is not None and nest.computation.stages[stage].name in problem


def test_a_state_without_bounds_is_inferred_first() -> None:
    task = make_task("conv2d_bn_relu")
    raw = sample_states(task, 2)[0]
    hollow, _ = auto_scheduler.measure_record.load_record_from_string(
        auto_scheduler.measure_record.dump_record_to_string(
            auto_scheduler.MeasureInput(task, raw), auto_scheduler.MeasureResult([1.0], 0, "", 0.0, 0.0)
        )
    )
    builder = StageGraphBuilder(task)
    expected, built = builder.build([raw]), builder.build([hollow.state])
    np.testing.assert_array_equal(built.graphs.node_features, expected.graphs.node_features)


def test_thirty_stages() -> None:
    def chain(n: int) -> list[Any]:
        x = te.placeholder((n, n), name="x")
        stages = [x]
        for _ in range(29):
            stages.append(topi.multiply(stages[-1], tir.const(2.0)))
        return [x, stages[-1]]

    auto_scheduler.register_workload("test_thirty_stages", f=chain, override=True)
    task = auto_scheduler.SearchTask(func="test_thirty_stages", args=(16,), target="llvm")
    builder = StageGraphBuilder(task)
    graph = builder.graph(sample_states(task, 1)[0])
    assert len(graph.stage_names) == 30
    assert graph.edge_index.shape == (2, 29)


def test_one_stage() -> None:
    def fill(n: int) -> list[Any]:
        return [te.compute((n,), lambda i: 1.0, name="fill")]

    auto_scheduler.register_workload("test_one_stage", f=fill, override=True)
    task = auto_scheduler.SearchTask(func="test_one_stage", args=(64,), target="llvm")
    graph = StageGraphBuilder(task).graph(sample_states(task, 1)[0])
    assert graph.stage_names == ("fill",)
    assert graph.edge_index.shape == (2, 0)
    assert np.isfinite(graph.node_features).all()


def test_scalar_output() -> None:
    def total(n: int) -> list[Any]:
        x = te.placeholder((n,), name="x")
        k = te.reduce_axis((0, n), name="k")
        return [x, te.compute((), lambda: te.sum(x[k], axis=k), name="total")]

    auto_scheduler.register_workload("test_scalar_output", f=total, override=True)
    for target in ("llvm", "cuda"):
        hardware = make_task("matmul", "cuda").hardware_params if target == "cuda" else None
        task = auto_scheduler.SearchTask(
            func="test_scalar_output", args=(4096,), target=target, hardware_params=hardware
        )
        builder = StageGraphBuilder(task)
        for state in sample_states(task, 8):
            assert np.isfinite(builder.graph(state).node_features).all()


@pytest.mark.parametrize("target", ["llvm", "cuda"])
def test_data_dependent_reads(target: str) -> None:
    """A gather reads anywhere in its table: the span is the whole dimension, and every feature stays finite."""

    def gather(rows: int, width: int, count: int) -> list[Any]:
        table = te.placeholder((rows, width), name="table")
        index = te.placeholder((count,), dtype="int32", name="index")
        taken = te.compute((count, width), lambda i, j: table[index[i], j], name="taken")
        return [table, index, te.compute((count, width), lambda i, j: taken[i, j] * 2.0, name="doubled")]

    auto_scheduler.register_workload("test_gather", f=gather, override=True)
    hardware = make_task("matmul", "cuda").hardware_params if target == "cuda" else None
    task = auto_scheduler.SearchTask(func="test_gather", args=(1000, 64, 32), target=target, hardware_params=hardware)
    states = sample_states(task, 6)
    built = StageGraphBuilder(task).build(states)
    assert built.readable.all() and np.isfinite(built.graphs.edge_features).all()
    native = make_builder(task).build(states)
    np.testing.assert_array_equal(native.graphs.node_features, built.graphs.node_features)
    np.testing.assert_array_equal(native.graphs.edge_features, built.graphs.edge_features)
