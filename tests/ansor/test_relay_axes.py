"""Networks of matrix products can be tuned: TVM can pack the weights of their tasks, in the search and in the build."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import auto_scheduler, relay
from tvm.auto_scheduler import LayoutRewriteOption

from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.relay_axes import tunable_axes
from tvm_gnn_cost.networks import Network
from tvm_gnn_cost.networks.network import make_network as checked_network
from tvm_gnn_cost.testing.schedules import sample_states
from tvm_gnn_cost.workloads import parse_target

TARGET = "llvm -num-cores=2"
PACKED, PLAIN = LayoutRewriteOption.REWRITE_FOR_PRE_TRANSFORMED, LayoutRewriteOption.NO_REWRITE


def make_network(body: relay.Expr, weights: dict[str, tuple[int, ...]]) -> Network:
    mod = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function(relay.analysis.free_vars(body), body)))
    random = np.random.default_rng(0)
    params = {name: tvm.nd.array(random.standard_normal(shape).astype("float32")) for name, shape in weights.items()}
    return checked_network("made", mod, params)


def var(name: str, *shape: int) -> Any:
    return relay.var(name, shape=shape, dtype="float32")


def attention(seq: int = 16, width: int = 32, heads: int = 2) -> Network:
    """One head after another: dense layers with constant weights, and two products of what the network computes."""
    x = var("x", seq, width)

    def split(weight: str) -> Any:
        projected = relay.nn.bias_add(relay.nn.dense(x, var(weight, width, width)), var(f"{weight}_bias", width))
        return relay.transpose(relay.reshape(projected, (seq, heads, width // heads)), (1, 0, 2))

    query, key, value = (split(name) for name in "qkv")
    scores = relay.nn.softmax(relay.nn.batch_matmul(query, key))
    mixed = relay.nn.batch_matmul(scores, relay.transpose(value, (0, 2, 1)))
    joined = relay.reshape(relay.transpose(mixed, (1, 0, 2)), (seq, width))
    result = relay.nn.relu(relay.nn.dense(joined, var("w", 48, width)))
    square = dict.fromkeys("qkv", (width, width)) | {f"{name}_bias": (width,) for name in "qkv"}
    return make_network(result, {**square, "w": (48, width)})


def products(task: Any) -> bool:
    return "matmul" in str(task.compute_dag)


def builds(task: Any, state: Any) -> bool:
    try:
        tvm.build(*task.compute_dag.apply_steps_from_state(state, task.layout_rewrite_option), task.target)
        return True
    except tvm.TVMError:
        return False


@pytest.fixture(scope="module")
def tasks() -> list[Any]:
    return network_tasks(attention(), TARGET)[0]


def test_all_schedules_of_matrix_products_build(tasks: list[Any]) -> None:
    found = [task for task in tasks if products(task)]
    assert len(found) == 3  # the three projections are one task, and so are the two products of heads
    for task in found:
        assert all(builds(task, state) for state in sample_states(task, 4))


def test_constant_weights_are_packed_and_computed_ones_are_not(tasks: list[Any]) -> None:
    """To pack what the network computes would cost time in every run, time that no measurement of a task counts."""
    options = {
        str(task.compute_dag.tensors[1].shape): int(task.layout_rewrite_option) for task in tasks if products(task)
    }
    assert options == {"[32, 32]": PACKED, "[48, 32]": PACKED, "[2, 16, 16]": PLAIN}
    weight = make_network(relay.nn.dense(var("x", 8, 16), var("w", 8, 16)), {})  # no constant: an input of the network
    assert [int(task.layout_rewrite_option) for task in network_tasks(weight, TARGET)[0]] == [PLAIN]


def test_a_product_with_itself_keeps_its_layout() -> None:
    """TVM ends the process where a tensor of free layout is no placeholder."""
    x = var("x", 8, 8)
    (task,), _ = network_tasks(make_network(relay.nn.dense(x, x), {}), TARGET)
    assert builds(task, sample_states(task, 1)[0])


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_every_matmul_has_axes_that_can_be_told_apart(transpose_a: bool, transpose_b: bool) -> None:
    a, b = (12, 8) if transpose_a else (8, 12), (16, 12) if transpose_b else (12, 16)
    body = relay.nn.matmul(var("x", *a), var("w", *b), transpose_a=transpose_a, transpose_b=transpose_b)
    (task,), _ = network_tasks(make_network(body, {"w": b}), TARGET)
    assert "(i, j) +=" in str(task.compute_dag)
    assert builds(task, sample_states(task, 1)[0])


def test_tasks_are_those_of_tvm_but_for_the_names() -> None:
    network = attention()
    ours, weights = network_tasks(network, TARGET)
    with tunable_axes():
        theirs, their_weights = auto_scheduler.extract_tasks(network.mod, network.params, parse_target(TARGET))
    expected = {task.workload_key: int(weight) for task, weight in zip(theirs, their_weights, strict=True)}
    assert {task.workload_key: weight for task, weight in zip(ours, weights, strict=True)} == expected


def test_gpu_tasks_keep_the_names_that_logs_know() -> None:
    target = "cuda -arch=sm_80 -max_shared_memory_per_block=49152 -max_threads_per_block=1024"
    tasks, _ = network_tasks(make_network(relay.nn.dense(var("x", 64, 32), var("w", 48, 32)), {"w": (48, 32)}), target)
    assert "(i0, i1)" in str(tasks[0].compute_dag) and int(tasks[0].layout_rewrite_option) == PLAIN


def test_topi_is_itself_again() -> None:
    from tvm.topi import nn

    before = nn.matmul, nn.dense
    with pytest.raises(KeyError), tunable_axes():
        raise KeyError
    assert (nn.matmul, nn.dense) == before


def test_a_function_that_cannot_be_scheduled_is_named(caplog: pytest.LogCaptureFixture) -> None:
    strange = relay.nn.conv1d(var("x", 4, 1, 8), var("c", 4, 4, 3), data_layout="CNW", kernel_size=3, channels=4)
    body = relay.nn.dense(relay.reshape(strange, (4, 6)), var("w", 8, 6))
    tasks, _ = network_tasks(make_network(body, {"c": (4, 4, 3), "w": (8, 6)}), TARGET)
    assert len(tasks) == 1 and products(tasks[0])
    assert "nn.conv1d" in caplog.text and "CNW" in caplog.text
