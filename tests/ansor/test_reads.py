"""Everything that an expression reads is in the graph, with its right sizes. Values are worked out by hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import programs
import pytest
from tvm import te

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.measurements import task_flop
from tvm_gnn_cost.ansor.native.builder import NativeStageGraphBuilder
from tvm_gnn_cost.ansor.native.reader import NativeReader
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.states.loop_proof import loop_difference
from tvm_gnn_cost.ansor.states.te_reader import address
from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.computation import Access, Computation
from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES
from tvm_gnn_cost.graphs.stage_graph import StageGraph
from tvm_gnn_cost.testing.schedules import measured, register_tensors, sample_states

TARGETS = {"cpu": "llvm -num-cores=4", "cuda": "cuda -arch=sm_70"}
NOT_ON_GPU = ("unnamed",)
"""TVM's own sketch rules end in an error for it."""

BOUNDS = {
    "node": np.array([(f.low, f.high) for f in NODE_FEATURES]).T,
    "edge": np.array([(f.low, f.high) for f in EDGE_FEATURES]).T,
}


def task_of(name: str, target: str = TARGETS["cpu"], *arguments: Any) -> Any:
    return register_tensors(f"reads_{name}_{arguments}_{target}", getattr(programs, name)(*arguments), target)


def first_state(task: Any) -> Any:
    """One loop for every axis, nothing else."""
    return task.compute_dag.infer_bound_from_state(task.compute_dag.get_init_state())


def computation_of(task: Any, state: Any) -> Computation:
    builder = StageGraphBuilder(task)
    return builder.computation(*builder.schedule(state))


def named_edges(computation: Computation) -> set[tuple[str, str]]:
    names = [stage.name for stage in computation.stages]
    return {(names[p], names[c]) for p, c in computation.edges}


def accesses(computation: Computation, producer: str, consumer: str) -> list[Access]:
    names = [stage.name for stage in computation.stages]
    return [a for a in computation.accesses if names[a.producer] == producer and names[a.host] == consumer]


def both_graphs(task: Any, states: Sequence[Any]) -> BuiltGraphs:
    """The graphs of the states, which must be the same from both builders, finite and within their ranges."""
    python = StageGraphBuilder(task).build(states)
    native = NativeStageGraphBuilder(task, NativeReader()).build_natively(states)
    assert graph_difference(native, python) is None
    assert python.readable.all()
    tables = {"node": python.graphs.node_features, "edge": python.graphs.edge_features}
    for kind, table in tables.items():
        low, high = BOUNDS[kind]
        assert np.isfinite(table).all() and (table >= low).all() and (table <= high).all()
    return python


def graph_of(name: str, *arguments: Any) -> StageGraph:
    """The graph of the program's first state, after both builders were compared."""
    task = task_of(name, TARGETS["cpu"], *arguments)
    state = first_state(task)
    both_graphs(task, [state])
    return StageGraphBuilder(task).graph(state)


def node(graph: StageGraph, stage: str, *features: str) -> list[float]:
    """Features as plain sizes, not as logarithms."""
    row = graph.node_features[graph.stage_names.index(stage)]
    return [plain(row, NODE_FEATURES, name) for name in features]


def edge(graph: StageGraph, producer: str, consumer: str, *features: str) -> list[float]:
    ends = [[graph.stage_names.index(producer)], [graph.stage_names.index(consumer)]]
    (e,) = np.flatnonzero((graph.edge_index == np.array(ends)).all(axis=0))
    return [plain(graph.edge_features[e], EDGE_FEATURES, name) for name in features]


def plain(row: Any, features: Any, name: str) -> float:
    (column,) = (i for i, feature in enumerate(features) if feature.name == name)
    value = float(row[column])
    return 2.0**value - 1.0 if features[column].unit.startswith("log2") else value


def near(*values: float) -> Any:
    return pytest.approx(list(values), rel=1e-5, abs=1e-6)


# --- for all programs ---


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("program", [p.__name__ for p in programs.PROGRAMS])
def test_schedules_are_read_as_tvm_has_them(program: str, target: str) -> None:
    """Edges are the inputs that TVM names, loops are those that it prints, and both builders make the same graphs."""
    if target == "cuda" and program in NOT_ON_GPU:
        pytest.skip("TVM makes no schedules of it")
    task = task_of(program, TARGETS[target])
    states = [first_state(task), *sample_states(task, 3)]
    both_graphs(task, states)
    builder = StageGraphBuilder(task)
    for state in states:
        assert set(computation_of(task, state).edges) == inputs_of(task, state)
        if "nothing" not in program:  # TVM prints loops of no iterations, which are none here
            assert loop_difference(state, builder.loop_nest(state)) is None


