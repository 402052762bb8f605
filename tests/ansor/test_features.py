"""Features of schedules worked out by hand."""

from __future__ import annotations

from math import log2
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler, te, tir
from tvm.meta_schedule.testing import te_workload

from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, HARDWARE_FEATURES, NODE_FEATURES, Feature
from tvm_gnn_cost.graphs.stage_graph import StageGraph

CPU = auto_scheduler.HardwareParams(4, 64, 64, 0, 0, 0, 0, 0)
"""4 cores, vectors and cache lines of 64 bytes."""
GPU = auto_scheduler.HardwareParams(80, 16, 64, 49152, 65536, 1024, 8, 32)
MIB = 2**20

# What is worked out below: every feature that is not named is zero. Sizes and counts stand for themselves here, not as
# logarithms.
Row = dict[str, float]
PLACEHOLDER: Row = {"is_placeholder": 1}
MATRIX: Row = {"is_float": 1, "element_bytes": 4, "spatial_axes": 2, "elements": 4096, "tensor_bytes": 16384,
               "reduction_size": 1, "domain_size": 4096, "innermost_axis": 64}  # fmt: skip
PRODUCT: Row = MATRIX | {"has_reduction": 1, "reduction_axes": 1, "reduction_size": 64, "domain_size": 64**3,
                         "own_float_add": 1, "own_float_mul": 1, "float_add": 1, "float_mul": 1, "flop": 2 * 64**3,
                         "input_bytes": 2 * 16384, "intensity": 2 * 64**3 / (3 * 16384), "producers": 2, "accesses": 2,
                         "reads": 2, "reads_broadcast": 1}  # fmt: skip
SCALAR: Row = {"vector": 1, "vector_registers": 1}
TO_PRODUCT: Row = {"edge_tensor_bytes": 16384, "edge_reads": 1, "edge_broadcast": 1, "edge_reduced": 1,
                   "edge_loads": 64**3, "edge_reuse": 64}  # fmt: skip
UNKNOWN_CPU: Row = {"cores": 4, "vector_bytes": 64, "cache_line_bytes": 64, "registers_bytes": 512,
                    "l1_bytes": 32768, "l2_bytes": 2**19, "l3_bytes": 16 * MIB}  # fmt: skip
ZEN4: Row = UNKNOWN_CPU | {"processor_known": 1, "registers_bytes": 2048, "l2_bytes": MIB, "l3_bytes": 32 * MIB,
                           "clock": 2.7}  # fmt: skip
V100: Row = {"is_gpu": 1, "processor_known": 1, "cores": 80, "vector_bytes": 16, "cache_line_bytes": 64,
             "registers_bytes": 1020, "l1_bytes": 2**17, "l2_bytes": 6 * MIB, "l3_bytes": 6 * MIB, "clock": 1.4,
             "max_shared_bytes": 49152, "max_threads": 1024, "warp_size": 32}  # fmt: skip

ALONE: Row = {"work_share": 1, "is_heaviest": 1, "traffic_share": 1}

worked_out: set[str] = set()
"""Features that had a value other than zero in a test of this file."""


def assert_row(actual: Any, features: tuple[Feature, ...], expected: Row, complete: bool = True) -> None:
    """The features named in `expected` have these values; with `complete`, all others are zero."""
    assert expected.keys() <= {feature.name for feature in features}
    for feature, value in zip(features, actual, strict=True):
        if complete or feature.name in expected:
            plain = expected.get(feature.name, 0.0)
            stored = log2(1.0 + plain) if feature.unit.startswith("log2") else plain
            assert float(value) == pytest.approx(stored, rel=1e-6, abs=1e-7), f"{feature.name} is not {plain}"
            if plain:
                worked_out.add(feature.name)


def assert_node(graph: StageGraph, stage: str, expected: Row, complete: bool = True) -> None:
    assert_row(graph.node_features[graph.stage_names.index(stage)], NODE_FEATURES, expected, complete)


def assert_edge(graph: StageGraph, producer: str, consumer: str, expected: Row, complete: bool = True) -> None:
    ends = np.array([graph.stage_names.index(producer), graph.stage_names.index(consumer)])
    (e,) = np.flatnonzero((graph.edge_index == ends[:, None]).all(axis=0))
    assert_row(graph.edge_features[e], EDGE_FEATURES, expected, complete)


