"""GNNCostModel beyond the conformance suite: bad input, reports, latency, what a user's search meets."""

from __future__ import annotations

import gc
import logging
import math
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError, TuningInterrupted
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.learning.cost_model import UpdateReport
from tvm_gnn_cost.meta_schedule import GNNCostModel
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.search_guard import PASSING_SCORE
from tvm_gnn_cost.testing.conformance_meta_schedule import make_context
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.pretended_measuring import FAILED_BUILD, FAILED_RUN, run_result, run_results

QUICK = TrainerConfig(max_steps_per_update=20, hidden_dim=16)
as_tvm_asks = ms.cost_model.CostModel
"""The functions by which C++'s callers, and other Python code of TVM's, reach a model."""


def quick_model(**options: Any) -> GNNCostModel:
    return GNNCostModel(**{"pretrained": None, "config": QUICK, **options})


def test_it_is_a_cost_model_of_tvm() -> None:
    model = quick_model()
    assert isinstance(model, ms.CostModel)
    assert repr(model) == str(model) == "GNNCostModel(cold, 0 records, 0 tasks)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "seed"),
        ({"device": "tpu"}, "device"),
        ({"num_warmup_sample": 1.5}, "num_warmup_sample"),
        ({"config": {}}, "TrainerConfig"),
        ({"pretrained": 3}, "pretrained"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        GNNCostModel(**{"pretrained": None, **options})


def test_candidates_and_results_of_different_length(context: Any, candidates: list[Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="24 candidates but 23 results"):
        quick_model().update(context, candidates, run_results(random_costs(23)))


def test_wrong_types(context: Any, candidates: list[Any]) -> None:
    results = run_results(random_costs(2))
    with pytest.raises(InvalidArgumentError, match=r"candidates\[1\] is int"):
        quick_model().update(context, [candidates[0], 3], results)
    with pytest.raises(InvalidArgumentError, match=r"results\[1\] is float"):
        quick_model().update(context, candidates[:2], [results[0], 0.5])
    with pytest.raises(InvalidArgumentError, match="context must be a TuneContext"):
        quick_model().predict(None, candidates)
    with pytest.raises(InvalidArgumentError, match="context must be a TuneContext"):
        quick_model().predict(ms.TuneContext(target=context.target, num_threads=1), candidates)


@pytest.mark.parametrize("said", [[math.nan], [-1.0], [0.0], [math.inf], [1e-3, math.nan], [], None], ids=str)
def test_unusable_costs_are_counted(
    context: Any, candidates: list[Any], said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = quick_model()
    results = run_results(random_costs(24))
    results[3] = run_result(said)
    with caplog.at_level(logging.WARNING):
        model.update(context, candidates, results)
    assert "1 of 24 measurements have no usable cost" in caplog.text and "number 3" in caplog.text
    assert model.num_records == 23
    assert model.last_update is not None and model.last_update.skipped_records == 1


@pytest.mark.parametrize("said", [FAILED_BUILD, FAILED_RUN, [1e10]], ids=str)
def test_a_round_in_which_every_measurement_failed(context: Any, candidates: list[Any], said: Any) -> None:
    """As a runner says it, and as a database keeps it."""
    model = quick_model()
    model.update(context, candidates, [run_result(said)] * 24)
    assert model.last_update is not None and model.last_update.failed_records == 24
    scores = model.predict(context, candidates)
    assert np.isfinite(scores).all() and (scores > 0).all()
    model.update(context, candidates, run_results(random_costs(24)))
    assert np.isfinite(model.predict(context, candidates)).all() and model.num_records == 48


def test_no_candidates(context: Any) -> None:
    model = quick_model()
    assert model.predict(context, []).shape == (0,)
    model.update(context, [], [])
    assert model.last_update is None


def test_a_candidate_that_cannot_be_read_is_searched_without_a_prediction(
    context: Any, candidates: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = quick_model()
    model.update(context, candidates, run_results(random_costs(24)))
    with caplog.at_level(logging.WARNING):
        scores = model.predict(context, [candidates[0], "not a candidate", candidates[1]])
        model.predict(context, ["not a candidate"])
    assert sum("cannot be read" in record.message for record in caplog.records) == 1
    np.testing.assert_array_equal(scores[[0, 2]], model.predict(context, candidates[:2]))
    assert scores[1] == np.median(scores[[0, 2]])
    assert np.isnan(model.predict_latency(context, ["not a candidate"])[0])
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        model.time_shares(context, "not a candidate")


def test_latency_is_in_seconds(context: Any, candidates: list[Any]) -> None:
    model = GNNCostModel(pretrained=None)
    assert np.isnan(model.predict_latency(context, candidates)).all(), "a cold model knows no latency"
    costs = 1e-3 * random_costs(24)
    model.update(context, candidates, run_results(costs))
    assert 0.8 < np.median(model.predict_latency(context, candidates) / costs) < 1.25


def test_stages_share_a_candidates_time(context: Any, candidates: list[Any]) -> None:
    model = quick_model()
    assert np.isnan(model.time_shares(context, candidates[0])).all(), "a cold model knows no shares"
    model.update(context, candidates, run_results(random_costs(24)))
    shares = model.time_shares(context, candidates[0])
    assert len(shares) >= 3 and (shares >= 0).all() and shares.sum() == pytest.approx(1.0, rel=1e-4)


def test_the_minimum_of_the_repeats_is_learnt(context: Any, candidates: list[Any]) -> None:
    """Interference only slows a run down."""
    noisy, clean, costs = quick_model(), quick_model(), random_costs(24)
    noisy.update(context, candidates, [run_result([9.0, cost, 5.0]) for cost in costs])
    clean.update(context, candidates, run_results(costs))
    np.testing.assert_array_equal(noisy.predict(context, candidates), clean.predict(context, candidates))


def test_update_reports(context: Any, candidates: list[Any]) -> None:
    """The first update cannot have ranked anything; later ones say how well the batch was ranked beforehand."""
    reports: list[UpdateReport] = []
    model = GNNCostModel(pretrained=None, callbacks=[reports.append])
    model.update(context, candidates[:12], run_results(random_costs(12)))
    assert math.isnan(reports[0].prequential_accuracy) and "cold" in str(reports[0])
    before = model.predict(context, candidates[12:])
    model.update(context, candidates[12:], run_results(1e-3 / before))
    assert reports[1].prequential_accuracy == 1.0, "the batch was measured just as the model had ranked it"
    assert reports[1].new_records == 12 and reports[1].total_records == 24
    assert model.last_update is reports[1] and model.is_warm and model.num_records == 24


def test_it_starts_warm_from_the_shipped_network(context: Any, candidates: list[Any]) -> None:
    model = GNNCostModel(device="cpu")
    assert not model.is_warm and model.card is None, "the first task decides which network"
    scores = model.predict(context, candidates)
    assert model.is_warm and model.num_records == 0 and model.card is not None
    np.testing.assert_array_equal(scores, GNNCostModel(device="cpu", seed=5).predict(context, candidates))


def test_cold_scores_follow_the_seed(context: Any, candidates: list[Any]) -> None:
    scores = [quick_model(seed=s).predict(context, candidates) for s in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_a_task_is_its_module_and_its_target(context: Any, candidates: list[Any]) -> None:
    model = quick_model()
    model.predict(context, candidates)
    model.predict(make_context("matmul"), candidates)
    assert "1 tasks" in repr(model)
    model.predict(SimpleNamespace(mod=context.mod, target=make_context("matmul").target), candidates)
    assert "1 tasks" in repr(model)
    fewer = type(context.target)({"kind": "llvm", "num-cores": 1})
    model.predict(SimpleNamespace(mod=context.mod, target=fewer), candidates)
    assert "2 tasks" in repr(model)


def test_checkpoints(context: Any, candidates: list[Any], tmp_path: Path) -> None:
    """A loaded model goes on as if it had never stopped, cold or warm; loaded on a model, in place."""
    costs = random_costs(24)
    for learnt in (0, 12):
        model = quick_model(seed=4)
        model.update(context, candidates[:learnt], run_results(costs[:learnt]))
        model.save(tmp_path / "model")
        again, in_place = GNNCostModel.load(tmp_path / "model"), quick_model(seed=9)
        assert in_place.load(tmp_path / "model") is in_place
        for other in (again, in_place):
            assert other.is_warm == model.is_warm and other.num_records == model.num_records
        expected = model.predict(context, candidates)
        np.testing.assert_array_equal(again.predict(context, candidates), expected)
        np.testing.assert_array_equal(in_place.predict(context, candidates), expected)
        for m in (model, again):
            m.update(context, candidates[12:], run_results(costs[12:]))
        np.testing.assert_array_equal(again.predict(context, candidates), model.predict(context, candidates))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        GNNCostModel.load(tmp_path / "nothing")


def test_the_model_is_saved_after_every_update(context: Any, candidates: list[Any], tmp_path: Path) -> None:
    model = quick_model(model_file=tmp_path / "runs" / "model.ckpt")
    model.update(context, candidates, run_results(random_costs(24)))
    again = GNNCostModel(pretrained=tmp_path / "runs" / "model.ckpt")
    assert again.is_warm and again.num_records == 0
    np.testing.assert_array_equal(again.predict(context, candidates), model.predict(context, candidates))


# -- what the search gets ----------------------------------------------------------------------------------------------


class Broken(GNNCostModel):
    """Fails at what TVM asks for; an override, which C++ has to call as well."""

    error: BaseException = ValueError("out of order")

    def predict(self, *_: Any) -> Any:
        raise self.error

    update = predict


def test_a_model_that_fails_does_not_end_the_search(
    context: Any, candidates: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = Broken(None, config=QUICK)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert (as_tvm_asks.predict(model, context, candidates) == PASSING_SCORE).all()
            as_tvm_asks.update(model, context, candidates, run_results(random_costs(24)))
    assert [r.message.count("out of order") for r in caplog.records] == [1, 1], "once each"
    with pytest.raises(ValueError, match="out of order"):
        model.predict(context, candidates)


def test_nothing_that_can_run_gets_equal_scores(
    context: Any, candidates: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = quick_model()
    monkeypatch.setattr(model, "predict", lambda _, some: np.full(len(some), -np.inf))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert (as_tvm_asks.predict(model, context, candidates) == PASSING_SCORE).all()
    assert sum("task matmul can run" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("call", ["predict", "update"])
def test_ctrl_c_inside_the_model_reaches_the_user(context: Any, candidates: list[Any], call: str) -> None:
    """TVM 0.19 swallows a KeyboardInterrupt in a callback; later ones make it a RuntimeError without a word."""
    model = Broken(None, config=QUICK)
    model.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        if call == "predict":
            as_tvm_asks.predict(model, context, candidates)
        else:
            as_tvm_asks.update(model, context, candidates, run_results(random_costs(24)))
    assert isinstance(caught.value, TuningInterrupted) and "while the cost model was at work" in str(caught.value)


def test_tvm_keeps_a_model_that_nobody_else_does(tmp_path: Path) -> None:
    """`pre_tuning(..., cost_model=GNNCostModel())`: C++ alone holds it when it is asked for scores."""
    context = make_context("matmul")
    context.pre_tuning(
        max_trials=4,
        num_trials_per_iter=4,
        design_spaces=context.generate_design_space(),
        database=ms.database.MemoryDatabase(),
        cost_model=quick_model(),
    )
    gc.collect()
    assert len(context.generate_measure_candidates()) == 4
    context.post_tuning()


def test_a_model_that_nobody_needs_is_freed() -> None:
    model = quick_model()
    core = weakref.ref(model.core)
    del model
    gc.collect()
    assert core() is None
