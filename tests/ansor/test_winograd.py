"""Relay computes some convolutions by Winograd's transformation, for auto_scheduler alone; untuned they are plain."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_build import compiled, function_names, record_of, same, untuned, write_log
from test_relay_axes import make_network, var
from tvm import relay

from tvm_gnn_cost.ansor.build import build_network
from tvm_gnn_cost.ansor.fused_functions import fused_functions
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.winograd import WINOGRAD, plain_convolutions
from tvm_gnn_cost.networks import Network
from tvm_gnn_cost.workloads import host_target


@pytest.fixture(scope="module")
def network() -> Network:
    """Two 3x3 convolutions of 72 channels, which auto_scheduler computes by Winograd's transformation."""
    x = var("x", 1, 6, 6, 8)
    first = relay.nn.relu(convolution(x, var("v", 3, 3, 8, 72)))
    return make_network(convolution(first, var("w", 3, 3, 72, 72)), {"v": (3, 3, 8, 72), "w": (3, 3, 72, 72)})


def convolution(data: relay.Expr, weights: relay.Expr) -> relay.Expr:
    layouts = {"data_layout": "NHWC", "kernel_layout": "HWIO"}
    return relay.nn.conv2d(data, weights, channels=72, kernel_size=(3, 3), padding=(1, 1), **layouts)


def test_a_convolution_without_a_record_is_compiled_as_it_is_untuned(network: Network) -> None:
    tasks, _ = network_tasks(network)
    plain = untuned(network)
    assert ["winograd" in task.desc for task in tasks] == [True, True], [task.desc for task in tasks]
    assert function_names(compiled(network, {}).library) == function_names(plain)
    one = compiled(network, {tasks[1].workload_key: record_of(tasks[1])})
    assert list(one.functions.values()) == [tasks[1].workload_key]
    names = function_names(one.library)
    assert sum("winograd" in name for name in names) == 1 and sum("conv2d" in name for name in names) == 2
    assert same(one.library, plain, network)


def test_a_record_is_compared_with_the_plain_convolution(network: Network, tmp_path: Path) -> None:
    tasks, _ = network_tasks(network)
    result = build_network(network, write_log(tmp_path / "log.json", tasks))
    assert all(task.untuned_s is not None and task.tuned_s is not None for task in result.tasks)


def test_the_plain_convolution_has_the_shape_of_the_winograd_one(network: Network) -> None:
    for function in fused_functions(network.mod, network.params, host_target(), "network"):
        assert WINOGRAD in function.operators
        plain = plain_convolutions(function.function)
        assert plain.ret_type == function.function.ret_type
        assert [var.name_hint for var in plain.params] == [var.name_hint for var in function.function.params]
        assert WINOGRAD not in str(plain) and "nn.conv2d" in str(plain)