def inputs_of(task: Any, state: Any) -> set[tuple[int, int]]:
    """(producer, consumer) by what TVM's own schedule says."""
    schedule, _ = task.compute_dag.apply_steps_from_state(state)
    operations = [stage.op for stage in schedule.stages]
    position = {address(op): i for i, op in enumerate(operations)}
    return {(position[address(t.op)], i) for i, op in enumerate(operations) for t in op.input_tensors}


# --- conditions, initial values, indices ---


def test_an_initial_value_is_read_once_an_element() -> None:
    graph = graph_of("initial_value")
    assert edge(graph, "bias", "c", "edge_reads", "edge_loads", "edge_reuse", "edge_reduced") == near(1 / 16, 256, 1, 0)
    assert edge(graph, "bias", "c", "edge_tile_bytes", "edge_flow", "edge_traffic_l1") == near(1024, 1024, 1024)
    # in registers fits one iteration: a line for each element, each time that its sum begins
    assert edge(graph, "bias", "c", "edge_traffic_registers") == near(256 * 64)
    assert edge(graph, "a", "c", "edge_traffic_registers") == near(4096 * 64)
    assert node(graph, "c", "producers", "reads", "input_bytes", "flop") == near(3, 2 + 1 / 16, 3072, 8192)


def test_an_inlined_initial_value_is_evaluated_once_an_element() -> None:
    task = task_of("inlined_initial_value")
    state = task.compute_dag.get_init_state()
    state.compute_inline(2)
    state = task.compute_dag.infer_bound_from_state(state)
    both_graphs(task, [state])
    graph = StageGraphBuilder(task).graph(state)
    assert node(graph, "copied", "iterations", "recomputation") == near(16, 1)
    assert edge(graph, "bias", "copied", "edge_loads", "edge_reuse") == near(16, 1)


def test_the_initial_value_goes_where_rfactor_puts_it() -> None:
    task = task_of("long_initial_value")
    found = [named_edges(computation_of(task, state)) for state in sample_states(task, 12)]
    assert any(("bias", "c.repl") in edges for edges in found)
    assert not any(("bias", "c.rf") in edges for edges in found)


def test_the_condition_of_a_reduction_is_read() -> None:
    graph = graph_of("condition")
    assert edge(graph, "mask", "c", "edge_reads", "edge_loads", "edge_reduced") == near(1, 256, 1)
    assert node(graph, "c", "own_float_add", "own_integer", "own_select", "reads") == near(1, 1, 1, 2)


@pytest.mark.parametrize("program", ["select", "if_then_else"])
def test_the_condition_of_a_selection_is_read(program: str) -> None:
    graph = graph_of(program)
    assert edge(graph, "mask", "c", "edge_reads", "edge_loads") == near(1, 32)
    assert node(graph, "c", "own_integer", "own_select", "reads") == near(1, 1, 3)


def test_an_index_is_read_and_leads_anywhere() -> None:
    graph = graph_of("gather")
    assert edge(graph, "ids", "rows", "edge_loads", "edge_reuse", "edge_tile_bytes") == near(512, 16, 128)
    names = ("edge_tile_bytes", "edge_broadcast", "edge_non_affine", "edge_lane_stride", "edge_contiguous")
    assert edge(graph, "table", "rows", *names) == near(64 * 16 * 4, 0, 1, 1, 1)
    task = task_of("gather")
    state = task.compute_dag.get_init_state()
    state.reorder(2, list(reversed(state.stages[2].iters)))
    graph = StageGraphBuilder(task).graph(task.compute_dag.infer_bound_from_state(state))
    # from row to row: on average a third of the 64 rows of 16 elements away
    assert edge(graph, "table", "rows", "edge_lane_stride", "edge_invariant") == near(64 / 3 * 16, 0)


def test_indices_of_indices_are_read() -> None:
    graph = graph_of("gather_twice")
    assert edge(graph, "order", "rows", "edge_tile_bytes", "edge_non_affine") == near(64 * 4, 1)
    assert edge(graph, "ids", "rows", "edge_tile_bytes", "edge_non_affine") == near(32 * 4, 0)


def test_a_let_is_followed_into_indices() -> None:
    graph = graph_of("let")
    assert edge(graph, "x", "y", "edge_loads", "edge_reuse", "edge_non_affine") == near(64, 64 / 33, 0)
    graph = graph_of("let_gather")
    assert edge(graph, "ids", "y", "edge_loads", "edge_reuse") == near(32, 1)
    assert edge(graph, "x", "y", "edge_loads", "edge_non_affine", "edge_invariant") == near(64, 1, 0)


