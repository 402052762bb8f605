"""Networks of one's own: their tasks, and `tune_module`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import tvm
from built_networks import IMAGE, conv_net
from torch import Tensor, nn
from tvm import auto_scheduler, relay
from tvm.auto_scheduler import XGBModel

import tvm_gnn_cost
from tvm_gnn_cost import InvalidArgumentError, WorkloadError, tune_module
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.relay_axes import tunable_axes
from tvm_gnn_cost.networks import load_network
from tvm_gnn_cost.networks.network import Network, make_network
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions

TARGET = "llvm -num-cores=2"
SMALL_SEARCH: dict[str, Any] = {"evolutionary_search_population": 16, "evolutionary_search_num_iters": 1}


def odd_network(*layouts: str) -> Network:
    """A dense layer with a softmax, and convolutions in layouts that TVM may not have for a CPU."""
    x, w = relay.var("x", shape=(4, 16)), relay.var("w", shape=(8, 16))
    data, kernel = relay.var("data", shape=(4, 8, 8, 1)), relay.var("kernel", shape=(4, 3, 3, 4))
    outputs = [relay.nn.softmax(relay.nn.dense(x, w))]
    for layout in layouts:
        outputs.append(
            relay.nn.conv2d(data, kernel, kernel_size=3, channels=4, data_layout=layout, kernel_layout="IHWO")
        )
    arguments = [x, w, data, kernel] if layouts else [x, w]
    return make_network("odd", tvm.IRModule.from_expr(relay.Function(arguments, relay.Tuple(outputs))), {})


def test_the_tasks_are_those_that_tvm_extracts() -> None:
    network = load_network("mlp")
    found, weights = network_tasks(network, TARGET)
    with tunable_axes():
        tasks, expected = auto_scheduler.extract_tasks(network.mod, network.params, tvm.target.Target(TARGET))
    assert {t.workload_key: w for t, w in zip(found, weights, strict=True)} == {
        t.workload_key: w for t, w in zip(tasks, expected, strict=True)
    }
    assert [str(t.layout_rewrite_option) for t in found] == [str(t.layout_rewrite_option) for t in tasks]


def test_an_operator_that_cannot_be_scheduled_is_named_and_the_rest_is_tuned(caplog: pytest.LogCaptureFixture) -> None:
    """TVM's own function gives no task at all then."""
    with caplog.at_level(logging.WARNING, logger="tvm_gnn_cost"):
        tasks, weights = network_tasks(odd_network("CHWN"), TARGET)
    (record,) = [r for r in caplog.records if r.name == "tvm_gnn_cost"]
    assert "odd: TVM cannot schedule nn.conv2d (Unsupported conv2d layout CHWN for x86)" in record.getMessage()
    alone, ones = network_tasks(odd_network(), TARGET)
    assert sorted(t.workload_key for t in tasks) == sorted(t.workload_key for t in alone) and weights == ones


def test_a_network_without_any_task_says_why() -> None:
    data = relay.var("data", shape=(2, 3))
    nothing = make_network("sum", tvm.IRModule.from_expr(relay.Function([data], data + data)), {})
    with pytest.raises(WorkloadError, match="sum holds no task that can be tuned"):
        network_tasks(nothing, TARGET)


def test_tune_module_tunes_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def run(trials: int, **options: Any) -> Any:
        return tune_module(
            conv_net(),
            IMAGE,
            layout="NHWC",
            trials=trials,
            model=XGBModel(seed=1),
            options=TuneOptions(trials_per_round=4, measure=MeasureOptions(repeat=1, min_repeat_ms=1)),
            search_params=SMALL_SEARCH,
            **options,
        )

    tuned = run(4)
    assert tuned.network.name == "ConvNet" and "NHWC" in str(tuned.network.mod)
    assert tuned.tuning.log_file == "ConvNet.json" and len(tuned.tuning.trials) == 4
    assert len(tuned.tasks) == len(tuned.tuning.weights) >= 3
    built = tuned.build()
    assert built.difference is not None and built.difference < 1e-4
    assert built.untuned_s is not None and built.untuned_s > 0
    with pytest.raises(InvalidArgumentError, match="already holds records"):
        run(8)
    assert run(6, resume=True).tuning.resumed == 4


def test_tune_module_needs_tensors_and_a_module_that_can_be_imported() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.lgamma(x)

    with pytest.raises(WorkloadError, match="these operators of Odd: aten::lgamma"):
        tune_module(Odd(), torch.ones(2))
    with pytest.raises(InvalidArgumentError, match="trials is 0"):
        tune_module(conv_net(), IMAGE, trials=0)
    assert "tune_module" in tvm_gnn_cost.__all__
