"""What a `Trainer` returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import FloatArray


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What one `fit` or `partial_fit` did.

    Attributes:
        records: new records given.
        steps: optimiser steps made.
        seconds: wall-clock time.
        train_loss: mean over the last 10 steps; nan if there was none.
        validation_loss: the best one seen, whose weights were kept; nan without held-out records.
        validation_pairwise_accuracy: mean over tasks, on the held-out records with those weights; nan without.
        accuracy_before: pairwise accuracy on the new records before they were learned, mean over tasks: an honest
            held-out number that costs no records; nan for `fit` and where no pair can be compared.
        stopped_by: "steps", "patience", "seconds" (not repeatable), "non-finite loss" (rolled back) or "no records".
    """

    records: int
    steps: int
    seconds: float
    train_loss: float
    validation_loss: float
    validation_pairwise_accuracy: float
    stopped_by: str
    accuracy_before: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predictions for n graphs with N nodes together.

    Attributes:
        relative_throughput: float64 (n,), in [1e-6, 1e3]; 1 is as fast as the best measured record of the task. For a
            task without a measured record: as fast as the average task's best by score, which still ranks.
        latency: float64 (n,) seconds; nan for a task never seen if no flop was given.
        score: float32 (n,), the network's output, in octaves of throughput, up to an offset of each task's own.
        time_shares: float32 (N,), the nodes' shares of the predicted time; those of a graph sum to 1.
    """

    relative_throughput: NDArray[np.float64]
    latency: NDArray[np.float64]
    score: FloatArray
    time_shares: FloatArray
