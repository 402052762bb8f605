"""`load`: on the class a model from a file, on a model in place, as scripts written for XGBModel call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm.auto_scheduler import XGBModel

from tvm_gnn_cost import CheckpointError, GNNCostModel, InvalidArgumentError
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import measured

QUICK = TrainerConfig(max_steps_per_update=20, hidden_dim=16)


@pytest.fixture
def saved(task: Any, states: list[Any], tmp_path: Path) -> Path:
    model = GNNCostModel(None, 4, config=QUICK)
    model.update(*measured(task, states, random_costs(len(states))))
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_on_a_model_it_loads_in_place(task: Any, states: list[Any], saved: Path) -> None:
    reports: list[Any] = []
    model = GNNCostModel(None, 9, device="cpu", callbacks=[reports.append])
    cold = model.predict(task, states)
    model.load(saved)
    assert model.is_warm and model.num_records == len(states)
    np.testing.assert_array_equal(model.predict(task, states), GNNCostModel.load(saved).predict(task, states))
    assert not np.array_equal(model.predict(task, states), cold)
    model.update(*measured(task, states[:4], random_costs(4)))
    assert len(reports) == 1, "what is not in the file stays: callbacks, where the model is saved, the device"


def test_a_file_that_cannot_be_loaded_leaves_the_model_as_it_was(
    task: Any, states: list[Any], saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "damaged").write_bytes(saved.read_bytes()[:-200])
    model = GNNCostModel.load(saved)
    before = model.predict(task, states)
    for path in (tmp_path / "damaged", tmp_path / "nothing"):
        with pytest.raises(CheckpointError):
            model.load(path)
    np.testing.assert_array_equal(model.predict(task, states), before)


def test_the_timed_model_of_a_tuning_run_loads_in_place(saved: Path) -> None:
    """It stands for the user's model, which it has to change."""
    from tvm_gnn_cost.ansor.tuning_hooks import timed_model

    model = GNNCostModel(None, 9)
    timed_model(model, None).load(str(saved))  # type: ignore[arg-type]
    assert model.is_warm


def test_a_model_of_xgboost_is_named_as_such(task: Any, states: list[Any], tmp_path: Path) -> None:
    stock = XGBModel(verbose_eval=0)
    stock.update(*measured(task, [state.state_object for state in states], random_costs(len(states))))
    for name in ("model.json", "model.ubj"):
        stock.save(str(tmp_path / name))
        with pytest.raises(CheckpointError, match="a model of XGBoost, as XGBModel saves it"):
            GNNCostModel.load(tmp_path / name)


def test_folders_are_made_for_a_model(tmp_path: Path) -> None:
    """The end of a long tuning run is no time to learn that a folder is missing."""
    model = GNNCostModel(None)
    model.save(tmp_path / "runs" / "today" / "model.ckpt")
    assert not GNNCostModel.load(tmp_path / "runs" / "today" / "model.ckpt").is_warm
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write checkpoint"):
        model.save(tmp_path / "file" / "model.ckpt")


def test_xgboosts_arguments_are_refused() -> None:
    """`XGBModel(25, 100)`: verbosity and warm-up samples, by position."""
    with pytest.raises(InvalidArgumentError, match="pretrained must be 'auto', a path or None, got 25"):
        GNNCostModel(25, 100)  # type: ignore[arg-type]
