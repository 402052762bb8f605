"""The native reader reads what the Python reader reads, and is not used where it cannot."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_native = pytest.importorskip("tvm_gnn_cost._native")

import tvm  # noqa: E402
from tvm import auto_scheduler, te  # noqa: E402
from tvm.meta_schedule.testing import te_workload  # noqa: E402

from tvm_gnn_cost.ansor.native import trust  # noqa: E402
from tvm_gnn_cost.ansor.native.proof import stage_identities  # noqa: E402
from tvm_gnn_cost.ansor.native.reader import NativeReader  # noqa: E402
from tvm_gnn_cost.ansor.states.reader import read_schedule  # noqa: E402
from tvm_gnn_cost.ansor.states.schedule import UNDEFINED_EXTENT, UNKNOWN_EXTENT, Schedule, StepKind  # noqa: E402
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt  # noqa: E402
from tvm_gnn_cost.system import native_extension  # noqa: E402
from tvm_gnn_cost.testing.schedules import register_tensors  # noqa: E402

WORKLOADS = {
    "matmul": (te_workload.matmul, (64, 64, 128)),
    "norm": (te_workload.norm_bmn, (2, 64, 64)),
    "softmax": (te_workload.softmax_mn, (64, 128)),
    "conv_bn_relu": (te_workload.conv2d_nhwc_bn_relu, (1, 14, 14, 32, 32, 3, 1, 1)),
    "depthwise": (te_workload.depthwise_conv2d_nhwc, (1, 28, 28, 32, 3, 1, 1)),
    "transposed_conv": (te_workload.conv2d_transpose_nhwc, (1, 4, 4, 32, 16, 4, 2, 1)),
    "winograd": (te_workload.conv2d_winograd_nhwc, (1, 14, 14, 32, 32, 6)),
    "transpose_batch_matmul": (te_workload.transpose_batch_matmul, (1, 32, 4, 16)),
}
TARGETS = ("llvm -num-cores=4", "cuda -arch=sm_70")
SIZES = {
    "sample_init_min_population": 12,
    "evolutionary_search_population": 48,
    "evolutionary_search_num_iters": 2,
}


def search(task: Any, seed: int = 1) -> list[Any]:
    """Sampled and evolved states of the task, bound-inferred."""
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=SIZES, verbose=0, seed=seed)
    sampled = list(policy.sample_initial_population())
    evolved = list(policy.evolutionary_search(sampled, 24))
    assert sampled and evolved
    return [task.compute_dag.infer_bound_from_state(state) for state in sampled + evolved]


@pytest.fixture(scope="module")
def reader() -> NativeReader:
    return NativeReader()


@pytest.fixture(scope="module")
def matmul() -> tuple[Any, list[Any]]:
    task = register_tensors("native_matmul", te_workload.matmul(64, 64, 128), TARGETS[1])
    return task, search(task)


@pytest.mark.parametrize("target", TARGETS, ids=["cpu", "gpu"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_equals_the_python_reader_on_sampled_and_evolved_states(reader: NativeReader, name: str, target: str) -> None:
    function, arguments = WORKLOADS[name]
    task = register_tensors(f"native_{name}_{target}", function(*arguments), target)
    states = search(task)
    for state, (schedule, identities) in zip(states, reader.read(states), strict=True):
        assert schedule == read_schedule(task, state)
        assert identities == stage_identities(state)


def test_takes_states_state_objects_and_arrays(reader: NativeReader, matmul: tuple[Any, list[Any]]) -> None:
    _, states = matmul
    objects = [state.state_object for state in states]
    expected = reader.read_schedules(states)
    assert reader.read_schedules(objects) == expected
    assert reader.read_schedules(tvm.runtime.convert(objects)) == expected
    assert reader.read_schedules([]) == []


def test_every_number_of_threads_gives_the_same(reader: NativeReader, matmul: tuple[Any, list[Any]]) -> None:
    _, states = matmul
    many = [states[i % len(states)] for i in range(500)]
    expected = reader.read(many, n_threads=1)
    assert reader.read(many, n_threads=3) == expected
    assert reader.read(many) == expected


def test_equals_on_states_rebuilt_from_records(
    reader: NativeReader, matmul: tuple[Any, list[Any]], tmp_path: Path
) -> None:
    task, states = matmul
    log = tmp_path / "records.json"
    inputs = [auto_scheduler.MeasureInput(task, state) for state in states]
    results = [auto_scheduler.MeasureResult([0.1], 0, "", 0.1, 0.1) for _ in states]
    auto_scheduler.save_records(str(log), inputs, results)
    rebuilt = [
        auto_scheduler.measure.recover_measure_input(inp, rebuild_state=True).state
        for inp, _ in auto_scheduler.load_records(str(log))
    ]
    assert reader.read_schedules(rebuilt) == [read_schedule(task, state) for state in states]


def test_symbolic_extents_are_unknown(reader: NativeReader) -> None:
    a = te.placeholder((te.var("n"), 8), name="a")
    b = te.compute(a.shape, lambda i, j: a[i, j] + 1.0, name="b")
    task = register_tensors("native_symbolic", [a, b], TARGETS[0])
    state = task.compute_dag.get_init_state()
    [(schedule, identities)] = reader.read([state])
    assert schedule == read_schedule(task, state)
    assert [loop.extent for loop in schedule.stages[1].loops] == [UNKNOWN_EXTENT, 8]
    assert identities[0] == ("a", True, (UNKNOWN_EXTENT, 8), ())
    assert identities[1] == ("b", False, (UNKNOWN_EXTENT, 8), ())


def test_states_before_bound_inference_have_undefined_extents(reader: NativeReader) -> None:
    task = register_tensors("native_unbound", te_workload.conv2d_nhwc_bn_relu(1, 8, 8, 8, 8, 3, 1, 1), TARGETS[0])
    state = task.compute_dag.get_init_state()
    last = len(state.stages) - 1
    state.compute_at(last - 1, last, state.stages[last].iters[1])
    [schedule] = reader.read_schedules([state])
    assert schedule == read_schedule(task, state)
    assert schedule.stages[last - 1].attach == (last, 1)
    assert {loop.extent for loop in schedule.stages[last - 1].loops} == {UNDEFINED_EXTENT}


def test_fused_loops_of_a_scalar_stage(reader: NativeReader) -> None:
    a = te.placeholder((64,), name="a")
    k = te.reduce_axis((0, 64), name="k")
    total = te.compute((), lambda: te.sum(a[k], axis=k), name="total")
    root = te.compute((), lambda: te.sqrt(total()), name="root")
    task = register_tensors("native_scalar", [a, root], TARGETS[1])
    state = task.compute_dag.get_init_state()
    fused = state.fuse(2, [])
    state.bind(2, fused, "threadIdx.x")
    [schedule] = reader.read_schedules([state])
    assert schedule == read_schedule(task, state)
    assert [(loop.extent, loop.annotation) for loop in schedule.stages[2].loops] == [(1, Annotation.THREAD_X)]


def test_a_skipped_region_is_no_longer_attached(reader: NativeReader) -> None:
    task = register_tensors("native_skip", te_workload.norm_bmn(1, 8, 8), TARGETS[0])
    state = task.compute_dag.get_init_state()
    last = len(state.stages) - 1
    state.compute_at(last - 1, last, state.stages[last].iters[0])
    state.pragma(last - 1, state.stages[last - 1].iters[0], "debug_skip_region")
    [schedule] = reader.read_schedules([state])
    assert schedule == read_schedule(task, state)
    assert (schedule.stages[last - 1].compute_at, schedule.stages[last - 1].attach) == (ComputeAt.ITER, None)


def test_tile_sizes_not_yet_filled_in_are_unknown(reader: NativeReader) -> None:
    task = register_tensors("native_sketch", te_workload.matmul(16, 16, 16), TARGETS[0])
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=SIZES, verbose=0)
    splits = [
        step.values
        for schedule in reader.read_schedules(policy.generate_sketches())
        for step in schedule.steps
        if step.kind == StepKind.SPLIT
    ]
    assert splits and all(UNKNOWN_EXTENT in values for values in splits)


# --- wrong layouts ---


def test_foreign_objects_are_an_error(reader: NativeReader) -> None:
    with pytest.raises(RuntimeError, match=r"at Array<State>: expected auto_scheduler\.State, found IntImm"):
        reader.read_schedules(tvm.runtime.convert([tvm.tir.IntImm("int32", 1)]))
    with pytest.raises(RuntimeError, match=r"layout mismatch at Array<State>: .*\(it is Target\)"):
        reader.read_schedules(tvm.runtime.convert([tvm.target.Target("llvm")]))


def test_a_moved_field_is_an_error(matmul: tuple[Any, list[Any]]) -> None:
    with pytest.raises(RuntimeError, match=r"layout mismatch at Stage\.iters"):
        NativeReader({"stage_iters": _native.LAYOUT_FIELDS["stage_op"]}).read_schedules(matmul[1])


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown layout field no_such_field"):
        NativeReader({"no_such_field": 8}).read_schedules([])


MOVE_EVERY_FIELD = """
import os
from tvm_gnn_cost import _native
from tvm_gnn_cost.ansor.native.reader import NativeReader
from tvm_gnn_cost.ansor.native.proof import first_difference, proof_cases

