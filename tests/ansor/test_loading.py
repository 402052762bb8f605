"""`load`: on the class a model from a file, on a model in place, as scripts written for XGBModel call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_gnn_cost import CheckpointError, GNNCostModel
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.testing.schedules import measured, random_costs

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