def families(**rows: dict[Any, float]) -> Row:
    """group_bytes={0: 64, 2: 128} means group0_bytes=64, group2_bytes=128; traffic={"l1": 64} means traffic_l1=64."""
    return {
        (name.replace("group", f"group{key}") if isinstance(key, int) else f"{name}_{key}"): value
        for name, values in rows.items()
        for key, value in values.items()
    }


def caches(registers: float, l1: float, l2: float, l3: float) -> dict[Any, float]:
    return {"registers": registers, "l1": l1, "l2": l2, "l3": l3}


def new_task(name: str, function: Any, args: tuple[int, ...], target: str, hardware: Any = CPU) -> Any:
    auto_scheduler.register_workload(f"test_hand_{name}", f=function, override=True)
    return auto_scheduler.SearchTask(func=f"test_hand_{name}", args=args, target=target, hardware_params=hardware)


def graph_of(task: Any, state: Any) -> StageGraph:
    return StageGraphBuilder(task).graph(task.compute_dag.infer_bound_from_state(state))


def test_tiled_matmul() -> None:
    """C[64, 64] += A[64, 64] * B[64, 64], tiled 8 x 16, on four cores of an unnamed CPU:

    parallel i0 (8) { for j0 (4) { for k (64) { for i1 (8) { vectorize j1 (16) { C = ... } } } } }
    """
    task = new_task("matmul", te_workload.matmul, (64, 64, 64), "llvm")
    state = task.compute_dag.get_init_state()
    i, j, k = state.stages[2].iters
    i0, i1 = state.split(2, i, [8])
    j0, j1 = state.split(2, j, [16])
    state.reorder(2, [i0, j0, k, i1, j1])
    state.parallel(2, i0)
    state.vectorize(2, j1)
    state.pragma(2, state.stages[2].iters[0], "auto_unroll_max_step$64")
    graph = graph_of(task, state)
    assert graph.stage_names == ("A", "B", "C")
    assert sorted(graph.edge_index.T.tolist()) == [[0, 2], [1, 2]]
    assert_node(graph, "A", UNKNOWN_CPU | MATRIX | PLACEHOLDER | {"consumers": 1})
    loops: Row = {"at_root": 1, "own_loops": 5, "outer_iterations": 1, "own_iterations": 64**3, "iterations": 64**3,
                  "recomputation": 1, "parallel": 8, "parallel_per_core": 2, "imbalance": 1,
                  "iterations_per_core": 64**3 / 4, "inside_parallel": 64**3 / 8, "inner0_extent": 16,
                  "inner1_extent": 8, "inner2_extent": 64, "inner2_reduction": 1}  # fmt: skip
    # i1 is unrolled, j1 is one vector, k would make 512; 2 operations and 2 reads
    unrolling: Row = {"vector": 16, "vector_registers": 1, "unroll": 1, "auto_unroll": 64, "unrolled_body": 8,
                      "body_instructions": 8 * 4}  # fmt: skip
    # runs, from the inside: i1 and j1; k; i0 and j0. Each touches a tile of A, of B, of C, in whole cache lines.
    tiles = {0: 8 * 64 + 64 + 8 * 64, 1: 8 * 256 + 64 * 64 + 8 * 64, 2: 3 * 16384}
    runs = families(
        group_extent={0: 128, 1: 64, 2: 32},
        group_reduction={1: 1},
        group_output={0: 128, 1: 128, 2: 4096},
        group_bytes=tiles,
        group_intensity={0: 2 * 128 / tiles[0], 1: 2 * 8192 / tiles[1], 2: 2 * 64**3 / tiles[2]},
    )
    # 512 bytes hold a row of the tile (A[1, 1], B[1, 16], C[1, 16]), 32 KiB what a core does (A[8], all of B, C[8])
    traffic = {"registers": 3 * 64 * 16384, "l1": (2048 + 16384 + 2048) * 8, "l2": 3 * 16384, "l3": 3 * 16384}
    memory = families(
        refills=caches(16384, 8, 1, 1),
        traffic=traffic,
        intensity={cache: 2 * 64**3 / moved for cache, moved in traffic.items()},
    )
    rest: Row = {"unique_bytes": 3 * 16384, "allocation": 16384, "store_stride": 1, "store_vector_stride": 1,
                 "store_contiguous": 1, "reads_contiguous": 1, "reads_invariant": 1, "is_output": 1}  # fmt: skip
    assert_node(graph, "C", UNKNOWN_CPU | PRODUCT | ALONE | loops | unrolling | runs | memory | rest)
    flow: Row = {"producer_is_placeholder": 1, "edge_tile_bytes": 16384, "edge_flow": 16384}
    from_a = families(
        edge_group_bytes={0: 8 * 64, 1: 8 * 256, 2: 16384},
        edge_group_reuse={0: 16, 1: 16, 2: 64},
        edge_traffic=caches(64 * 16384, 8 * 2048, 16384, 16384),
    )
    assert_edge(graph, "A", "C", TO_PRODUCT | flow | from_a | {"edge_invariant": 1})
    from_b = families(
        edge_group_bytes={0: 64, 1: 64 * 64, 2: 16384},
        edge_group_reuse={0: 8, 1: 8, 2: 64},
        edge_traffic=caches(64 * 16384, 8 * 16384, 16384, 16384),
    )
    lane: Row = {"edge_contiguous": 1, "edge_lane_stride": 1, "edge_vector_stride": 1}
    assert_edge(graph, "B", "C", TO_PRODUCT | flow | from_b | lane)


