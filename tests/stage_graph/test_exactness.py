"""The loop nests equal TVM's: extents, annotations, nesting and pragmas, as TVM itself prints the state."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from schedules import WORKLOADS, make_task, sample_states
from tvm import auto_scheduler, te, tir, topi

from tvm_gnn_cost.stage_graph.builder import StageGraphBuilder
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest
from tvm_gnn_cost.stage_graph.native_builder import make_builder
from tvm_gnn_cost.stage_graph.schedule import Annotation, ComputeAt

KEYWORDS = {
    "for": Annotation.NONE,
    "unroll": Annotation.UNROLL,
    "vectorize": Annotation.VECTORIZE,
    "parallel": Annotation.PARALLEL,
    "vthread": Annotation.VTHREAD,
    "blockIdx.x": Annotation.BLOCK_X,
    "threadIdx.x": Annotation.THREAD_X,
    "blockIdx.y": Annotation.BLOCK_Y,
    "threadIdx.y": Annotation.THREAD_Y,
    "blockIdx.z": Annotation.BLOCK_Z,
    "threadIdx.z": Annotation.THREAD_Z,
}
LOOP = re.compile(r"^( *)(\S+) (\S+) \((.*),(.*)\)$")
Path = list[tuple[Annotation, str]]


def tvm_view(state: Any) -> tuple[dict[str, Path], dict[str, int]]:
    """From TVM's text: for each stage, the non-trivial loops around its body (outermost first), and its pragma."""
    paths: dict[str, Path] = {}
    pragmas: dict[str, int] = {}
    stack: list[tuple[int, Annotation, str]] = []
    for line in str(state).splitlines():
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        loop = LOOP.match(line)
        if loop:
            stack.append((indent, KEYWORDS[loop[2]], loop[5].strip()))
        elif line.endswith(" = ..."):
            paths[line.strip().removesuffix(" = ...")] = [(a, e) for _, a, e in stack]
        elif " auto_unroll: " in line:
            name, _, step = line.strip().partition(" auto_unroll: ")
            pragmas[name] = int(step)
    return paths, pragmas


def our_view(nest: LoopNest) -> tuple[dict[str, Path], dict[str, int]]:
    """The same from the stage graph's loop nests; an extent that TVM gives as an expression is "?"."""
    paths: dict[str, Path] = {}
    for i, stage in enumerate(nest.computation.stages):
        if stage.is_placeholder or stage.is_inlined:
            continue
        loops = list(nest.loops[i])
        how = nest.schedule.stages[i]
        while how.compute_at == ComputeAt.ITER and how.attach is not None:
            target, position = how.attach
            loops = [*nest.loops[target][: position + 1], *loops]
            how = nest.schedule.stages[target]
        paths[stage.name] = [
            (Annotation(loop.annotation), str(loop.extent) if loop.exact else "?")
            for loop in loops
            if loop.extent != 1 or not loop.exact
        ]
    pragmas = {
        stage.name: how.auto_unroll_max_step
        for stage, how in zip(nest.computation.stages, nest.schedule.stages, strict=True)
        if how.auto_unroll_max_step and not stage.is_inlined
    }
    return paths, pragmas


def assert_equal_to_tvm(builder: StageGraphBuilder, state: Any) -> None:
    tvm_paths, tvm_pragmas = tvm_view(state)
    paths, pragmas = our_view(builder.loop_nest(state))
    assert paths.keys() == tvm_paths.keys()
    for name, path in paths.items():
        expected = [(a, e if e.isdigit() else "?") for a, e in tvm_paths[name]]
        assert path == expected, f"{name} in\n{state}"
    assert pragmas == tvm_pragmas


@pytest.mark.parametrize("target", ["llvm -num-cores=4", "cuda", "rocm"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_sampled_and_evolved_states(name: str, target: str) -> None:
    task = make_task(name, target)
    builder = StageGraphBuilder(task)
    states = sample_states(task, 16, evolved=True)
    assert states
    for state in states:
        assert_equal_to_tvm(builder, state)


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
