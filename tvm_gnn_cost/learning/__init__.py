"""The learner: graph networks trained online on stage graphs. It knows nothing of TVM."""

from __future__ import annotations

from tvm_gnn_cost.learning.checkpoint import load_checkpoint, save_checkpoint
from tvm_gnn_cost.learning.config import TrainerConfig
from tvm_gnn_cost.learning.losses import LOSSES, get_loss
from tvm_gnn_cost.learning.metrics import mean_absolute_percentage_error, pairwise_accuracy, spearman, top_k_score
from tvm_gnn_cost.learning.networks.gcn import StageGCN
from tvm_gnn_cost.learning.replay_buffer import ReplayBuffer
from tvm_gnn_cost.learning.reports import FitReport, Prediction
from tvm_gnn_cost.learning.scaling import FeatureScaler
from tvm_gnn_cost.learning.trainer import Trainer

__all__ = [
    "LOSSES",
    "FeatureScaler",
    "FitReport",
    "Prediction",
    "ReplayBuffer",
    "StageGCN",
    "Trainer",
    "TrainerConfig",
    "get_loss",
    "load_checkpoint",
    "mean_absolute_percentage_error",
    "pairwise_accuracy",
    "save_checkpoint",
    "spearman",
    "top_k_score",
]
