"""MetaSchedule's own cost models, as its users have them."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.system.machine import num_cores

WARM_UP = 100
"""Measurements that MetaSchedule's XGBModel must have before its scores are not random."""


def xgb_model(num_warmup_samples: int = WARM_UP) -> Any:
    """XGBModel as `ms.tune_tir(cost_model="xgb")` makes it.

    Args:
        num_warmup_samples: it draws its scores from numpy's global generator until it has learnt more than so many.

    Raises InvalidArgumentError where the package xgboost is missing.
    """
    try:
        import xgboost  # noqa: F401
    except ImportError as error:
        raise InvalidArgumentError("MetaSchedule's XGBModel needs the package xgboost: pip install xgboost") from error
    return ms.cost_model.XGBModel(
        num_warmup_samples=num_warmup_samples, num_tuning_cores=num_cores(), tree_method="auto"
    )


def random_model(seed: int = 0) -> Any:
    """RandomModel, whose scores are drawn from a generator of its own."""
    return ms.cost_model.RandomModel(seed=seed)
