"""The conformance suite on our cost model, and on stock XGBModel, whose exceptions are stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

pytest.register_assert_rewrite("tvm_gnn_cost.testing.clauses", "tvm_gnn_cost.testing.conformance")

from tvm import auto_scheduler  # noqa: E402
from tvm.auto_scheduler.feature import get_per_store_features_from_states  # noqa: E402

from tvm_gnn_cost import GNNCostModel  # noqa: E402
from tvm_gnn_cost.testing.conformance import AnsorCostModelConformance, measured_failures  # noqa: E402
from tvm_gnn_cost.testing.costs import random_costs  # noqa: E402
from tvm_gnn_cost.testing.schedules import measured  # noqa: E402


class TestGNNCostModel(AnsorCostModelConformance):
    def make(self, **options: Any) -> Any:
        return GNNCostModel(pretrained=None, seed=3, **options)

    def reload(self, model: Any, path: Path) -> Any:
        return GNNCostModel.load(path)


MOVING = "its features order a statement's buffers by their addresses, so its scores may differ from call to call"


class TestXGBModel(AnsorCostModelConformance):
    exceptions = {
        "a_reloaded_model_scores_the_same": MOVING,
        "same_seed_same_scores": MOVING,
        "a_trained_model_repeats_its_scores": MOVING,
        "state_objects_and_states_score_alike": f"{MOVING}; untrained they come from numpy's global generator",
        "packed_scores_are_those_of_predict": MOVING,
        "update_from_file": MOVING,
        "empty_update_changes_nothing": MOVING,
        "failed_measurements_are_learnt_as_slow": "it weighs a record by its throughput: a failed one next to nothing",
    }

    def make(self, **options: Any) -> Any:
        return auto_scheduler.XGBModel(verbose_eval=0, seed=3, **options)

    def test_failed_measurements_weigh_next_to_nothing(
        self, task: Any, states: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every statement of a failed record, and no other, has the weight of a run of 1e10 seconds."""
        weights: list[Any] = []

        def watch(params: Any, data: Any, **options: Any) -> Any:
            weights.append(data.get_weight())
            return train(params, data, **options)

        train = xgboost.train
        monkeypatch.setattr(xgboost, "train", watch)
        good, bad, costs = states[:25], states[25:], random_costs(25)
        good_pairs, bad_pairs = measured(task, good, costs), measured_failures(task, bad)
        self.make(num_warmup_sample=-1).update(good_pairs[0] + bad_pairs[0], good_pairs[1] + bad_pairs[1])
        (found,) = weights
        expected = [*costs.min() / costs, *[costs.min() / 1e10] * len(bad)]
        statements = [len(rows) for rows in get_per_store_features_from_states(good + bad, task)]
        np.testing.assert_allclose(np.sort(found), np.sort(np.repeat(expected, statements)), rtol=1e-6)


def test_an_exception_must_name_a_clause() -> None:
    with pytest.raises(TypeError, match="no clause: scores_before_any_measurment"):
        type("Misspelt", (AnsorCostModelConformance,), {"exceptions": {"scores_before_any_measurment": "why"}})
