"""A search in which no schedule can run ends, says so once, and its measurements fail."""

from __future__ import annotations

import logging
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor import search_guard, validity
from tvm_gnn_cost.ansor.search_guard import PASSING_SCORE, PATIENCE, PATIENCE_ONCE_ACCEPTED, SearchGuard
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.records.tuning_run import TuneOptions
from tvm_gnn_cost.testing.schedules import make_task

SMALL = {
    "sample_init_min_population": 8,
    "evolutionary_search_population": 16,
    "evolutionary_search_num_iters": 1,
}


class SmallSearch(GNNCostModel):
    """A cost model that asks for small populations."""

    search_params = MappingProxyType(SMALL)


def search(task: Any, model: Any, **params: Any) -> Any:
    return auto_scheduler.SketchPolicy(task, model, params=SMALL | params, seed=3, verbose=0)


@pytest.fixture
def nothing_can_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """No state can be read, and TVM builds none; how many it was asked about, call by call."""
    asked: list[int] = []

    def lowers(states: list[Any], _task: Any) -> Any:
        asked.append(len(states))
        return np.zeros(len(states), bool)

    monkeypatch.setattr(StageGraphBuilder, "build", lambda _, states: BuiltGraphs.unreadable(len(states)))
    monkeypatch.setattr("tvm_gnn_cost.ansor.cost_model.make_builder", StageGraphBuilder)
    monkeypatch.setattr(validity, "lowers", lowers)
    return asked


@pytest.mark.parametrize("population", [16, 2048])
def test_a_task_without_a_schedule_that_runs_ends(
    nothing_can_run: list[int], caplog: pytest.LogCaptureFixture, population: int
) -> None:
    model = GNNCostModel(None, device="cpu")
    with caplog.at_level(logging.WARNING):
        policy = search(make_task("matmul"), model, evolutionary_search_population=population)
        states = policy.sample_initial_population()
    assert len(states) >= 8 and len(search(make_task("matmul"), model).evolutionary_search(states, 8)) == 8
    assert sum(nothing_can_run) < 3 * PATIENCE, "states of a task that is given up are not all judged"
    assert sum("can run" in record.message for record in caplog.records) == 1


def test_what_passes_is_minus_infinity_for_everybody_else(nothing_can_run: list[int]) -> None:
    task, model = make_task("matmul"), GNNCostModel(None, device="cpu")
    states = list(search(task, model).sample_initial_population())
    assert np.isneginf(model.predict(task, states)).all()


def test_tuning_ends_where_nothing_can_run(nothing_can_run: list[int], tmp_path: Path) -> None:
    """Though there is another cost model around ours. The measurements say what they say: these schedules do run."""
    task, model = make_task("matmul"), SmallSearch(None, device="cpu")
    result = tune_tasks([task], model, tmp_path / "log.json", TuneOptions(trials=4, trials_per_round=2))
    assert len((tmp_path / "log.json").read_text().splitlines()) == 4 and np.isfinite(result.best_latency_s[0])


def test_a_task_is_given_up_after_so_many_states_and_taken_up_again() -> None:
    guard = SearchGuard("a task")
    runs: set[int] = set()

    def predict(states: Any) -> Any:
        return np.array([1.0 if state in runs else -np.inf for state in states])

    assert np.isneginf(guard.scores(range(PATIENCE - 1), predict)).all()
    assert (guard.scores(range(4), predict) == PASSING_SCORE).all()
    assert (guard.scores(range(4), predict) == PASSING_SCORE).all()
    runs.add(2)
    assert guard.scores(range(4), predict).tolist() == [-np.inf, -np.inf, 1.0, -np.inf]
    runs.clear()
    assert np.isneginf(guard.scores(range(PATIENCE_ONCE_ACCEPTED - 1), predict)).all(), "it had one that runs"
    assert (guard.scores(range(1), predict) == PASSING_SCORE).all()
    assert guard.scores([], predict).tolist() == []


def test_a_task_whose_states_come_slowly_is_given_up_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = SearchGuard("slow")

    def predict(states: Any) -> Any:
        return np.full(len(states), -np.inf)

    assert np.isneginf(guard.scores(range(1), predict)).all()
    assert np.isneginf(guard.scores(range(1), predict)).all()
    monkeypatch.setattr(search_guard, "PATIENCE_SECONDS", 0.0)
    assert (guard.scores(range(1), predict) == PASSING_SCORE).all()
