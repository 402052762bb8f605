"""What an evaluation says: the findings of its experiments, as plain data and JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import EvaluationError
from tvm_gnn_cost.evaluation.calibration import Reliability
from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS, Experiment
from tvm_gnn_cost.evaluation.experiments.base import Findings
from tvm_gnn_cost.evaluation.head_to_head import HeadToHead
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.runner import Evaluation
from tvm_gnn_cost.evaluation.statistics import Statistic
from tvm_gnn_cost.system.files import read_json, write_atomically

SCHEMA = 1
BASELINE = "xgboost"
"""The method that others are compared with; without it, the first one."""


@dataclass(frozen=True)
class Summary:
    """All that a report shows.

    Attributes:
        statistics: see `Statistic`; by experiment, in their order.
        head_to_heads: see `HeadToHead`; none without a baseline.
        baseline: the method that others are compared with.
        search_curves: of each method, for each seed, the mean over pools of the best relative throughput after 1, 2,
            ... trials, as long as any replay lasted.
        learning_curves: of each method, for each number of training workloads, pairwise accuracy on unseen tasks for
            each seed.
        reliability: of each method, for each seed, on the schedules after the fewest learnt records.
        skipped: what could not be done, in words.
    """

    statistics: tuple[Statistic, ...]
    head_to_heads: tuple[HeadToHead, ...]
    baseline: str
    search_curves: Mapping[str, Sequence[Sequence[float]]]
    learning_curves: Mapping[str, Mapping[int, Sequence[float]]]
    reliability: Mapping[str, Sequence[Reliability]]
    skipped: tuple[str, ...]

    def of(self, experiment: str) -> list[Statistic]:
        return [statistic for statistic in self.statistics if statistic.experiment == experiment]

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Writes everything as JSON, with `about` (machine, options ...) before it. Raises EvaluationError."""
        values = asdict(self)
        # The file's own words: it is older than the names in this package.
        figures, duels = (
            [_renamed(row, "method", "model") for row in values.pop(key)] for key in ("statistics", "head_to_heads")
        )
        data = {"schema": SCHEMA, **about, "figures": figures, "duels": duels, **values}
        try:
            write_atomically(path, json.dumps(_finite(data), indent=1, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise EvaluationError(f"the summary cannot be written to {path}: {error.strerror or error}") from error


def load_summary(path: str | os.PathLike[str]) -> tuple[Summary, dict[str, Any]]:
    """What `Summary.save` wrote: the summary, and what is said about it. Raises EvaluationError."""
    data = read_json(path, "evaluation", EvaluationError)
    schema = data.pop("schema", None) if isinstance(data, dict) else None
    if schema != SCHEMA or "figures" not in data:
        raise EvaluationError(f"{path} is not an evaluation of schema {SCHEMA} (found {schema!r})")
    try:
        summary = Summary(
            statistics=tuple(Statistic(**_renamed(row, "model", "method")) for row in data.pop("figures")),
            head_to_heads=tuple(
                HeadToHead(**_renamed(row, "model", "method") | {"ratio_range": tuple(row["ratio_range"])})
                for row in data.pop("duels")
            ),
            baseline=data.pop("baseline"),
            search_curves=data.pop("search_curves"),
            learning_curves={
                method: {int(size): values for size, values in points.items()}
                for method, points in data.pop("learning_curves").items()
            },
            reliability={
                method: [Reliability(**bins) for bins in of_seed] for method, of_seed in data.pop("reliability").items()
            },
            skipped=tuple(data.pop("skipped")),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise EvaluationError(f"the evaluation {path} is damaged: {error!r}") from error
    return summary, data


def summarise(
    evaluation: Evaluation, problems: Sequence[Problem], methods: Sequence[str], experiments: Sequence[str]
) -> Summary:
    """What these experiments find in an evaluation, of these methods in their order."""
    baseline = BASELINE if BASELINE in methods else methods[0]
    outcomes = Outcomes.of(evaluation.plan, evaluation.values, problems, methods, baseline)
    findings = [_find(experiment, outcomes) for name, experiment in EXPERIMENTS.items() if name in experiments]
    return Summary(
        statistics=tuple(statistic for found in findings for statistic in found.statistics),
        head_to_heads=tuple(one for found in findings for one in found.head_to_heads),
        baseline=baseline,
        search_curves={method: curve for found in findings for method, curve in found.search_curves.items()},
        learning_curves={method: curve for found in findings for method, curve in found.learning_curves.items()},
        reliability={method: bins for found in findings for method, bins in found.reliability.items()},
        skipped=evaluation.plan.skipped,
    )


def _find(experiment: Experiment, outcomes: Outcomes) -> Findings:
    """What an experiment finds; its figures for each scheduler, where pools of several are tested.

    Nothing can be told from a mean over both: their search spaces and their pools differ. Curves are of all pools.
    """
    found = experiment.find(outcomes)
    schedulers = outcomes.schedulers
    if len(schedulers) < 2:
        return found
    parts = {scheduler: experiment.find(outcomes.of_scheduler(scheduler)) for scheduler in schedulers}
    return replace(
        found,
        statistics=[replace(one, scheduler=name) for name, part in parts.items() for one in part.statistics],
        head_to_heads=[replace(one, scheduler=name) for name, part in parts.items() for one in part.head_to_heads],
    )


def _renamed(row: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if key == old else key: value for key, value in row.items()}


def _finite(value: Any) -> Any:
    """JSON values, with null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
