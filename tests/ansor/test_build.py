"""A network is compiled with the best records of a log, computes the same, and is never slower than untuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from test_relay_axes import PACKED, attention, make_network, var
from tvm import relay
from tvm.contrib import graph_executor

from tvm_gnn_cost import RecordError, WorkloadError
from tvm_gnn_cost.ansor import build as building
from tvm_gnn_cost.ansor.build import build_network
from tvm_gnn_cost.ansor.build_result import NO_RECORD, RECORD, SLOWER, BuildResult
from tvm_gnn_cost.ansor.fused_functions import fused_functions
from tvm_gnn_cost.ansor.network_runs import difference, random_inputs
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.record_log import append_records
from tvm_gnn_cost.ansor.relay_records import TaskRecord, best_records, compile_untuned, compile_with_records
from tvm_gnn_cost.errors import BuildError
from tvm_gnn_cost.networks import Network, without_downloads
from tvm_gnn_cost.testing.schedules import measured, sample_states
from tvm_gnn_cost.workloads import host_target


@pytest.fixture(scope="module")
def network() -> Network:
    """Two tasks: a dense layer with a constant weight, and a product of what the network computes."""
    x = var("x", 16, 32)
    hidden = relay.nn.relu(relay.nn.dense(x, var("w", 48, 32)))
    scores = relay.nn.batch_matmul(relay.expand_dims(hidden, 0), relay.expand_dims(hidden, 0))
    return make_network(scores, {"w": (48, 32)})


@pytest.fixture(scope="module")
def tasks(network: Network) -> list[Any]:
    return network_tasks(network)[0]


@pytest.fixture(scope="module")
def plain(network: Network) -> Any:
    """The untuned build."""
    return untuned(network)


def record_of(task: Any) -> TaskRecord:
    return TaskRecord(sample_states(task, 1)[0].state_object, 1e-3, int(task.layout_rewrite_option) == PACKED)


def write_log(path: Path, tasks: list[Any], cost: float = 1e-9, error_no: int = 0) -> Path:
    for task in tasks:
        append_records(path, *measured(task, sample_states(task, 1), [cost], error_no))
    return path


def run(library: Any, network: Network) -> list[np.ndarray]:
    module = graph_executor.GraphModule(library["default"](tvm.cpu()))
    module.run(**random_inputs(network.mod, network.params))
    return [module.get_output(i).numpy() for i in range(module.get_num_outputs())]


def compiled(network: Network, records: dict[str, TaskRecord]) -> Any:
    with without_downloads():
        return compile_with_records(network.mod, network.params, host_target(), records)


def untuned(network: Network) -> Any:
    with without_downloads():
        return compile_untuned(network.mod, network.params, host_target())


def function_names(library: Any) -> list[str]:
    nodes = json.loads(library.get_graph_json())["nodes"]
    return sorted(node["attrs"]["func_name"] for node in nodes if node["op"] == "tvm_op")


def same(library: Any, plain: Any, network: Network) -> bool:
    pairs = zip(run(library, network), run(plain, network), strict=True)
    return all(difference(ours, expected) < 1e-5 for ours, expected in pairs)


def test_every_task_is_compiled_with_its_record() -> None:
    """Extraction and compilation agree on the keys, and packed weights are known again."""
    network = attention()
    records = {task.workload_key: record_of(task) for task in network_tasks(network)[0]}
    made = compiled(network, records)
    assert set(made.functions.values()) == set(records) and len(records) == 4
    assert set(made.functions) <= set(function_names(made.library))
    assert same(made.library, untuned(network), network)


def test_what_has_no_record_stays_untuned(network: Network, tasks: list[Any], plain: Any) -> None:
    """Not auto_scheduler's definition with a naive schedule: the very functions of the untuned build."""
    assert function_names(compiled(network, {}).library) == function_names(plain)
    assert any("contrib_dense_pack" in name for name in function_names(plain))
    dense, product = tasks
    only_product = compiled(network, {product.workload_key: record_of(product)})
    assert list(only_product.functions.values()) == [product.workload_key]
    assert any("contrib_dense_pack" in name for name in function_names(only_product.library))
    only_dense = compiled(network, {dense.workload_key: record_of(dense)})
    assert list(only_dense.functions.values()) == [dense.workload_key]
    assert not any("contrib_dense_pack" in name for name in function_names(only_dense.library))
    assert same(only_product.library, plain, network) and same(only_dense.library, plain, network)


def test_one_operator_in_two_functions_is_tuned_in_both_or_in_none() -> None:
    """Whether an operator is tuned is decided before Relay divides the network into functions."""
    x = var("x", 8, 16)
    body = relay.Tuple(
        [relay.nn.relu(relay.nn.dense(x, var("v", 16, 16))), relay.nn.dense(relay.sqrt(x), var("w", 16, 16))]
    )
    network = make_network(body, {"v": (16, 16), "w": (16, 16)})
    tasks, _ = network_tasks(network)
    made = compiled(network, {tasks[0].workload_key: record_of(tasks[0])})
    assert function_names(made.library) == function_names(untuned(network)) and not made.functions


