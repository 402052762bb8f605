"""The experiments of an evaluation: one a file. A new one is a file here and a line below."""

from __future__ import annotations

from tvm_gnn_cost.evaluation.experiments.base import Experiment
from tvm_gnn_cost.evaluation.experiments.calibration import CalibrationExperiment
from tvm_gnn_cost.evaluation.experiments.curve import CurveExperiment
from tvm_gnn_cost.evaluation.experiments.error import ErrorExperiment
from tvm_gnn_cost.evaluation.experiments.ranking import RankingExperiment
from tvm_gnn_cost.evaluation.experiments.replay import ReplayExperiment
from tvm_gnn_cost.evaluation.experiments.unseen import UnseenExperiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        RankingExperiment(),
        UnseenExperiment(),
        ReplayExperiment(),
        ErrorExperiment(),
        CalibrationExperiment(),
        CurveExperiment(),
    )
}
"""All experiments by name, in the order in which they are planned and reported."""
