"""The network that ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.pools import read_pools
from tvm_gnn_cost.learning import TrainerConfig, pairwise_accuracy
from tvm_gnn_cost.learning.starting import shipped_checkpoint
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import make_task, measured, sample_states

POOLS = Path(__file__).parents[2] / "benchmarks" / "data" / "emeraldrapids"


@pytest.mark.parametrize("target", ["llvm", "cuda"])
def test_both_kinds_of_targets_start_warm(target: str) -> None:
    task = make_task("conv2d_bn_relu", target)
    states = sample_states(task, 8)
    model = GNNCostModel()
    scores = model.predict(task, states)
    assert model.is_warm and model.num_records == 0
    np.testing.assert_array_equal(scores, GNNCostModel(seed=5).predict(task, states))
    can_run = np.isfinite(scores)
    assert can_run.sum() >= 4 and (model.predict_latency(task, states)[can_run] > 0).all()
    model.update(*measured(task, states, 1e-3 * random_costs(len(states))))
    assert model.num_records == len(states)


def test_options_of_the_learner_hold_with_a_pretrained_network() -> None:
    task = make_task("matmul")
    states = sample_states(task, 8)
    model = GNNCostModel(config=TrainerConfig(max_steps_per_update=3))
    model.update(*measured(task, states, random_costs(len(states))))
    assert model.last_update is not None and model.last_update.fit.steps == 3


def test_it_ranks_a_recorded_pool() -> None:
    """A pool that it was trained on: packaging, schema and scaling fit together."""
    (pool,) = read_pools([POOLS / "dense_relu-64x1024x512.json.gz"])
    prediction: Any = GNNCostModel(pretrained=shipped_checkpoint("cpu")).core.trainer.predict(pool.graphs, pool.task)
    assert pairwise_accuracy(prediction.relative_throughput, pool.latency) > 0.8
