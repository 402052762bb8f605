"""How the schedulers' own cost models learn from recorded pools: what stands for them in an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.records.rows import Rows
from tvm_gnn_cost.records.task import META_SCHEDULE


def train_stock(scheduler: str, training: Sequence[Rows], labels: Sequence[NDArray[np.float64]], seed: int) -> Any:
    """An `xgboost.Booster`, trained as the scheduler's XGBModel trains its own.

    Args:
        scheduler: whose pools they are.
        training: the rows of the records, by task.
        labels: their normalised throughputs.
        seed: of XGBoost.

    Raises TVMNotAvailableError where the installed TVM lacks the scheduler.
    """
    if scheduler == META_SCHEDULE:
        from tvm_gnn_cost.meta_schedule.stock_features import train_pack_sum as train_meta_schedule

        return train_meta_schedule(training, labels, seed)
    from tvm_gnn_cost.ansor.stock import train_pack_sum as train_ansor

    return train_ansor(training, labels, seed)
