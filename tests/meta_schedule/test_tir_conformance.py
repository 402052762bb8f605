"""MetaSchedule's conformance suite on our cost model, and on stock ones, whose exceptions are stated."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tvm_gnn_cost.testing.clauses", "tvm_gnn_cost.testing.conformance_meta_schedule")

from tvm_gnn_cost.meta_schedule import GNNCostModel  # noqa: E402
from tvm_gnn_cost.meta_schedule.api import ms  # noqa: E402
from tvm_gnn_cost.testing.conformance_meta_schedule import MetaScheduleCostModelConformance  # noqa: E402
from tvm_gnn_cost.testing.costs import random_costs  # noqa: E402
from tvm_gnn_cost.testing.pretended_measuring import run_results  # noqa: E402


class TestGNNCostModel(MetaScheduleCostModelConformance):
    def make(self, **options: Any) -> Any:
        return GNNCostModel(pretrained=None, seed=3, **options)

    def reload(self, model: Any, path: Path) -> Any:
        return GNNCostModel.load(path)


class TestXGBModel(MetaScheduleCostModelConformance):
    exceptions = {
        "failed_measurements_are_learnt_as_slow": "it weighs a record by its throughput: a failed one next to nothing",
        "a_search_ends_whatever_is_measured[[0.001, inf]]": "xgboost refuses infinite costs, which ends the search",
    }

    def make(self, num_warmup_sample: int = 100) -> Any:
        """It learns from the record on that makes `num_warmup_samples`: one earlier than the clause says."""
        return ms.cost_model.XGBModel(
            num_warmup_samples=num_warmup_sample + 1, verbose_eval=0, adaptive_training=False, num_tuning_cores=1
        )

    def reload(self, model: Any, path: Path) -> Any:
        again = self.make(num_warmup_sample=-1)
        again.load(str(path))
        return again


class TestRandomModel(MetaScheduleCostModelConformance):
    exceptions = dict.fromkeys(
        (
            "learns_normalised_throughput",
            "random_until_there_are_more_than_num_warmup_sample_records",
            "failed_measurements_are_learnt_as_slow",
            "a_reloaded_model_scores_the_same",
            "a_trained_model_repeats_its_scores",
            "empty_update_changes_nothing",
            "what_was_learnt_of_a_module_holds_in_any_context",
            "saves_and_loads_as_tvm_asks",
        ),
        "it learns nothing, so that every call has scores of its own; numpy names its files anew",
    )

    def make(self, **options: Any) -> Any:
        return ms.cost_model.RandomModel(seed=3)


class TestMLPModel:
    """TVM's network (`cost_model="mlp"`), which comes untrained, fails at nearly every clause: why."""

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Any:
        return import_module(f"{ms.__name__}.cost_model.mlp_model").MLPModel

    def test_it_cannot_learn_fewer_than_five_tasks(self, make: Any, context: Any, candidates: list[Any]) -> None:
        """`train_full` holds out a fifth of the tasks, rounded down, and has none to test on."""
        with pytest.raises(ValueError, match="need at least one array"):
            make().update(context, candidates, run_results(random_costs(len(candidates))))

    def test_it_cannot_score_a_single_candidate(self, make: Any, context: Any, candidates: list[Any]) -> None:
        """`SegmentSumMLP.forward` squeezes the batch away."""
        with pytest.raises(ValueError, match="zero-dimensional"):
            make().predict(context, candidates[:1])

    def test_an_empty_update_ends_its_search(self, make: Any, context: Any) -> None:
        """`add_to_group` takes the minimum of no costs: a round of which every build failed."""
        with pytest.raises(ValueError, match="zero-size array|non-empty|empty"):
            make().update(context, [], [])


def test_an_exception_must_name_a_clause() -> None:
    with pytest.raises(TypeError, match="no clause: an_empty_updat"):
        type("Misspelt", (MetaScheduleCostModelConformance,), {"exceptions": {"an_empty_updat[3]": "why"}})