def test_shifts_of_bits_are_divisions() -> None:
    graph = graph_of("shift")
    assert edge(graph, "x", "y", "edge_tile_bytes", "edge_lane_stride") == near(64, 0.5)


def test_stages_of_one_name_are_told_apart() -> None:
    task = task_of("unnamed")
    state = first_state(task)
    assert set(computation_of(task, state).edges) == {(0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (3, 4), (2, 4)}


# --- several outputs ---


def test_both_outputs_of_a_reduction_are_written() -> None:
    graph = graph_of("pairs")
    assert node(graph, "best", "element_bytes", "tensor_bytes", "allocation", "is_float") == near(8, 64, 64, 0)
    assert node(graph, "best", "own_select", "own_float_compare", "reads", "input_bytes") == near(2, 2, 2, 4096)
    # of each output the line that the whole stage writes
    assert node(graph, "best", "unique_bytes") == near(2 * 2048 + 2 * 64)


def test_a_consumer_reads_the_output_that_it_names() -> None:
    graph = graph_of("second_of_pairs")
    assert edge(graph, "best", "out", "edge_tensor_bytes", "edge_tile_bytes", "edge_loads") == near(32, 32, 8)
    assert node(graph, "out", "input_bytes") == near(32)
    task = task_of("second_of_pairs")
    [access] = accesses(computation_of(task, first_state(task)), "best", "out")
    assert access.output == 1


def test_consumers_of_different_outputs() -> None:
    graph = graph_of("both_of_pairs")
    assert edge(graph, "best", "doubled", "edge_tensor_bytes") == near(32)
    assert edge(graph, "best", "next", "edge_tensor_bytes") == near(32)
    graph = graph_of("pairs_together")
    assert edge(graph, "best", "out", "edge_tensor_bytes", "edge_loads", "edge_reads") == near(64, 16, 2)
    assert node(graph, "out", "accesses") == near(2)


def test_bodies_of_different_types() -> None:
    graph = graph_of("two_bodies")
    names = ("element_bytes", "tensor_bytes", "input_bytes", "own_float_add", "own_float_mul")
    assert node(graph, "two", *names) == near(12, 12 * 128, 12 * 128, 1, 1)


# --- types ---


@pytest.mark.parametrize(
    ("dtype", "size", "is_float", "additions"),
    [
        ("bool", 1, 0, 0), ("int1", 1, 0, 0), ("int4", 1, 0, 0), ("uint8", 1, 0, 0), ("int16", 2, 0, 0),
        ("int64", 8, 0, 0), ("float16", 2, 1, 1), ("bfloat16", 2, 1, 1), ("float32", 4, 1, 1), ("float64", 8, 1, 1),
        ("e4m3_float8", 1, 1, 1), ("e5m2_float8", 1, 1, 1), ("float32x4", 16, 1, 4), ("float64x8", 64, 1, 8),
        ("int8x16", 16, 0, 0), ("int4x8", 4, 0, 0), ("handle", 8, 0, 0),
    ],
)  # fmt: skip
def test_elements_have_the_size_of_their_type(dtype: str, size: int, is_float: int, additions: int) -> None:
    graph = graph_of("of_type", dtype)
    for stage in ("x", "y"):
        assert node(graph, stage, "element_bytes", "is_float", "tensor_bytes") == near(size, is_float, 512 * size)
    assert node(graph, "y", "own_float_add") == near(additions)
    assert edge(graph, "x", "y", "edge_tile_bytes") == near(512 * size)


def test_a_vector_of_one_element() -> None:
    graph = graph_of("broadcast")
    assert node(graph, "y", "element_bytes", "reads") == near(16, 1)


# --- axes ---


def test_an_axis_may_begin_late() -> None:
    graph = graph_of("later_axis")
    assert node(graph, "c", "reduction_size", "iterations") == near(8, 64)
    names = ("edge_loads", "edge_tile_bytes", "edge_reuse", "edge_contiguous")
    assert edge(graph, "a", "c", *names) == near(64, 8 * 8 * 4, 1, 1)
    graph = graph_of("later_axis_divided")  # columns 0 and 1
    assert edge(graph, "a", "c", "edge_loads", "edge_tile_bytes") == near(32, 8 * 2 * 4)


def test_an_extent_that_differs_from_row_to_row_counts_with_its_mean() -> None:
    graph = graph_of("triangle")  # 1 ... 16
    assert node(graph, "c", "reduction_size", "iterations", "recomputation") == near(9, 16 * 9, 1)
    graph = graph_of("windows")  # 3, 4 and 3 rows and columns
    assert node(graph, "adaptive_pool_sum", "reduction_size", "iterations") == near(9, 8 * 9 * 9)


def test_the_length_of_sparse_rows_is_read_and_shared() -> None:
    task = task_of("sparse")
    computation = computation_of(task, first_state(task))
    assert ("rows", "compute") in named_edges(computation)
    assert max(computation.stages, key=lambda s: len(s.reduce_extents)).reduce_extents == (3,)  # 40 values in 16 rows
    both_graphs(task, [first_state(task)])


def test_nothing_and_one() -> None:
    graph = graph_of("ones")
    assert node(graph, "y", "elements", "reduction_size", "iterations", "recomputation") == near(1, 1, 1, 1)
    graph = graph_of("nothing")
    assert node(graph, "y", "elements", "tensor_bytes", "flop", "traffic_l1", "intensity") == near(0, 0, 0, 0, 0)
    assert edge(graph, "x", "y", "edge_tensor_bytes", "edge_tile_bytes") == near(0, 0)
    graph = graph_of("sum_of_nothing")
    assert node(graph, "y", "elements", "reduction_size", "tensor_bytes") == near(4, 0, 16)
    graph = graph_of("nothing_beside")
    assert edge(graph, "empty", "y", "edge_tensor_bytes", "edge_tile_bytes") == near(0, 0)
    assert edge(graph, "x", "y", "edge_tensor_bytes", "edge_tile_bytes") == near(128, 128)


def test_tensors_without_axes() -> None:
    graph = graph_of("scalars")
    assert node(graph, "scale", "spatial_axes", "elements", "tensor_bytes") == near(0, 1, 4)
    assert node(graph, "y", "spatial_axes", "elements", "reduction_size", "allocation") == near(0, 1, 256, 4)
    assert edge(graph, "scale", "y", "edge_loads", "edge_reuse", "edge_invariant") == near(256, 256, 1)


def test_many_axes_and_many_elements() -> None:
    graph = graph_of("ten_axes")
    assert node(graph, "x", "spatial_axes", "elements") == near(10, 1024)
    assert node(graph, "y", "spatial_axes", "reduction_axes", "iterations") == near(9, 1, 1024)
    graph = graph_of("huge")
    assert node(graph, "x", "elements", "tensor_bytes") == near(2.0**35, 2.0**37)
    assert node(graph, "y", "iterations", "flop") == near(2.0**35, 2.0**35)


# --- work ---


@pytest.mark.parametrize(
    ("program", "flop"),
    [
        ("triangle", 16 * 9), ("windows", 8 * 9 * 9 + 8 * 9 * 2), ("let", 32), ("call", 512), ("broadcast", 0),
        ("sparse", 24 * 16 * 3 * 2),
    ],
)  # fmt: skip
def test_what_tvm_does_not_count_is_counted(program: str, flop: int) -> None:
    task = task_of(program)
    assert task.compute_dag.flop_ct == -1
    assert count_flop(task.compute_dag) == flop and task_flop(task) == max(1, flop)


def test_what_tvm_counts_stays() -> None:
    assert count_flop(task_of("initial_value").compute_dag) == 8192
    assert count_flop(task_of("select").compute_dag) == 0 and task_flop(task_of("select")) == 1


@pytest.mark.parametrize("program", ["triangle", "windows", "nothing"])
def test_the_model_learns_and_predicts_numbers(program: str) -> None:
    task = task_of(program)
    states = [first_state(task)] * 8
    for model in (GNNCostModel(device="cpu"), GNNCostModel(None, device="cpu")):
        model.update(*measured(task, states, 1e-4 * (1.0 + np.arange(8.0))))
        latency = model.predict_latency(task, states)
        assert (latency > 1e-6).all() and (latency < 1e-1).all()
        scores = model.predict(task, states)
        assert (scores > 0).all() and np.isfinite(scores).all()


def test_an_unseen_task_that_tvm_does_not_count_has_a_sane_latency() -> None:
    task = task_of("windows")
    latency = GNNCostModel(device="cpu").predict_latency(task, [first_state(task)])
    assert 1e-8 < latency[0] < 1e-5  # measured on one core of a server: 2e-7


# --- what cannot be ---


def test_a_shape_that_is_no_number_is_named(caplog: pytest.LogCaptureFixture) -> None:
    x = te.placeholder((te.var("n"), 8), name="x")
    task = register_tensors("reads_symbolic", [x, te.compute(x.shape, lambda i, j: x[i, j] + 1.0, "y")])
    with caplog.at_level(logging.WARNING):
        both = StageGraphBuilder(task)
    [warning] = caplog.messages
    assert "the shape of tensor x" in warning and "give every extent as a number" in warning
    assert np.isfinite(both.graph(first_state(task)).node_features).all()
