"""From runs to statistics, tables and plots."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import assert_drawn
from rich.console import Console

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.head_to_head import HeadToHead
from tvm_gnn_cost.evaluation.held_out import HeldOut
from tvm_gnn_cost.evaluation.results import encode
from tvm_gnn_cost.evaluation.runner import Evaluation
from tvm_gnn_cost.evaluation.runs import HELD_OUT, REPLAY, UNSEEN, Plan, Run
from tvm_gnn_cost.evaluation.statistics import Statistic, spread
from tvm_gnn_cost.evaluation.summary import Summary, summarise
from tvm_gnn_cost.report.evaluation_plots import calibration_figure, figures, learning_figure, search_figure
from tvm_gnn_cost.report.evaluation_tables import experiment_tables

from .problems import make_pool, make_problem

LATENCY = np.arange(1.0, 21.0)
READINGS = [[v, 1.1 * v] for v in LATENCY]
PROBLEMS = [make_problem(make_pool(name, LATENCY, readings=READINGS)) for name in ("a-1", "b-1")]


def found(latency: np.ndarray[Any, Any], factor: float) -> dict[str, Any]:
    """A model that ranks perfectly and predicts `factor` times the latency."""
    return encode(HeldOut(64, 1.0, 1 / latency, factor * latency, latency))


def evaluation(runs: Sequence[tuple[Run, Mapping[str, Any]]], skipped: tuple[str, ...] = ()) -> Evaluation:
    numbered = [(replace(run, key=str(i)), values) for i, (run, values) in enumerate(runs)]
    return Evaluation(Plan((), tuple(c for c, _ in numbered), skipped), {c.key: v for c, v in numbered})


def held_out_runs(model: str, factors: Mapping[int, Sequence[float]]) -> list[tuple[Run, Mapping[str, Any]]]:
    """By seed, the factor of each problem."""
    return [
        (Run("", HELD_OUT, model, seed, "all", i, sizes=(64,)), {"held_out": [found(LATENCY, factor)]})
        for seed, of_pool in factors.items()
        for i, factor in enumerate(of_pool)
    ]


def replay_runs(model: str, trials: Mapping[int, Sequence[int]]) -> list[tuple[Run, Mapping[str, Any]]]:
    """By seed, the trials to the best of each problem; before, half of it."""
    return [
        (Run("", REPLAY, model, seed, "all", i), {"records": 40, "relative": [0.5] * (count - 1) + [1.0]})
        for seed, of_pool in trials.items()
        for i, count in enumerate(of_pool)
    ]


def unseen_runs(model: str, workloads: int, flips: int, *, whole: bool) -> list[tuple[Run, Mapping[str, Any]]]:
    latency = LATENCY.copy()
    scores = np.concatenate([latency[:flips], -latency[flips:]])
    held_out = HeldOut(0, math.inf, scores, np.full(20, math.nan), latency)
    return [
        (
            Run("", UNSEEN, model, 0, "all", i, novelty=novelty, workloads=workloads, whole=whole),
            {"held_out": [encode(held_out)]},
        )
        for i, novelty in enumerate(("unseen shape", "unseen operator"))
    ]


def statistic(summary: Summary, experiment: str, setting: str, metric: str, model: str) -> Statistic:
    (one,) = [f for f in summary.of(experiment) if (f.setting, f.metric, f.method) == (setting, metric, model)]
    return one


def test_spread_is_of_the_means_of_seeds() -> None:
    assert spread({0: [1.0, 3.0], 1: [4.0, math.nan], 2: [9.0, 9.0, 9.0]}) == (4.0, 2.0, 9.0, 3, 3)
    assert spread({0: [math.nan], 1: []}) is None


def test_errors_stand_beside_the_baseline_and_the_noise() -> None:
    runs = held_out_runs("gnn", {0: (1.1, 1.3), 1: (1.1, 1.1)}) + held_out_runs(
        "xgboost", {0: (1.5, 1.3), 1: (1.4, 1.4)}
    )
    summary = summarise(evaluation(runs), PROBLEMS, ["gnn", "xgboost"], ["error", "ranking"])
    errors = statistic(summary, "error", "64 records learnt", "error", "gnn")
    assert (errors.median, errors.low, errors.high) == pytest.approx((15.0, 10.0, 20.0))
    assert (errors.pools, errors.seeds) == (2, 2)
    times = statistic(summary, "error", "64 records learnt", "improvement", "gnn")
    assert (times.low, times.high) == pytest.approx((40 / 20, 40 / 10))
    assert not [f for f in summary.of("error") if f.method == "xgboost" and f.metric == "improvement"]
    assert statistic(summary, "error", "readings", "error", "noise").median == pytest.approx(10.0)
    assert statistic(summary, "error", "readings", "ceiling", "noise").median == 1.0
    assert statistic(summary, "ranking", "64 records learnt", "pairwise", "gnn").median == 1.0


def test_replays_are_compared_pool_by_pool() -> None:
    runs = replay_runs("gnn", {0: (5, 20), 1: (5, 20)}) + replay_runs("xgboost", {0: (10, 20), 1: (20, 20)})
    summary = summarise(evaluation(runs), PROBLEMS, ["gnn", "xgboost"], ["replay"])
    assert statistic(summary, "replay", "to 95%", "trials", "gnn").median == 12.5
    best = statistic(summary, "replay", "16 trials", "best", "gnn")
    assert (best.median, best.pools) == (0.75, 2)
    assert not [f for f in summary.of("replay") if f.setting == "64 trials"]  # the pools hold 40 records
    ratios = (math.sqrt(1 / 4), math.sqrt(1 / 2))
    assert summary.head_to_heads[0] == HeadToHead(
        "gnn", 0.9, 1, 1, 0, pytest.approx(sum(ratios) / 2), pytest.approx(ratios)
    )
    curve = summary.search_curves["gnn"][0]
    assert len(curve) == 20 and curve[3:5] == [0.5, 0.75] and curve[-1] == 1.0


def test_a_replay_that_never_gets_there_counts_all_its_trials() -> None:
    run = Run("", REPLAY, "random", 0, "all", 0)
    summary = summarise(evaluation([(run, {"records": 99, "relative": [0.5] * 32})]), PROBLEMS, ["random"], ["replay"])
    assert statistic(summary, "replay", "to 90%", "trials", "random").median == 32
    assert statistic(summary, "replay", "32 trials", "best", "random").median == 0.5
    assert not summary.head_to_heads


def test_unseen_tasks_are_told_apart_by_what_was_known() -> None:
    runs = unseen_runs("gnn", 30, 0, whole=True) + unseen_runs("gnn", 10, 20, whole=False)
    summary = summarise(evaluation(runs), PROBLEMS, ["gnn"], ["unseen", "curve"])
    assert {f.setting: f.pools for f in summary.of("unseen")} == {"all": 2, "unseen shape": 1, "unseen operator": 1}
    assert statistic(summary, "unseen", "all", "pairwise", "gnn").median == 1.0
    assert statistic(summary, "curve", "10 workloads", "pairwise", "gnn").median == 0.0
    assert summary.learning_curves == {"gnn": {10: [0.0], 30: [1.0]}}


def test_whole_training_sets_of_folds_are_one_point() -> None:
    whole = unseen_runs("gnn", 30, 0, whole=True)[:1] + unseen_runs("gnn", 31, 0, whole=True)[1:]
    runs = whole + unseen_runs("gnn", 10, 20, whole=False)
    summary = summarise(evaluation(runs), PROBLEMS, ["gnn"], ["curve"])
    assert summary.learning_curves == {"gnn": {10: [0.0], 31: [1.0]}}
    assert not summarise(evaluation(whole), PROBLEMS, ["gnn"], ["curve"]).of("curve")


@pytest.fixture
def full() -> Summary:
    runs = [
        *held_out_runs("gnn", {0: (1.1, 1.3), 1: (1.2, 1.2)}),
        *held_out_runs("xgboost", {0: (1.5, 1.3), 1: (1.4, 1.4)}),
        *replay_runs("gnn", {0: (5, 20), 1: (5, 18)}),
        *replay_runs("xgboost", {0: (10, 20), 1: (20, 20)}),
        *unseen_runs("gnn", 30, 0, whole=True),
        *unseen_runs("gnn", 10, 12, whole=False),
    ]
    experiments = ["ranking", "unseen", "replay", "error", "calibration", "curve"]
    return summarise(evaluation(runs, ("something",)), PROBLEMS, ["gnn", "xgboost"], experiments)


def test_every_experiment_has_a_table(full: Summary) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in experiment_tables(full):
        console.print(table)
    text = console.export_text()
    for title in ("ranking:", "unseen:", "replay:", "error:", "calibration:", "curve:", "replay against xgboost"):
        assert title in text
    for content in (
        "64 records learnt",
        "top-5",
        "times below xgboost",
        "to 95%",
        "unseen operator",
        "noise",
        "[0.47,",
    ):
        assert content in text


def test_plots_are_drawn(full: Summary, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = list(figures(full))
    assert [name for name, _, _ in drawn] == ["search", "learning", "calibration"]
    for name, _, figure in drawn:
        figure.savefig(tmp_path / f"{name}.png")
        assert_drawn(tmp_path / f"{name}.png")


def test_nothing_is_nothing_to_plot() -> None:
    pytest.importorskip("matplotlib")
    summary = summarise(evaluation([]), PROBLEMS, ["gnn"], ["replay"])
    assert list(figures(summary)) == []
    for draw in (search_figure, learning_figure, calibration_figure):
        with pytest.raises(InvalidArgumentError, match="nothing to plot"):
            draw(summary)


def test_a_summary_is_written_as_json(full: Summary, tmp_path: Path) -> None:
    full.save(tmp_path / "e.json", {"machine": {"cpu": "a CPU"}})
    data = json.loads((tmp_path / "e.json").read_text())
    assert data["schema"] == 1 and data["machine"]["cpu"] == "a CPU" and data["skipped"] == ["something"]
    assert len(data["figures"]) == len(full.statistics) and data["learning_curves"]["gnn"]["30"] == [1.0]
