"""The learner: graph networks trained online on stage graphs. It knows nothing of TVM."""

from __future__ import annotations

from .checkpoint import load_checkpoint, save_checkpoint
from .config import TrainerConfig
from .gcn import StageGCN
from .losses import LOSSES, get_loss
from .metrics import mean_absolute_percentage_error, pairwise_accuracy, spearman, top_k_score
from .pretraining import Pretraining, PretrainingData, PretrainOptions
from .replay import ReplayBuffer
from .results import FitReport, Prediction
from .scaling import FeatureScaler
from .store import GraphStore
from .trainer import Trainer

__all__ = [
    "LOSSES",
    "FeatureScaler",
    "FitReport",
    "GraphStore",
    "PretrainOptions",
    "Pretraining",
    "PretrainingData",
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
