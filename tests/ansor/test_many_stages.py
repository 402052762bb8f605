"""A task of sixty stages: read, scored and measured like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import te, tir

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions
from tvm_gnn_cost.testing.schedules import register_tensors, sample_states

STAGES = 60


def chain() -> list[Any]:
    """x, then 56 elementwise stages, a row sum, a division by it, and one more: 60 with the input."""
    x = te.placeholder((32, 48), name="x")
    value = x
    for i in range(STAGES - 4):
        value = rooted(value, i)
    k = te.reduce_axis((0, 48), "k")
    total = te.compute((32,), lambda a: te.sum(value[a, k], k), "total")
    scaled = te.compute((32, 48), lambda a, b: value[a, b] / total[a], "scaled")
    return [x, te.compute((32, 48), lambda a, b: tir.tanh(scaled[a, b]), "out")]


def rooted(value: Any, number: int) -> Any:
    return te.compute((32, 48), lambda a, b: tir.sqrt(value[a, b] + float(number + 1)), f"s{number}")


@pytest.fixture(scope="module")
def task() -> Any:
    return register_tensors('["sixty_stages"]', chain(), "llvm")


def test_every_stage_is_in_the_graph(task: Any) -> None:
    states = sample_states(task, 8)
    built = StageGraphBuilder(task).build(states)
    assert all(count >= STAGES for count in np.diff(built.graphs.node_ptr))
    assert np.isfinite(built.graphs.node_features).all()
    scores = GNNCostModel().predict(task, states)
    assert len(scores) == 8 and np.isfinite(scores).any()


def test_it_is_tuned(task: Any, tmp_path: Path) -> None:
    options = TuneOptions(trials=2, trials_per_round=2, measure=MeasureOptions(repeat=1, min_repeat_ms=1))
    population = {"evolutionary_search_population": 16, "sample_init_min_population": 8}
    result = tune_tasks([task], GNNCostModel(), tmp_path / "log.json", options, search_params=population)
    assert len(result.trials) == 2 and result.best_latency_s[0] is not None