def test_six_runs_of_loops() -> None:
    """The same product on a Zen 4, untiled in j, the rows of C innermost, on one core:

    for k0 (2) { for i0 (8) { for k1 (8) { for j (64) { for k2 (4) { for i1 (8) { C = ... } } } } } }
    """
    task = new_task("matmul", te_workload.matmul, (64, 64, 64), "llvm -mcpu=znver4")
    state = task.compute_dag.get_init_state()
    i, j, k = state.stages[2].iters
    i0, i1 = state.split(2, i, [8])
    k0, k1, k2 = state.split(2, k, [8, 4])
    state.reorder(2, [k0, i0, k1, j, k2, i1])
    graph = graph_of(task, state)
    loops: Row = {"at_root": 1, "own_loops": 6, "outer_iterations": 1, "own_iterations": 64**3, "iterations": 64**3,
                  "recomputation": 1, "parallel": 1, "parallel_per_core": 1 / 4, "imbalance": 4,
                  "iterations_per_core": 64**3, "inside_parallel": 64**3, "inner0_extent": 8, "inner1_extent": 4,
                  "inner1_reduction": 1, "inner2_extent": 64, "unroll": 1, "unrolled_body": 1, "body_instructions": 4,
                  "vector_waste": 15 / 16}  # fmt: skip
    # (bytes of A, of B, of C) that each run touches
    boxes = {0: (512, 64, 512), 1: (512, 256, 512), 2: (512, 1024, 2048), 3: (1024, 8192, 2048),
             4: (8192, 8192, 16384), 5: (16384, 16384, 16384)}  # fmt: skip
    iterations = {0: 8, 1: 32, 2: 2048, 3: 8 * 2048, 4: 64 * 2048, 5: 64**3}
    runs = families(
        group_extent={0: 8, 1: 4, 2: 64, 3: 8, 4: 8, 5: 2},
        group_reduction={1: 1, 3: 1, 5: 1},
        group_output={0: 8, 1: 8, 2: 512, 3: 512, 4: 4096, 5: 4096},
        group_bytes={g: sum(box) for g, box in boxes.items()},
        group_intensity={g: 2 * iterations[g] / sum(box) for g, box in boxes.items()},
    )
    traffic = {"registers": sum(boxes[1]) * 8192, "l1": sum(boxes[4]) * 2, "l2": 3 * 16384, "l3": 3 * 16384}
    memory = families(
        refills=caches(8192, 2, 1, 1),
        traffic=traffic,
        intensity={cache: 2 * 64**3 / moved for cache, moved in traffic.items()},
    )
    rest: Row = {"unique_bytes": 3 * 16384, "allocation": 16384, "store_stride": 64, "reads_invariant": 1,
                 "reads_strided": 1, "is_output": 1}  # fmt: skip
    assert_node(graph, "C", ZEN4 | PRODUCT | ALONE | SCALAR | loops | runs | memory | rest)
    flow: Row = {"producer_is_placeholder": 1, "edge_tile_bytes": 16384, "edge_flow": 16384}
    distinct = {0: (8, 1), 1: (32, 4), 2: (32, 256), 3: (256, 2048), 4: (2048, 2048), 5: (4096, 4096)}
    for buffer, name, lane in ((0, "A", {"edge_lane_stride": 64}), (1, "B", {"edge_invariant": 1})):
        touched = families(
            edge_group_bytes={g: box[buffer] for g, box in boxes.items()},
            edge_group_reuse={g: iterations[g] / elements[buffer] for g, elements in distinct.items()},
            edge_traffic=caches(boxes[1][buffer] * 8192, boxes[4][buffer] * 2, 16384, 16384),
        )
        assert_edge(graph, name, "C", TO_PRODUCT | flow | touched | lane)


