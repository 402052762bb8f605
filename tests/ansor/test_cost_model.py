"""GNNCostModel beyond what it shares with XGBModel: bad input, reports, latency, what a user's search meets."""

from __future__ import annotations

import errno
import logging
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler

from tvm_gnn_cost import CheckpointError, GNNCostModel, InvalidArgumentError, RecordError
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.learning.cost_model import UpdateReport
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import make_task, measured, sample_states, stock_verdict

QUICK = TrainerConfig(max_steps_per_update=20, hidden_dim=16)


def quick_model(**options: Any) -> GNNCostModel:
    return GNNCostModel(pretrained=None, config=QUICK, **options)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"seed": -1}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"device": "tpu"}, "device"),
        ({"num_warmup_sample": 1.5}, "num_warmup_sample"),
        ({"config": {}}, "TrainerConfig"),
        ({"pretrained": 3}, "pretrained"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        GNNCostModel(**{"pretrained": None, **options})


def test_inputs_and_results_of_different_length(task: Any, states: list[Any]) -> None:
    inputs, results = measured(task, states, random_costs(len(states)))
    with pytest.raises(InvalidArgumentError, match="24 measure inputs but 23 results"):
        quick_model().update(inputs, results[1:])


def test_wrong_types_in_update(task: Any, states: list[Any]) -> None:
    inputs, results = measured(task, states, random_costs(len(states)))
    with pytest.raises(InvalidArgumentError, match=r"inputs\[0\] is State"):
        quick_model().update(states, results)
    with pytest.raises(InvalidArgumentError, match=r"results\[1\] is float"):
        quick_model().update(inputs[:2], [results[0], 0.5])


@pytest.mark.parametrize("cost", [math.nan, -1.0, 0.0, math.inf])
def test_unusable_costs_are_counted(
    task: Any, states: list[Any], cost: float, caplog: pytest.LogCaptureFixture
) -> None:
    model = quick_model()
    costs = random_costs(len(states))
    costs[3] = cost
    with caplog.at_level(logging.WARNING):
        model.update(*measured(task, states, costs))
    assert "1 of 24 measurements have no usable cost" in caplog.text and "number 3" in caplog.text
    assert model.num_records == 23
    assert model.last_update is not None and model.last_update.skipped_records == 1


def test_results_without_any_cost(task: Any, states: list[Any]) -> None:
    model = quick_model()
    inputs, _ = measured(task, states[:2], [1.0, 1.0])
    model.update(inputs, [auto_scheduler.MeasureResult([], 0, "", 0.1, 0.0)] * 2)
    assert model.num_records == 0 and not model.is_warm
    assert (model.predict(task, states) > 0).all()


def test_a_round_in_which_every_measurement_failed(task: Any, states: list[Any]) -> None:
    model = quick_model()
    model.update(*measured(task, states, [1e10] * len(states), error_no=2))
    assert model.last_update is not None and model.last_update.failed_records == len(states)
    scores = model.predict(task, states)
    assert np.isfinite(scores).all() and (scores > 0).all()
    model.update(*measured(task, states, random_costs(len(states))))
    assert np.isfinite(model.predict(task, states)).all()


def test_one_state(task: Any, states: list[Any]) -> None:
    model = quick_model()
    model.update(*measured(task, states[:1], [1e-3]))
    assert model.predict(task, states[:1]).shape == (1,)
    assert model.predict(task, []).shape == (0,)
    assert model.predict_stages(task, states[:1]).shape[0] >= 3


def test_a_bad_state_scores_minus_infinity_and_is_named_once(
    task: Any, states: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    model = quick_model()
    model.update(*measured(task, states, random_costs(len(states))))
    with caplog.at_level(logging.WARNING):
        scores = model.predict(task, [states[0], "not a state", states[1]])
    assert np.isfinite(scores[[0, 2]]).all() and np.isneginf(scores[1])
    assert sum("cannot be read" in record.message for record in caplog.records) == 1
    np.testing.assert_array_equal(scores[[0, 2]], model.predict(task, states[:2]))
    assert np.isnan(model.predict_latency(task, [states[0], "not a state"])[1])
    packed = model.predict_stages(task, ["not a state"])
    assert np.isneginf(packed[0]) and packed[1] == 0 and len(packed) == 2


def test_latency_is_in_seconds(task: Any, states: list[Any]) -> None:
    model = GNNCostModel(pretrained=None)
    assert np.isnan(model.predict_latency(task, states)).all(), "a cold model knows no latency"
    costs = 1e-3 * random_costs(len(states))
    model.update(*measured(task, states, costs))
    ratio = model.predict_latency(task, states) / costs
    assert 0.8 < np.median(ratio) < 1.25


def test_the_minimum_of_the_repeats_is_learnt(task: Any, states: list[Any]) -> None:
    """Interference only slows a run down."""
    noisy, clean = quick_model(), quick_model()
    inputs, results = measured(task, states, random_costs(len(states)))
    spread = [auto_scheduler.MeasureResult([9.0, float(r.costs[0].value), 5.0], 0, "", 0.1, 0.0) for r in results]
    noisy.update(inputs, spread)
    clean.update(inputs, results)
    np.testing.assert_array_equal(noisy.predict(task, states), clean.predict(task, states))


def test_update_reports(task: Any, states: list[Any]) -> None:
    """The first update cannot have ranked anything; later ones say how well the batch was ranked beforehand."""
    reports: list[UpdateReport] = []
    model = GNNCostModel(pretrained=None, callbacks=[reports.append])
    costs = random_costs(len(states))
    model.update(*measured(task, states[:12], costs[:12]))
    assert math.isnan(reports[0].prequential_accuracy) and "cold" in str(reports[0])
    before = model.predict(task, states[12:])
    assert len(np.unique(before)) == 12, "ties would be ranked by nobody"
    model.update(*measured(task, states[12:], 1e-3 / before))
    assert reports[1].prequential_accuracy == 1.0, "the batch was measured just as the model had ranked it"
    assert reports[1].new_records == 12 and reports[1].total_records == 24 and "1.000" in str(reports[1])
    before = model.predict(task, states[12:])
    assert len(np.unique(before)) == 12
    model.update(*measured(task, states[12:], 1e-3 * before))
    assert reports[2].prequential_accuracy == 0.0, "and then the other way round"


def test_cold_scores_follow_the_seed(task: Any, states: list[Any]) -> None:
    scores = [quick_model(seed=s).predict(task, states) for s in (1, 1, 2)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_the_global_generators_are_left_alone(task: Any, states: list[Any]) -> None:
    import random

    import torch

    np.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()
    model = quick_model()
    model.update(*measured(task, states, random_costs(len(states))))
    model.predict(task, states)
    assert (np.random.get_state()[1] == before[0]).all()
    assert random.getstate() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_damaged_log_teaches_what_is_whole(
    task: Any, states: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log.json"
    auto_scheduler.save_records(str(log), *measured(task, states, random_costs(len(states))))
    lines = log.read_text().splitlines()
    lines[4] = lines[4][: len(lines[4]) // 2]
    lines[9] = lines[9].replace("tvm_gnn_cost.testing.matmul", "never_registered")
    log.write_text("\n".join(lines))
    model = quick_model()
    with caplog.at_level(logging.WARNING):
        model.update_from_file(log)
    assert model.num_records == 22
    assert "line 5" in caplog.text and "line 10" in caplog.text and "never_registered" in caplog.text


def test_missing_log(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nothing.json"):
        quick_model().update_from_file(tmp_path / "nothing.json")


def test_checkpoints_of_a_model(task: Any, states: list[Any], tmp_path: Path) -> None:
    """A loaded model goes on as if it had never stopped, cold or warm."""
    costs = random_costs(len(states))
    for learnt in (0, 12):
        model = quick_model(seed=4)
        model.update(*measured(task, states[:learnt], costs[:learnt]))
        model.save(tmp_path / "model")
        again = GNNCostModel.load(tmp_path / "model")
        assert again.is_warm == model.is_warm and again.num_records == model.num_records
        np.testing.assert_array_equal(again.predict(task, states), model.predict(task, states))
        for m in (model, again):
            m.update(*measured(task, states[12:], costs[12:]))
        np.testing.assert_array_equal(again.predict(task, states), model.predict(task, states))


def test_a_path_as_pretrained_starts_warm(task: Any, states: list[Any], tmp_path: Path) -> None:
    teacher = quick_model()
    teacher.update(*measured(task, states, random_costs(len(states))))
    teacher.save(tmp_path / "teacher")
    pupil = GNNCostModel(pretrained=tmp_path / "teacher", seed=9)
    assert pupil.is_warm
    np.testing.assert_array_equal(pupil.predict(task, states), teacher.predict(task, states))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        GNNCostModel(pretrained=tmp_path / "nothing")


def test_a_full_disk_ends_neither_the_search_nor_the_earlier_file(
    task: Any, states: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model"
    model = quick_model(model_file=path)
    costs = random_costs(len(states))
    model.update(*measured(task, states[:12], costs[:12]))
    whole = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model.update(*measured(task, states[12:], costs[12:]))
    assert "No space left" in caplog.text and model.num_records == 24
    with pytest.raises(CheckpointError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == whole and os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["matmul", "conv2d_bn_relu", "depthwise", "transposed_conv", "softmax"])
def test_validity_agrees_with_stock(name: str) -> None:
    """On the limits of a GPU, for sampled and evolved schedules; stock lowers every one of them."""
    gpu_task = make_task(name, "cuda")
    candidates = sample_states(gpu_task, 40, evolved=True)
    np.testing.assert_array_equal(
        np.isfinite(quick_model().predict(gpu_task, candidates)), stock_verdict(candidates, gpu_task)
    )


def test_a_list_of_states_is_scored_by_speed_alone_and_a_search_by_what_a_trial_costs_too(
    task: Any, states: list[Any]
) -> None:
    import tvm

    aware, plain = (GNNCostModel(seed=0, cost_aware=cost_aware) for cost_aware in (True, False))
    np.testing.assert_array_equal(aware.predict(task, states), plain.predict(task, states))
    array = tvm.runtime.convert([getattr(state, "state_object", state) for state in states])
    assert aware.core.trainer.trial_cost is not None, "the shipped network knows what a trial costs"
    assert (aware.predict(task, array) != plain.predict(task, array)).any()
    np.testing.assert_allclose(plain.predict(task, array), plain.predict(task, states), rtol=1e-6)
