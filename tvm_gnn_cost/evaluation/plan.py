"""Makes the plan of an evaluation: each experiment says which runs it needs of each fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS
from tvm_gnn_cost.evaluation.methods import Method
from tvm_gnn_cost.evaluation.options import EvaluationOptions
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.runs import Plan
from tvm_gnn_cost.evaluation.split import Fold


def make_plan(
    problems: Sequence[Problem],
    folds: Sequence[Fold],
    methods: Mapping[str, Method],
    options: EvaluationOptions,
    folder: Path,
) -> Plan:
    """What is to be done. `folder`: where trained methods are kept.

    Raises InvalidArgumentError where a fold learns what it tests, or nothing that was asked for can be done.
    """
    _check_apart(problems, folds)
    planner = Planner(problems, folds, methods, options, folder)
    for fold in folds:
        planner.begin_fold(fold)
        for name, experiment in EXPERIMENTS.items():
            if name in options.experiments:
                planner.begin_experiment(name)
                experiment.plan(planner)
    plan = planner.plan()
    if not plan.runs:
        raise InvalidArgumentError(f"nothing can be evaluated: {'; '.join(plan.skipped) or 'no methods were named'}")
    return plan


def _check_apart(problems: Sequence[Problem], folds: Sequence[Fold]) -> None:
    for fold in folds:
        learnt = {problems[i].digest for i in fold.training}
        for i in fold.tests:
            if problems[i].digest in learnt:
                raise InvalidArgumentError(
                    f"{problems[i].pool.name} is to be learnt and tested: give training pools (`training`) that hold "
                    "none of the tested records"
                )