def test_reduction_innermost() -> None:
    """for i0 (8) { for k0 (2) { for j (64) { for k1 (8) { for i1 (8) { for k2 (4) { C = ... } } } } } }"""
    task = new_task("matmul", te_workload.matmul, (64, 64, 64), "llvm")
    state = task.compute_dag.get_init_state()
    i, j, k = state.stages[2].iters
    i0, i1 = state.split(2, i, [8])
    k0, k1, k2 = state.split(2, k, [8, 4])
    state.reorder(2, [i0, k0, j, k1, i1, k2])
    runs = families(
        group_extent={0: 4, 1: 8, 2: 8, 3: 64, 4: 2, 5: 8},
        group_reduction={0: 1, 1: 0, 2: 1, 3: 0, 4: 1, 5: 0},
        group_output={0: 1, 1: 8, 2: 8, 3: 512, 4: 512, 5: 4096},
    )
    inner: Row = {"inner0_extent": 4, "inner0_reduction": 1, "inner1_extent": 8, "inner1_reduction": 0}
    lane: Row = {"store_stride": 0, "store_invariant": 1, "reads_contiguous": 1, "reads_strided": 1}
    assert_node(graph_of(task, state), "C", runs | inner | lane, complete=False)


def test_gpu_matmul() -> None:
    """The same product on a V100: C in registers, A through shared memory, B from global memory.

    blockIdx i0, j0 (2 x 4) { vthread i1 (2) { threadIdx i2, j1 (4 x 4) {
        for k0 (8) {
            for a (16) { threadIdx b (16) { A.shared[32, 8] = A[...] } }
            for k1 (8) { for i (4) { unroll j (4) { C.local = ... } } }
        }
        for i3 (4) { for j2 (4) { C = C.local } } } } }
    """
    task = new_task("matmul", te_workload.matmul, (64, 64, 64), "cuda -arch=sm_70", GPU)
    state = task.compute_dag.get_init_state()
    a, _, c = state.stage_ops
    local = state.cache_write(c, "local")
    i, j = state[c].iters
    i0, i1, i2, i3 = state.split(c, i, [2, 4, 4])
    j0, j1, j2 = state.split(c, j, [4, 4])
    state.reorder(c, [i0, j0, i1, i2, j1, i3, j2])
    block, thread = state.fuse(c, [i0, j0]), state.fuse(c, [i2, j1])
    state.bind(c, block, "blockIdx.x")
    state.bind(c, i1, "vthread")
    thread = state.bind(c, thread, "threadIdx.x")
    state.compute_at(local, c, thread)
    i, j, k = state[local].iters
    k0, k1 = state.split(local, k, [8])
    state.reorder(local, [k0, k1, i, j])
    state.unroll(local, j)
    shared = state.cache_read(a, "shared", [local])
    state.compute_at(shared, local, k0)
    _, own_thread = state.split(shared, state.fuse(shared, list(state[shared].iters)), [16])
    state.bind(shared, own_thread, "threadIdx.x")
    graph = graph_of(task, state)

    # 1 KiB of A a block; 64 bytes of C for each of 2 virtual threads, and 128 bytes of other registers: 8 KiB a warp
    # leave room for 32 blocks of one half-filled warp
    kernel: Row = {"parallel": 8, "parallel_per_core": 8 / 80, "imbalance": 10, "threads": 16, "warps": 1,
                   "warp_waste": 0.5, "shared_bytes": 1024, "local_bytes": 128, "resident_blocks": 32,
                   "occupancy": 32 * 32 / 2048, "vector_waste": 0.75}  # fmt: skip
    copy: Row = {"at_loop": 1, "outer_loops": 2, "own_loops": 2, "outer_iterations": 64, "own_iterations": 256,
                 "iterations": 16384, "recomputation": 4, "iterations_per_core": 2048, "inside_parallel": 2048,
                 "iterations_per_thread": 128, "vthreads": 1, "inner0_extent": 16, "inner1_extent": 16,
                 "inner2_extent": 8, "inner2_reduction": 1, "unroll": 1, "unrolled_body": 1, "body_instructions": 1,
                 "input_bytes": 16384, "producers": 1, "consumers": 1, "accesses": 1, "reads": 1, "is_shared": 1,
                 "allocation": 1024, "unique_bytes": 2 * 16384, "store_stride": 1, "store_contiguous": 1,
                 "reads_contiguous": 1}  # fmt: skip
    # 1020 bytes of registers hold 2 rows of 8 elements, a cache line each, read and written
    memory = families(
        group_extent={0: 256, 1: 8, 2: 8},
        group_reduction={1: 1},
        group_output={0: 256, 1: 2048, 2: 4096},
        group_bytes={0: 2 * 32 * 64, 1: 2 * 32 * 256, 2: 2 * 16384},
        refills=caches(1024, 1, 1, 1),
        traffic=caches(1024 * 256, 2 * 16384, 2 * 16384, 2 * 16384),
    )
    # of the iterations on the most loaded core, 2048 copy A, 32768 multiply, 512 write C; A, C and C.local are 16 KiB
    work, moved = 2048 + 32768 + 512, (2 + 3 + 2) * 16384
    share: Row = {"work_share": 2048 / work, "traffic_share": 2 * 16384 / moved}
    assert_node(graph, "A.shared", V100 | MATRIX | SCALAR | kernel | copy | memory | share)

    product: Row = {"at_loop": 1, "attached_stages": 1, "outer_loops": 3, "own_loops": 4, "outer_iterations": 256,
                    "own_iterations": 1024, "iterations": 64**3, "recomputation": 1, "iterations_per_core": 64**3 / 8,
                    "inside_parallel": 64**3 / 8, "iterations_per_thread": 2048, "vthreads": 2, "inner0_extent": 4,
                    "inner1_extent": 4, "inner2_extent": 8, "inner2_reduction": 1, "unroll": 4, "unrolled_body": 4,
                    "body_instructions": 16, "consumers": 1, "is_local": 1, "allocation": 64,
                    "unique_bytes": 3 * 16384, "store_stride": 1, "store_contiguous": 1, "reads_contiguous": 1,
                    "reads_invariant": 1}  # fmt: skip
    tiles = {0: 4 * 64 + 64 + 4 * 64, 1: 4 * 256 + 64 * 64 + 4 * 64, 2: 3 * 16384}
    memory = families(
        group_extent={0: 16, 1: 64, 2: 256},
        group_reduction={1: 1},
        group_output={0: 16, 1: 16, 2: 4096},
        group_bytes=tiles,
        group_intensity={0: 32 / tiles[0], 1: 2048 / tiles[1], 2: 2 * 64**3 / tiles[2]},
        refills=caches(16384, 1, 1, 1),
        traffic=caches(16384 * tiles[0], tiles[2], tiles[2], tiles[2]),
        intensity=caches(32 / tiles[0], *(2 * 64**3 / tiles[2] for _ in range(3))),
    )
    share = {"work_share": 32768 / work, "traffic_share": 3 * 16384 / moved, "is_heaviest": 1}
    assert_node(graph, "C.local", V100 | PRODUCT | SCALAR | kernel | product | memory | share)

    load = families(
        edge_group_bytes={0: 32 * 64, 1: 32 * 256, 2: 16384},
        edge_group_reuse={0: 1, 1: 1, 2: 4},
        edge_traffic=caches(1024 * 128, 16384, 16384, 16384),
    )
    assert_edge(graph, "A", "A.shared", load | {
        "producer_is_placeholder": 1, "edge_tensor_bytes": 16384, "edge_reads": 1, "edge_tile_bytes": 16384,
        "edge_flow": 16384, "edge_loads": 16384, "edge_reuse": 4, "edge_lane_stride": 1, "edge_contiguous": 1,
        "edge_thread_stride": 1,
    })  # fmt: skip
    reuse = families(
        edge_group_bytes={0: 4 * 64, 1: 4 * 256, 2: 16384},
        edge_group_reuse={0: 4, 1: 4, 2: 64},
        edge_traffic=caches(16384 * 256, 16384, 16384, 16384),
    )
    assert_edge(graph, "A.shared", "C.local", TO_PRODUCT | reuse | {
        "edge_attached": 1, "edge_tile_bytes": 1024, "edge_flow": 64 * 1024, "edge_invariant": 1,
    })  # fmt: skip