cases = list(proof_cases())
assert first_difference(NativeReader(), cases) is None
for field, offset in _native.LAYOUT_FIELDS.items():
    for distance in (-8, 8):
        child = os.fork()
        if child == 0:  # may crash, which is also a way to fail
            try:
                os._exit(first_difference(NativeReader({field: offset + distance}), cases) is not None)
            except RuntimeError:
                os._exit(1)
        if os.waitpid(child, 0)[1] == 0:
            print(field)
"""


def test_the_proof_notices_every_field_that_moves() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, "-c", MOVE_EVERY_FIELD]
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert child.returncode == 0, child.stderr
    assert set(child.stdout.split()) <= {"array_capacity"}  # only ever compared with the size, as a bound


# --- whether it is used ---


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No verdict known, neither in this process nor on disk. The file that will hold it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(native_extension.SWITCH, raising=False)
    trust.is_usable.cache_clear()
    yield tmp_path / "tvm-gnn-cost" / "native-proved.json"
    trust.is_usable.cache_clear()


def proof_with(*arguments: str) -> Any:
    run_proof = trust.run_proof
    return lambda: run_proof(arguments)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_is_used_once_it_has_proved_itself(
    fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, matmul: tuple[Any, list[Any]]
) -> None:
    task, states = matmul
    loaded = NativeReader.load()
    assert loaded is not None and not warnings_of(caplog)
    assert loaded.read_schedules(states[:1]) == [read_schedule(task, states[0])]

    monkeypatch.setattr(trust, "run_proof", lambda: pytest.fail("the verdict was on disk"))
    trust.is_usable.cache_clear()
    assert len(json.loads(fresh.read_text())) == 1
    assert NativeReader.load() is not None


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        (("--move", "stage_storage_offset=40"), "hand-made, every step, state 0: another schedule"),
        (("--move", "state_stages=24"), "layout mismatch at State.stages"),
        (("--move", f"state_stages={2**30}"), "killed by signal"),
        (("--type", "auto_scheduler.Stage=1"), "layout mismatch at State.stages"),
        (("--libtvm", "/elsewhere/libtvm.so"), "is loaded here, not /elsewhere/libtvm.so"),
    ],
    ids=["wrong value", "wrong type", "crash", "wrong type index", "other library"],
)
def test_a_failed_proof_means_python_and_a_warning(
    fresh: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    argument: tuple[str, str],
    reason: str,
) -> None:
    monkeypatch.setattr(trust, "run_proof", proof_with(*argument))
    assert NativeReader.load() is None
    assert NativeReader.load() is None
    [warning] = warnings_of(caplog)
    assert reason in warning and "read through Python" in warning
    assert not fresh.exists()


def test_a_time_out_means_python_and_is_not_remembered(
    fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_extension, "PROOF_SECONDS", 0.01)
    assert NativeReader.load() is None
    assert "took more than" in warnings_of(caplog)[0]
    assert not fresh.exists()


def test_a_changed_installation_is_proved_again(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proofs: list[None] = []
    monkeypatch.setattr(trust, "run_proof", lambda: proofs.append(None))
    for key in ("one", "one", "two"):
        monkeypatch.setattr(trust, "_installation_key", lambda key=key: key)
        trust.is_usable.cache_clear()
        assert NativeReader.load() is not None
    assert len(proofs) == 2


def test_a_cache_that_cannot_be_used_does_no_harm(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "run_proof", lambda: None)
    fresh.parent.write_text("a file where the folder should be")
    assert NativeReader.load() is not None
    fresh.parent.unlink()
    fresh.parent.mkdir()
    for damaged in ("no json", "[3]", '{"key": 3}'):
        fresh.write_text(damaged)
        trust.is_usable.cache_clear()
        assert NativeReader.load() is not None


def test_can_be_turned_off(fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native_extension.SWITCH, "0")
    monkeypatch.setattr(trust, "run_proof", lambda: pytest.fail("turned off, but proved"))
    assert NativeReader.load() is None
    assert not warnings_of(caplog)


@pytest.mark.parametrize(("platform", "machine"), [("darwin", "arm64"), ("linux", "aarch64"), ("win32", "AMD64")])
def test_other_platforms_use_python(
    fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, platform: str, machine: str
) -> None:
    monkeypatch.setattr(native_extension.sys, "platform", platform)
    monkeypatch.setattr(native_extension.platform, "machine", lambda: machine)
    assert NativeReader.load() is None
    assert f"this is {platform} on {machine}" in warnings_of(caplog)[0]


def test_a_missing_extension_means_python(
    fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tvm_gnn_cost._native", None)
    assert NativeReader.load() is None
    assert "was not built" in warnings_of(caplog)[0]


def test_decoded_schedules_have_the_types_of_the_specification(
    reader: NativeReader, matmul: tuple[Any, list[Any]]
) -> None:
    schedule: Schedule = reader.read_schedules(matmul[1][:1])[0]
    assert all(isinstance(step.kind, StepKind) and isinstance(step.inner_to_outer, bool) for step in schedule.steps)
    assert all(type(loop.extent) is int for stage in schedule.stages for loop in stage.loops)


def test_the_proof_runs_beside_a_folder_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a clone where the package was installed elsewhere: its sources have no extension."""
    (tmp_path / "tvm_gnn_cost").mkdir()
    (tmp_path / "tvm_gnn_cost" / "__init__.py").write_text("raise ImportError('another package')\n")
    monkeypatch.chdir(tmp_path)
    assert trust.run_proof() is None
