"""MetaSchedule's conformance suite on our cost model, and on stock ones, whose exceptions are stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tvm_gnn_cost.testing.clauses", "tvm_gnn_cost.testing.conformance_meta_schedule")

from tvm_gnn_cost.meta_schedule import GNNCostModel  # noqa: E402
from tvm_gnn_cost.meta_schedule.api import ms  # noqa: E402
from tvm_gnn_cost.testing.conformance_meta_schedule import MetaScheduleCostModelConformance  # noqa: E402


class TestGNNCostModel(MetaScheduleCostModelConformance):
    def make(self, **options: Any) -> Any:
        return GNNCostModel(pretrained=None, seed=3, **options)

    def reload(self, model: Any, path: Path) -> Any:
        return GNNCostModel.load(path)


class TestXGBModel(MetaScheduleCostModelConformance):
    def make(self, num_warmup_sample: int = 100) -> Any:
        """It learns from the record on that makes `num_warmup_samples`: one earlier than the clause says."""
        return ms.cost_model.XGBModel(
            num_warmup_samples=num_warmup_sample + 1, verbose_eval=0, adaptive_training=False, num_tuning_cores=1
        )


class TestMLPModel(MetaScheduleCostModelConformance):
    def make(self, **options: Any) -> Any:
        return ms.cost_model.mlp_model.MLPModel()


class TestRandomModel(MetaScheduleCostModelConformance):
    LEARNS_NOTHING = "it learns nothing"
    exceptions = {}

    def make(self, **options: Any) -> Any:
        return ms.cost_model.RandomModel(seed=3)
