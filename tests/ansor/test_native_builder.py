"""The native builder makes the graphs that the Python builder makes, to the last bit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

_native = pytest.importorskip("tvm_gnn_cost._native")

import tvm  # noqa: E402
from tvm import auto_scheduler, te  # noqa: E402
from tvm.meta_schedule.testing import te_workload  # noqa: E402

from tvm_gnn_cost.ansor.native.builder import NativeStageGraphBuilder, StateStatus, make_builder  # noqa: E402
from tvm_gnn_cost.ansor.native.proof import first_graph_difference  # noqa: E402
from tvm_gnn_cost.ansor.native.proof_cases import proof_cases  # noqa: E402
from tvm_gnn_cost.ansor.native.reader import NativeReader  # noqa: E402
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder  # noqa: E402
from tvm_gnn_cost.ansor.states.reader import read_schedule  # noqa: E402
from tvm_gnn_cost.ansor.states.schedule import Structure  # noqa: E402
from tvm_gnn_cost.graphs import native_writer  # noqa: E402
from tvm_gnn_cost.graphs.computation import Computation  # noqa: E402
from tvm_gnn_cost.graphs.differences import graph_difference  # noqa: E402
from tvm_gnn_cost.graphs.encoding import encode_computation  # noqa: E402
from tvm_gnn_cost.graphs.native_writer import NativeGraphWriter  # noqa: E402
from tvm_gnn_cost.testing.schedules import register_tensors  # noqa: E402
from tvm_gnn_cost.workloads import chains, image_chains  # noqa: E402

WORKLOADS = {
    "matmul": (te_workload.matmul, (64, 64, 128)),
    "conv_bn_relu": (te_workload.conv2d_nhwc_bn_relu, (1, 14, 14, 32, 32, 3, 1, 1)),
    "depthwise": (te_workload.depthwise_conv2d_nhwc, (1, 28, 28, 32, 3, 1, 1)),
    "transposed_conv": (te_workload.conv2d_transpose_nhwc, (1, 4, 4, 32, 16, 4, 2, 1)),
    "winograd": (te_workload.conv2d_winograd_nhwc, (1, 14, 14, 32, 32, 6)),
    "norm": (te_workload.norm_bmn, (2, 64, 64)),
    "softmax": (te_workload.softmax_mn, (64, 96)),
    "attention": (chains.attention, (2, 32, 16)),
    "swiglu": (chains.swiglu, (16, 32, 48)),
    "upsample_conv": (image_chains.upsample_conv2d, (1, 8, 7, 7, 8, 3)),
}
TARGETS = ("llvm -num-cores=4", "cuda -arch=sm_70", "rocm -mcpu=gfx900")
SAMPLED = EVOLVED = 5


def search(task: Any, seed: int = 1) -> list[Any]:
    """Sampled and evolved states of the task, as the search hands them out: not bound-inferred."""
    sizes = {"sample_init_min_population": 6, "evolutionary_search_population": 12, "evolutionary_search_num_iters": 2}
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=sizes, verbose=0, seed=seed)
    sampled = list(policy.sample_initial_population())
    return sampled[:SAMPLED] + list(policy.evolutionary_search(sampled, EVOLVED))


def inferred(task: Any, states: list[Any]) -> list[Any]:
    return [task.compute_dag.infer_bound_from_state(state) for state in states]


@pytest.fixture(scope="module")
def reader() -> NativeReader:
    return NativeReader()


@pytest.fixture(scope="module")
def norm() -> tuple[Any, list[Any]]:
    """A task whose schedules have several structures, and states of it."""
    task = register_tensors("native_builder_norm", te_workload.norm_bmn(2, 64, 64))
    return task, inferred(task, search(task))


@pytest.fixture
def unusable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(NativeReader, "load", classmethod(lambda cls: None))
    yield


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("target", TARGETS, ids=["cpu", "cuda", "rocm"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_equals_the_python_builder_on_sampled_and_evolved_states(
    reader: NativeReader, name: str, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    function, arguments = WORKLOADS[name]
    task = register_tensors(f"native_builder_{name}_{target}", function(*arguments), target)
    states = inferred(task, search(task))
    assert len(states) >= SAMPLED
    python = StageGraphBuilder(task)
    native, expected = NativeStageGraphBuilder(task, reader).build_natively(states), python.build(states)
    assert graph_difference(native, expected) is None
    assert native.readable.all() and not warnings_of(caplog)
    from_nests = NativeGraphWriter(python.hardware, _native).write([python.loop_nest(state) for state in states])
    assert graph_difference(from_nests.built, expected) is None


def test_rfactor_is_among_the_states(reader: NativeReader) -> None:
    task = register_tensors("native_builder_rfactor", chains.attention(1, 16, 64))
    states = inferred(task, search(task, seed=3))
    structures = {read_schedule(task, state).structure() for state in states}
    assert any(any(structure.rfactors) for structure in structures) and len(structures) > 1
    native = NativeStageGraphBuilder(task, reader).build_natively(states)
    assert graph_difference(native, StageGraphBuilder(task).build(states)) is None


def test_bounds_are_inferred_where_they_are_missing(reader: NativeReader, norm: tuple[Any, list[Any]]) -> None:
    task, states = norm
    raw = search(task)
    assert len(raw) == len(states)
    mixed = [raw[i] if i % 2 else states[i] for i in range(len(states))]
    expected = StageGraphBuilder(task).build(mixed)
    assert expected.readable.all()
    assert graph_difference(NativeStageGraphBuilder(task, reader).build_natively(mixed), expected) is None


def test_a_skipped_stage_keeps_its_missing_bounds(reader: NativeReader) -> None:
    task = register_tensors("native_builder_skip", te_workload.norm_bmn(1, 8, 8))
    state = task.compute_dag.get_init_state()
    last = len(state.stages) - 1
    state.compute_at(last - 1, last, state.stages[last].iters[0])
    state.pragma(last - 1, state.stages[last - 1].iters[0], "debug_skip_region")
    native = NativeStageGraphBuilder(task, reader).build([state])
    assert graph_difference(native, StageGraphBuilder(task).build([state])) is None


def test_foreign_objects_are_left_out_and_counted_once(
    reader: NativeReader, norm: tuple[Any, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    task, states = norm
    foreign = [None, object(), "state", tvm.tir.IntImm("int32", 1), tvm.target.Target("llvm")]
    mixed = [states[0], *foreign, states[1]]
    expected = StageGraphBuilder(task).build(mixed)
    [python_warning] = warnings_of(caplog)
    caplog.clear()
    native = NativeStageGraphBuilder(task, reader).build_natively(mixed)
    assert graph_difference(native, expected) is None
    assert native.readable.tolist() == [True, *[False] * len(foreign), True]
    assert warnings_of(caplog) == [python_warning]
    assert f"{len(foreign)} of {len(mixed)} states" in python_warning


def test_foreign_objects_in_an_array_are_left_out(reader: NativeReader, norm: tuple[Any, list[Any]]) -> None:
    task, states = norm
    foreign = [tvm.tir.IntImm("int32", 1), tvm.target.Target("llvm"), None]
    array = tvm.runtime.convert([*foreign, states[0].state_object])
    native = NativeStageGraphBuilder(task, reader).build_natively(array)
    assert native.readable.tolist() == [False, False, False, True]
    assert graph_difference(native, StageGraphBuilder(task).build(array)) is None


def test_a_state_whose_stages_cannot_be_read_is_left_out(
    reader: NativeReader, norm: tuple[Any, list[Any]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, states = norm
    structures = [read_schedule(task, state).structure() for state in states]
    bad = structures[0]
    builders = [NativeStageGraphBuilder(task, reader), StageGraphBuilder(task)]
    for builder in builders:
        read = builder._computations.read

        def refusing(structure: Structure, state: Any, read: Any = read) -> Computation:
            if structure == bad:
                raise ValueError("not today")
            return read(structure, state)

        monkeypatch.setattr(builder._computations, "read", refusing)
    native, python = (builder.build(states) for builder in builders)
    assert graph_difference(native, python) is None
    assert native.readable.tolist() == [structure != bad for structure in structures]
    warnings = warnings_of(caplog)
    assert len(warnings) == 2 and warnings[0] == warnings[1]


def test_no_states_are_no_graphs(reader: NativeReader, norm: tuple[Any, list[Any]]) -> None:
    task, _ = norm
    native = NativeStageGraphBuilder(task, reader).build_natively([])
    assert graph_difference(native, StageGraphBuilder(task).build([])) is None


def test_every_number_of_threads_gives_the_same(reader: NativeReader, norm: tuple[Any, list[Any]]) -> None:
    task, states = norm
    many: list[Any] = [states[i * i % len(states)] for i in range(300)]
    many[7] = many[205] = None
    one, four = (NativeStageGraphBuilder(task, reader, n_threads) for n_threads in (1, 4))
    assert graph_difference(four.build(many), one.build(many)) is None


def test_representatives_are_the_first_of_their_structure(reader: NativeReader, norm: tuple[Any, list[Any]]) -> None:
    task, states = norm
    many = [states[i % len(states)] for i in range(200)]
    structures = [read_schedule(task, state).structure() for state in states]
    first = sorted(structures.index(structure) for structure in set(structures))
    for n_threads in (1, 4):
        found = NativeStageGraphBuilder(task, reader, n_threads)._extract(many)
        assert set(found.status) == {StateStatus.NOT_REGISTERED} and found.unregistered.tolist() == first


def test_a_wrong_layout_means_python_and_a_warning(
    norm: tuple[Any, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    task, states = norm
    reader = NativeReader({"array_size": _native.LAYOUT_FIELDS["array_data"]})
    built = NativeStageGraphBuilder(task, reader).build(states)
    assert graph_difference(built, StageGraphBuilder(task).build(states)) is None
    [warning] = warnings_of(caplog)
    assert "through Python" in warning and "layout mismatch" in warning


def test_the_proof_notices_other_features(reader: NativeReader, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(proof_cases())
    assert first_graph_difference(reader, cases) is None
    encode = native_writer.encode_computation
    monkeypatch.setattr(native_writer, "encode_computation", lambda c: encode(c) | {"flop": encode(c)["flop"] + 1.0})
    difference = first_graph_difference(reader, cases)
    assert difference is not None and "body_instructions" in difference


def test_tables_that_do_not_fit_together_are_refused(reader: NativeReader, norm: tuple[Any, list[Any]]) -> None:
    task, states = norm
    builder = NativeStageGraphBuilder(task, reader)
    schedule = read_schedule(task, states[0])
    computation = builder.computation(schedule, states[0].state_object)
    nodes, edges = (table.astype(np.float32).ravel() for table in builder.writer.static_features(computation))
    tables = encode_computation(computation) | {"static_nodes": nodes, "static_edges": edges}
    for name, table in tables.items():
        shorter = table[:-1] if len(table) else np.zeros(1, table.dtype)
        with pytest.raises(ValueError, match="do not fit together"):
            _native.Computation(**tables | {name: shorter})
    for name in ("stages", "edges", "accesses"):
        with pytest.raises(ValueError, match="do not fit together"):
            _native.Computation(**tables | {name: tables[name] - 1000})
    _native.Computation(**tables)


def test_another_schema_is_refused(reader: NativeReader, norm: tuple[Any, list[Any]], monkeypatch: Any) -> None:
    monkeypatch.setattr(_native, "SCHEMA_VERSION", -1)
    with pytest.raises(RuntimeError, match="built for schema -1"):
        NativeStageGraphBuilder(norm[0], reader)


def test_make_builder_takes_the_native_one_where_it_may(norm: tuple[Any, list[Any]]) -> None:
    assert isinstance(make_builder(norm[0]), NativeStageGraphBuilder)


def test_make_builder_takes_python_elsewhere(norm: tuple[Any, list[Any]], unusable: None) -> None:
    assert type(make_builder(norm[0])) is StageGraphBuilder


def test_data_dependent_reads_are_treated_alike(reader: NativeReader) -> None:
    table = te.placeholder((64, 16), name="table")
    ids = te.placeholder((32,), dtype="int32", name="ids")
    rows = te.compute((32, 16), lambda i, j: table[ids[i], j] * 2.0, name="rows")
    task = register_tensors("native_builder_gather", [table, ids, rows])
    states = inferred(task, search(task))
    native = NativeStageGraphBuilder(task, reader).build(states)
    assert graph_difference(native, StageGraphBuilder(task).build(states)) is None