def test_a_record_that_does_not_apply_leaves_its_task_untuned(
    network: Network, tasks: list[Any], plain: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dense, product = tasks
    made = compiled(network, {product.workload_key: record_of(dense)})
    assert not made.functions and "cannot be applied" in caplog.text
    assert same(made.library, plain, network)


def test_build_says_what_each_task_is_scheduled_by(
    network: Network, tasks: list[Any], plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "alternated", lambda runners: [2.0, 1.0])
    result = build_network(network, write_log(tmp_path / "log.json", tasks[:1], cost=1e-9))
    first, second = result.tasks
    assert (second.schedule, second.record_s, second.tuned_s) == (NO_RECORD, None, None)
    assert first.record_s == 1e-9 and first.tuned_s is not None and first.untuned_s is not None
    assert first.schedule == (RECORD if first.tuned_s <= first.untuned_s else SLOWER)
    assert first.share is not None and second.share is not None and 0 < first.share < 1
    assert result.inputs == {"x": ((16, 32), "float32")} and result.unchecked is None
    assert result.difference is not None and result.difference < 1e-5
    result.export(tmp_path / "new" / "lib.so")
    assert same(tvm.runtime.load_module(str(tmp_path / "new" / "lib.so")), plain, network)
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="cannot be written"):
        result.export(tmp_path / "file" / "lib.so")


def test_slower_records_are_left_out(
    network: Network, tasks: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, product = tasks
    alone = {dense.workload_key: 1e-12, product.workload_key: 1.0}
    monkeypatch.setattr(building._Builder, "_time_tasks", lambda *_: (alone, dict.fromkeys(alone, 1e-3)))
    monkeypatch.setattr(building, "alternated", lambda runners: [2.0, 1.0])
    result = build_network(network, write_log(tmp_path / "log.json", tasks))
    assert [task.schedule for task in result.tasks] == [SLOWER, RECORD] and result.is_tuned
    assert [(task.tuned_s, task.untuned_s) for task in result.tasks] == [(1e-3, 1e-12), (1e-3, 1.0)]
    assert any("contrib_dense_pack" in name for name in function_names(result.library))


def test_a_slower_build_is_not_kept(
    network: Network, tasks: list[Any], plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building._Builder, "_time_tasks", lambda *_: ({}, {}))
    monkeypatch.setattr(building, "alternated", lambda runners: [1.0, 2.0])
    result: BuildResult = build_network(network, write_log(tmp_path / "log.json", tasks[:1]))
    assert not result.is_tuned and (result.untuned_s, result.tuned_s) == (1.0, 2.0)
    assert function_names(result.library) == function_names(plain)
    assert [task.schedule for task in result.tasks] == [SLOWER, NO_RECORD]


def test_code_for_another_processor_is_compiled_but_not_run(network: Network, tasks: list[Any], tmp_path: Path) -> None:
    target = "llvm -mtriple=aarch64-linux-gnu -num-cores=4"
    other = network_tasks(network, target)[0]
    result = build_network(network, write_log(tmp_path / "log.json", other), target)
    assert result.unchecked is not None and "does not run on this machine" in result.unchecked
    assert result.is_tuned and result.tuned_s is None and [task.schedule for task in result.tasks] == [RECORD, RECORD]
    result.export(tmp_path / "lib.tar")
    assert (tmp_path / "lib.tar").exists()


def test_other_outputs_are_an_error(
    network: Network, tasks: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "difference", lambda ours, expected: 0.5)
    with pytest.raises(BuildError, match="computes something else.*output 0 differs.* 0.5 of its largest value"):
        build_network(network, write_log(tmp_path / "log.json", tasks[:1]))


def test_difference_sees_every_kind_of_other_value() -> None:
    a = np.array([1.0, -4.0], np.float32)
    assert difference(a, a) == 0 and difference(a + np.float32(0.4), a) == pytest.approx(0.1)
    nan = np.array([np.nan, -4.0], np.float32)
    assert difference(nan, nan) == 0 and difference(nan, a) == difference(a, nan) == np.inf
    assert difference(a.astype(np.float64), a) == difference(a[:1], a) == np.inf


def test_logs_of_something_else_are_an_error(network: Network, tasks: list[Any], tmp_path: Path) -> None:
    other = make_network(relay.nn.dense(var("x", 4, 8), var("w", 6, 8)), {"w": (6, 8)})
    log = write_log(tmp_path / "other.json", network_tasks(other)[0])
    with pytest.raises(RecordError, match="none of its 1 records belongs to a task of made; it is the log of another"):
        build_network(network, log)
    with pytest.raises(RecordError, match="has records of made for llvm.*, none for llvm .*-num-cores=3"):
        build_network(network, write_log(tmp_path / "log.json", tasks[:1]), "llvm -num-cores=3")
    with pytest.raises(RecordError, match="all 1 measurements of tasks of made for .* failed"):
        build_network(network, write_log(tmp_path / "failed.json", tasks[:1], error_no=2))


def test_the_best_record_counts(tasks: list[Any], tmp_path: Path) -> None:
    task = tasks[0]
    states = sample_states(task, 3)
    append_records(tmp_path / "log.json", *measured(task, states, [3e-3, 1e-3, 2e-3]))
    (record,) = best_records(tmp_path / "log.json", [task.workload_key], task.target, "it").values()
    assert record.latency_s == pytest.approx(1e-3) and record.packs == (int(task.layout_rewrite_option) == PACKED)


def test_a_network_with_free_shapes_is_an_error() -> None:
    x = relay.var("x", shape=(relay.Any(), 4), dtype="float32")
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(relay.nn.relu(x)))
    with pytest.raises(WorkloadError, match="input 'x' is .*; only tensors of fixed shapes"):
        random_inputs(mod, {})


def test_functions_are_named_once_each() -> None:
    network = attention()
    functions = fused_functions(network.mod, network.params, host_target(), network.name)
    assert len({function.name for function in functions}) == len(functions)
    assert sum(function.uses for function in functions) == 11
