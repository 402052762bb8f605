"""Features of a schedule worked out by hand, and rules that every schedule keeps."""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pytest
from schedules import WORKLOADS, make_task, sample_states
from tvm import auto_scheduler, te
from tvm.meta_schedule.testing import te_workload

from tvm_gnn_cost.stage_graph.builder import StageGraphBuilder
from tvm_gnn_cost.stage_graph.graph import StageGraph
from tvm_gnn_cost.stage_graph.schema import EDGE_FEATURES, NODE_FEATURES

NODE = {feature.name: i for i, feature in enumerate(NODE_FEATURES)}
EDGE = {feature.name: i for i, feature in enumerate(EDGE_FEATURES)}


def node(graph: StageGraph, stage: str, feature: str) -> float:
    return float(graph.node_features[graph.stage_names.index(stage), NODE[feature]])


def edge(graph: StageGraph, producer: str, consumer: str, feature: str) -> float:
    ends = np.array([graph.stage_names.index(producer), graph.stage_names.index(consumer)])
    (e,) = np.flatnonzero((graph.edge_index == ends[:, None]).all(axis=0))
    return float(graph.edge_features[e, EDGE[feature]])


def size(x: float) -> float:
    return pytest.approx(log2(1.0 + x), rel=1e-6)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def matmul() -> StageGraph:
    """C[64, 64] += A[64, 64] * B[64, 64], tiled 8 x 16, on four cores:

    parallel i0 (8) { for j0 (4) { for k (64) { for i1 (8) { vectorize j1 (16) { C = ... } } } } }
    """
    auto_scheduler.register_workload("test_hand_matmul", f=te_workload.matmul, override=True)
    hardware = auto_scheduler.HardwareParams(4, 64, 64, 0, 0, 0, 0, 0)
    task = auto_scheduler.SearchTask(
        func="test_hand_matmul", args=(64, 64, 64), target="llvm", hardware_params=hardware
    )
    state = task.compute_dag.get_init_state()
    c = state.stages[2]
    i, j, k = c.iters
    i0, i1 = state.split(2, i, [8])
    j0, j1 = state.split(2, j, [16])
    state.reorder(2, [i0, j0, k, i1, j1])
    state.parallel(2, i0)
    state.vectorize(2, j1)
    state.pragma(2, state.stages[2].iters[0], "auto_unroll_max_step$64")
    return StageGraphBuilder(task).graph(task.compute_dag.infer_bound_from_state(state))


def test_what_is_computed(matmul: StageGraph) -> None:
    assert matmul.stage_names == ("A", "B", "C")
    assert sorted(matmul.edge_index.T.tolist()) == [[0, 2], [1, 2]]
    assert node(matmul, "A", "is_placeholder") == 1 and node(matmul, "C", "is_output") == 1
    assert node(matmul, "C", "float_add") == size(1) and node(matmul, "C", "float_mul") == size(1)
    assert node(matmul, "C", "flop") == size(2 * 64**3)
    assert node(matmul, "C", "domain_size") == size(64**3)
    assert node(matmul, "C", "reduction_size") == size(64)
    assert node(matmul, "C", "input_bytes") == size(2 * 64 * 64 * 4)
    assert node(matmul, "C", "reads") == size(2)
    assert node(matmul, "C", "reads_broadcast") == 1 and node(matmul, "C", "reads_window") == 0


def test_loops(matmul: StageGraph) -> None:
    assert node(matmul, "C", "iterations") == size(64**3)
    assert node(matmul, "C", "recomputation") == size(1)
    assert node(matmul, "C", "parallel") == size(8)
    assert node(matmul, "C", "parallel_per_core") == size(2)
    assert node(matmul, "C", "imbalance") == 1.0
    assert node(matmul, "C", "iterations_per_core") == size(64**3 / 4)
    assert node(matmul, "C", "inside_parallel") == size(64**3 / 8)
    assert node(matmul, "C", "vector") == size(16)
    assert node(matmul, "C", "vector_registers") == size(1) and node(matmul, "C", "vector_waste") == 0.0
    assert node(matmul, "C", "auto_unroll") == size(64)
    assert node(matmul, "C", "unrolled_body") == size(8)  # i1; the vectorised loop does not count, k would make 512
    assert [node(matmul, "C", f"inner{n}_extent") for n in range(3)] == [size(16), size(8), size(64)]
    assert [node(matmul, "C", f"inner{n}_reduction") for n in range(3)] == [0, 0, 1]