def test_inlining_and_compute_at() -> None:
    """r = max(x, 0) is inlined into both its readers; y, a sliding maximum, is computed in rows of z, which reads every
    other column of it, transposed, and r at a remainder."""

    def chain(n: int) -> list[Any]:
        x = te.placeholder((n, n), name="x")
        w = te.placeholder((n, 3), name="w", dtype="int32")
        k = te.reduce_axis((0, 3), name="k")
        r = te.compute((n, n), lambda i, j: te.max(x[i, j], 0.0), name="r")
        y = te.compute((n - 2, n), lambda i, j: te.max(r[i + k, j] / w[j, k].astype("float32"), axis=k), name="y")

        def last(i: Any, j: Any) -> Any:
            return te.if_then_else(i < 4, te.exp(y[j, i * 2]), te.sqrt(r[j, tir.floormod(i * 3, n)]))

        return [x, w, te.compute((n // 2, n - 2), last, name="z")]

    task = new_task("chain", chain, (32,), "llvm")
    state = task.compute_dag.get_init_state()
    _, r, _, y, z = state.stage_ops
    state.compute_inline(r)
    state.compute_at(y, z, state[z].iters[0])
    state.storage_align(y, state[y].iters[0], 16, 8)
    graph = graph_of(task, state)
    evaluations = 30 * 3 * 16 + 30 * 16  # by y, which runs 16 times on a column, and by z
    assert_node(graph, "r", UNKNOWN_CPU | {
        "is_inlined": 1, "is_float": 1, "element_bytes": 4, "spatial_axes": 2, "elements": 1024, "tensor_bytes": 4096,
        "reduction_size": 1, "domain_size": 1024, "innermost_axis": 32, "own_float_compare": 1, "float_compare": 1,
        "flop": 1024, "intensity": 1024 / 4096, "producers": 1, "consumers": 2, "iterations": evaluations,
        "recomputation": evaluations / 1024,
    })  # fmt: skip
    assert_node(graph, "y", complete=False, expected={
        "at_loop": 1, "outer_loops": 1, "own_loops": 2, "outer_iterations": 16, "own_iterations": 90,
        "recomputation": 0.5, "own_float_div": 1, "own_float_compare": 1, "own_cast": 1, "float_div": 1,
        "float_compare": 2, "cast": 1, "reads_window": 1, "reads_broadcast": 1, "flop": 3 * 2880, "allocation": 30 * 4,
        "storage_offset": 8, "store_invariant": 1, "is_output": 0, "reads_contiguous": 1, "reads_strided": 1,
    })  # fmt: skip
    assert_node(graph, "z", complete=False, expected={
        "is_output": 1, "at_root": 1, "attached_stages": 1, "own_float_math": 2, "own_integer": 1, "own_select": 1,
        "float_math": 2, "integer": 1, "select": 1, "float_compare": 1, "reads_non_affine": 1, "reads_window": 0,
    })  # fmt: skip
    assert_edge(graph, "r", "y", {"producer_is_inlined": 1, "edge_tensor_bytes": 4096})
    assert_edge(graph, "x", "r", complete=False, expected={
        "consumer_is_inlined": 1, "edge_loads": evaluations, "edge_window": 1, "edge_non_affine": 1,
    })  # fmt: skip
    assert_edge(graph, "y", "z", complete=False, expected={
        "edge_attached": 1, "edge_transposed": 1, "edge_tile_bytes": 30 * 4, "edge_flow": 16 * 30 * 4,
        "edge_window": 0, "edge_loads": 480,
    })  # fmt: skip


def test_rfactor_and_constants() -> None:
    """A sum over 64 in 8 parts, of a vector times a matrix of constants that TVM folds away."""

    def total(n: int) -> list[Any]:
        x = te.placeholder((n,), name="x")
        k = te.reduce_axis((0, n), name="k")
        weight = te.compute(
            (n,), lambda i: tir.Select(i < 4, tir.const(1.0, "float32"), tir.const(2.0, "float32")), name="weight",
            attrs={"const_matrix": True, "schedule_rule": "None"},
        )  # fmt: skip
        return [x, te.compute((4,), lambda i: te.sum(x[k] * weight[k], axis=k), name="total")]

    task = new_task("total", total, (64,), "llvm")
    state = task.compute_dag.get_init_state()
    stages = [stage.op.name for stage in state.stages]
    state.compute_inline(stages.index("weight"))
    position = stages.index("total")
    _, inner = state.split(position, state.stages[position].iters[1], [8])
    state.rfactor(position, inner, 1)
    graph = graph_of(task, state)
    assert_node(graph, "weight", {"is_constant": 1, "is_inlined": 1}, complete=False)
    assert_node(graph, "total.rf", complete=False, expected={
        "is_rfactor": 1, "reduction_size": 8, "elements": 32, "domain_size": 256, "flop": 512,
    })  # fmt: skip
    assert_node(graph, "total.repl", {"is_rfactor": 0, "reduction_size": 8, "flop": 32}, complete=False)


def test_inexact_extent() -> None:
    """Two neighbours of z read i // 3 of y: one element of it, or two."""

    def thirds(n: int) -> list[Any]:
        x = te.placeholder((n,), name="x")
        y = te.compute((n,), lambda i: x[i] + 1.0, name="y")
        return [x, te.compute((n,), lambda i: y[i // 3] * 2.0, name="z")]

    task = new_task("thirds", thirds, (64,), "llvm")
    state = task.compute_dag.get_init_state()
    _, y, z = state.stage_ops
    outer, _ = state.split(z, state[z].iters[0], [2])
    state.compute_at(y, z, outer)
    graph = graph_of(task, state)
    assert_node(graph, "y", {"inexact_loops": 1, "outer_iterations": 32}, complete=False)
    assert_edge(graph, "y", "z", {"edge_non_affine": 1}, complete=False)


def test_an_index_that_divides_to_one_value_is_exact() -> None:
    """A convolution of one group reads channel co // CO * CI + rc: co // CO is always 0, so the read is affine."""

    def conv(n: int) -> list[Any]:
        x, w = te.placeholder((n, 8), name="x"), te.placeholder((8, 16), name="w")
        rc = te.reduce_axis((0, 8), name="rc")
        return [x, w, te.compute((n, 16), lambda i, co: te.sum(x[i, co // 16 * 8 + rc] * w[rc, co], axis=rc), name="y")]

    task = new_task("one_group", conv, (4,), "llvm")
    graph = graph_of(task, task.compute_dag.get_init_state())
    assert_node(graph, "y", {"reads_non_affine": 0, "reads_window": 0, "reads_broadcast": 1}, complete=False)
    assert_edge(graph, "x", "y", {"edge_tile_bytes": 4 * 8 * 4, "edge_reuse": 16}, complete=False)


def test_every_feature_was_worked_out() -> None:
    """Runs after the others, as pytest orders them."""
    if not worked_out:
        pytest.skip("the tests that work features out did not run")
    names = {feature.name for feature in NODE_FEATURES + EDGE_FEATURES}
    assert names - worked_out == set()
    assert {feature.name for feature in HARDWARE_FEATURES} <= worked_out
