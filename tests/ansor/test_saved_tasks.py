"""What is kept beside a log of its tasks, and that the log can be read with nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import auto_scheduler, te, topi

from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.ansor.task_store import keep_tasks, register_saved_tasks
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.logs.shards import read_logs
from tvm_gnn_cost.networks import load_network
from tvm_gnn_cost.records.logs import find_logs
from tvm_gnn_cost.records.saved_tasks import load_saved_tasks, tasks_path
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions
from tvm_gnn_cost.testing.schedules import sample_states
from tvm_gnn_cost.testing.state_sources import SPECIAL
from tvm_gnn_cost.workloads.registry import registry

TARGET = "llvm -num-cores=4"
QUICK = TuneOptions(2, 2, MeasureOptions(repeat=1, min_repeat_ms=1))


def scaled_rows(n: int, m: int) -> list[te.Tensor]:
    a, scale = te.placeholder((n, m), name="a"), te.placeholder((n,), name="scale")
    k = te.reduce_axis((0, m), name="k")
    total = te.compute((n,), lambda i: te.sum(a[i, k], axis=k), name="total")
    return [a, scale, te.compute((n, m), lambda i, j: a[i, j] * scale[i] / total[i], name="scaled")]


def changed_rows(n: int, m: int) -> list[te.Tensor]:
    a = te.placeholder((n, m), name="a")
    return [a, topi.nn.relu(a)]


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """What a test registers is forgotten."""
    before = dict(registry())
    yield
    registry().clear()
    registry().update(before)


def registered(function: Any, name: str = "rows", args: tuple[int, ...] = (32, 48)) -> Any:
    auto_scheduler.register_workload(name, f=function, override=True)
    return auto_scheduler.SearchTask(func=name, args=args, target=TARGET)


def log_of(path: Path, task: Any, count: int = 4) -> list[Any]:
    """A log with so many records of the task, its tasks kept beside it; its states."""
    states = sample_states(task, count)
    inputs = [auto_scheduler.MeasureInput(task, state) for state in states]
    results = [auto_scheduler.MeasureResult([1e-3 * (i + 1)], 0, "", 0.1, 0.0) for i in range(len(inputs))]
    append_records(path, inputs, results)
    keep_tasks(tasks_path(path), [task], [2.0], "a test", resumed=False)
    return states


def forget(task: Any) -> None:
    registry().pop(task.workload_key, None)
    registry().pop(json.loads(task.workload_key)[0], None)


@pytest.mark.parametrize("function", [*SPECIAL, scaled_rows], ids=lambda f: f.__name__)
def test_a_rebuilt_task_has_the_same_graphs_and_programs(function: Any, tmp_path: Path) -> None:
    args = (32, 48) if function is scaled_rows else ()
    task = registered(function, f"kept.{function.__name__}", args)
    states = log_of(tmp_path / "log.json", task)
    forget(task)

    register_saved_tasks(tmp_path / "log.json")
    rebuilt = auto_scheduler.SearchTask(workload_key=task.workload_key, target=TARGET)
    assert rebuilt.compute_dag.workload_key() == task.compute_dag.workload_key()
    inferred = [rebuilt.compute_dag.infer_bound_from_state(state) for state in states]
    assert [str(state) for state in inferred] == [str(state) for state in states]
    ours, theirs = make_builder(rebuilt).build(inferred).graphs, make_builder(task).build(states).graphs
    for name in ("node_features", "edge_features", "edge_index"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    for state in states[:2]:
        programs = [tvm.lower(*t.compute_dag.apply_steps_from_state(state), simple_mode=True) for t in (task, rebuilt)]
        assert str(programs[0]) == str(programs[1])


def test_a_log_is_read_with_what_is_kept_beside_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log.json"
    task = registered(scaled_rows)
    log_of(log, task)
    forget(task)
    assert len(read_records(log, rebuild=True)) == 4
    (kept,) = load_saved_tasks(log)
    assert (
        kept.name == "rows 32 48" and kept.weight == 2.0 and kept.source == "a test" and kept.target == str(task.target)
    )
    assert find_logs([tmp_path]) == [log]  # and not the file beside it
    assert find_logs(sorted(tmp_path.glob("*.json"))) == [log]
    assert not caplog.text


def test_without_it_the_error_says_what_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log.json"
    task = registered(scaled_rows)
    log_of(log, task)
    forget(task)
    tasks_path(log).unlink()
    assert len(read_records(log)) == 0
    assert "'rows' is not registered, and log.tasks.json" in caplog.text and "copy it there" in caplog.text


def test_a_network_is_read_in_another_process(tmp_path: Path) -> None:
    tasks, weights = network_tasks(load_network("mlp"), TARGET)
    log = tmp_path / "mlp.json"
    inputs = [auto_scheduler.MeasureInput(task, sample_states(task, 1)[0]) for task in tasks]
    append_records(log, inputs, [auto_scheduler.MeasureResult([1e-3], 0, "", 0.1, 0.0)] * len(inputs))
    keep_tasks(tasks_path(log), tasks, weights, "mlp", resumed=False)
    script = (
        "import sys; from pathlib import Path; from tvm_gnn_cost.ansor.pools import read_pools\n"
        "print(sum(len(pool) for pool in read_pools([sys.argv[1]])))"
    )
    found = subprocess.run([sys.executable, "-c", script, str(log)], capture_output=True, text=True, check=True)
    assert int(found.stdout) == len(tasks), found.stderr


def test_shards_are_made_again_when_the_tasks_come(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    task = registered(scaled_rows)
    log_of(log, task)
    forget(task)
    kept = tasks_path(log).read_bytes()
    tasks_path(log).unlink()
    assert [len(shard) for shard in read_logs([log], tmp_path / "graphs")] == [0]
    tasks_path(log).write_bytes(kept)
    assert [len(shard) for shard in read_logs([log], tmp_path / "graphs")] == [4]


def damaged(text: str, how: str) -> str:
    content = json.loads(text)
    if how == "truncated":
        return text[: len(text) // 2]
    if how == "another file":
        return '{"hello": 1}'
    if how == "another schema":
        return json.dumps(content | {"schema": 99})
    entry = content["tasks"][0]
    if how == "tensors changed":
        entry["tensors"] = entry["tensors"].replace('"0"', '"7"', 1)
    elif how == "a field lost":
        del entry["computation"]
    elif how == "a number beyond floats":
        entry["flop"] = 10**400
    else:
        content["tasks"][0] = 5
    return json.dumps(content)


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "another file",
        "another schema",
        "tensors changed",
        "a field lost",
        "an entry of a number",
        "a number beyond floats",
    ],
)
def test_what_is_damaged_is_left_out(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log.json"
    rows, relu = registered(scaled_rows), registered(changed_rows, "relu")
    log_of(log, relu, 1)
    log_of(log, rows)
    keep_tasks(tasks_path(log), [rows, relu], [1.0, 1.0], resumed=False)
    path = tasks_path(log)
    path.write_text(damaged(path.read_text(), how))
    for task in (rows, relu):
        forget(task)
    left = 0 if how in ("truncated", "another file", "another schema") else 1
    assert len(read_records(log)) == left
    assert "log.tasks.json is damaged" in caplog.text


def test_a_resumed_log_keeps_its_tasks_and_refuses_another_computation(tmp_path: Path) -> None:
    from tvm_gnn_cost.ansor.cost_model import GNNCostModel

    log = tmp_path / "log.json"
    cold = GNNCostModel(pretrained=None, device="cpu")
    small = {"evolutionary_search_population": 8, "sample_init_min_population": 4}
    tune_tasks([registered(scaled_rows)], cold, log, QUICK, search_params=small)
    assert [kept.name for kept in load_saved_tasks(log)] == ["rows 32 48"]
    tune_tasks([registered(changed_rows, "relu")], cold, log, QUICK, resume=True, search_params=small)
    assert [kept.name for kept in load_saved_tasks(log)] == ["rows 32 48", "relu 32 48"]
    with pytest.raises(RecordError, match="rows 32 48 computes something else than when"):
        tune_tasks([registered(changed_rows)], cold, log, QUICK, resume=True)


def test_a_changed_function_reads_none_of_the_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log_of(tmp_path / "log.json", registered(scaled_rows))
    registered(changed_rows)
    assert len(read_records(tmp_path / "log.json")) == 0
    assert "computes something else here than when it was measured" in caplog.text


def test_nothing_is_kept_of_the_packages_own_workloads(tmp_path: Path) -> None:
    keep_tasks(tasks_path(tmp_path / "log.json"), [make_task("matmul", (8, 8, 8), TARGET)], [1.0], resumed=False)
    assert not tasks_path(tmp_path / "log.json").exists()