def test_runs_of_loops(matmul: StageGraph) -> None:
    """Spatial 8 x 16 inside the reduction over 64 inside spatial 8 x 4."""
    assert [node(matmul, "C", f"group{g}_extent") for g in range(4)] == [size(128), size(64), size(32), 0.0]
    assert [node(matmul, "C", f"group{g}_reduction") for g in range(3)] == [0, 1, 0]
    assert [node(matmul, "C", f"group{g}_output") for g in range(3)] == [size(128), size(128), size(4096)]
    tile = 8 * 64  # rows of C and, for one k, of A: a cache line each
    assert node(matmul, "C", "group0_bytes") == size(tile + 64 + tile)  # A[8, 1], B[1, 16], C[8, 16]
    assert node(matmul, "C", "group1_bytes") == size(8 * 256 + 64 * 64 + tile)  # A[8, 64], B[64, 16], C[8, 16]


def test_memory_traffic(matmul: StageGraph) -> None:
    """512 bytes hold nothing but one row of the tile; 16 KiB hold the tile over all k; 256 KiB hold everything."""
    everything = 3 * 64 * 64 * 4
    assert node(matmul, "C", "unique_bytes") == size(everything)
    assert node(matmul, "C", "traffic_262144") == size(everything)
    one_tile = 8 * 256 + 64 * 64 + 8 * 64
    assert node(matmul, "C", "traffic_16384") == size(one_tile * 32)
    one_row = 64 + 64 + 64  # A[1, 1], B[1, 16], C[1, 16]
    assert node(matmul, "C", "traffic_512") == size(one_row * 64**3 / 16)
    assert node(matmul, "C", "intensity_262144") == size(2 * 64**3 / everything)
    assert edge(matmul, "B", "C", "edge_traffic_16384") == size(64 * 64 * 32)


def test_neighbouring_iterations(matmul: StageGraph) -> None:
    assert node(matmul, "C", "store_stride") == size(1) and node(matmul, "C", "store_contiguous") == 1
    assert node(matmul, "C", "reads_contiguous") == size(1)  # B[k, j]
    assert node(matmul, "C", "reads_invariant") == size(1)  # A[i, k]
    assert edge(matmul, "B", "C", "edge_contiguous") == 1 and edge(matmul, "A", "C", "edge_invariant") == 1
    assert edge(matmul, "A", "C", "edge_loads") == size(64**3)
    assert edge(matmul, "A", "C", "edge_reuse") == size(64)
    assert edge(matmul, "A", "C", "edge_reduced") == 1


def test_compute_at_and_inlining() -> None:
    """y = relu(x) * 2 with relu inlined, and z = y + 1 with y computed in rows of z."""

    def chain(n: int) -> list[Any]:
        x = te.placeholder((n, n), name="x")
        r = te.compute((n, n), lambda i, j: te.max(x[i, j], 0.0), name="r")
        y = te.compute((n, n), lambda i, j: r[i, j] * 2.0, name="y")
        return [x, te.compute((n, n), lambda i, j: y[i, j] + 1.0, name="z")]

    auto_scheduler.register_workload("test_hand_chain", f=chain, override=True)
    task = auto_scheduler.SearchTask(func="test_hand_chain", args=(32,), target="llvm")
    state = task.compute_dag.get_init_state()
    state.compute_inline(1)
    state.compute_at(2, 3, state.stages[3].iters[0])
    graph = StageGraphBuilder(task).graph(task.compute_dag.infer_bound_from_state(state))
    assert node(graph, "r", "is_inlined") == 1 and node(graph, "r", "iterations") == 0
    assert node(graph, "y", "at_loop") == 1 and node(graph, "z", "attached_stages") == size(1)
    assert node(graph, "y", "own_float_compare") == 0 and node(graph, "y", "float_compare") == size(1)
    assert node(graph, "y", "outer_iterations") == size(32) and node(graph, "y", "own_iterations") == size(32)
    assert node(graph, "y", "allocation") == size(32 * 4)
    assert edge(graph, "y", "z", "edge_attached") == 1 and edge(graph, "y", "z", "edge_tile_bytes") == size(32 * 4)
    assert edge(graph, "x", "r", "edge_loads") == size(32 * 32)  # y reads x through r
    assert edge(graph, "r", "y", "producer_is_inlined") == 1 and edge(graph, "r", "y", "edge_loads") == 0


@pytest.mark.parametrize("target", ["llvm -num-cores=4", "cuda"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_ranges(name: str, target: str) -> None:
    """Every feature is finite and within its range, and edges point forward."""
    task = make_task(name, target)
    builder = StageGraphBuilder(task)
    low, high = np.array([(f.low, f.high) for f in NODE_FEATURES]).T
    edge_low, edge_high = np.array([(f.low, f.high) for f in EDGE_FEATURES]).T
    for state in sample_states(task, 8):
        graph = builder.graph(state)
        assert np.isfinite(graph.node_features).all() and np.isfinite(graph.edge_features).all()
        assert (graph.node_features >= low).all() and (graph.node_features <= high).all()
        assert (graph.edge_features >= edge_low).all() and (graph.edge_features <= edge_high).all()
        assert (graph.edge_index[0] < graph.edge_index[1]).all()
