"""Experiment trackers: observers that keep a run's metrics in TensorBoard, Weights & Biases, MLflow or a JSONL file.

    with TensorBoardLogger("runs/conv") as logger:
        tune_tasks(tasks, model, "conv.json", observer=logger)

Each needs its library, an extra of this package, and loads it only when it is made.
"""

from __future__ import annotations

from tvm_gnn_cost.loggers.base import LoggerNotAvailableError, MetricLogger, observed_by
from tvm_gnn_cost.loggers.jsonl import JSONLLogger
from tvm_gnn_cost.loggers.mlflow import MLflowLogger
from tvm_gnn_cost.loggers.tensorboard import TensorBoardLogger
from tvm_gnn_cost.loggers.wandb import WandbLogger

__all__ = [
    "JSONLLogger",
    "LoggerNotAvailableError",
    "MLflowLogger",
    "MetricLogger",
    "TensorBoardLogger",
    "WandbLogger",
    "observed_by",
]
