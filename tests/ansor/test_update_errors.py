"""What ends an update, and what a search goes on without."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import measured


def model_whose_learner(fails: Any, monkeypatch: pytest.MonkeyPatch) -> GNNCostModel:
    from tvm_gnn_cost.learning import optimisation

    monkeypatch.setattr(optimisation.Optimisation, "step", lambda *_: fails())
    return GNNCostModel(None, config=TrainerConfig(max_steps_per_update=5, hidden_dim=16))


def test_want_of_memory_ends_an_update_not_the_search(
    task: Any, states: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_whose_learner(lambda: torch.empty(2**58), monkeypatch)
    with caplog.at_level(logging.ERROR):
        model.update(*measured(task, states, random_costs(len(states))))
    assert "no memory for the update" in caplog.text
    assert np.isfinite(model.predict(task, states)).all()


def test_a_fault_of_the_network_is_not_taken_for_want_of_memory(
    task: Any, states: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_whose_learner(lambda: torch.zeros(3, 4) @ torch.zeros(3, 4), monkeypatch)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        model.update(*measured(task, states, random_costs(len(states))))
