"""Experiment `calibration`: whether predicted throughput means what it says (`evaluation.calibration`)."""

from __future__ import annotations

import statistics

from tvm_gnn_cost.evaluation.calibration import Reliability, reliability
from tvm_gnn_cost.evaluation.experiments.base import Experiment, Findings, Metric
from tvm_gnn_cost.evaluation.held_out import HeldOut
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.statistics import Statistic


class CalibrationExperiment(Experiment):
    name = "calibration"
    help = "whether predicted throughput means what it says"
    title = "calibration: predicted against measured relative throughput"
    metrics = {"expected error": Metric("expected error")}

    def plan(self, planner: Planner) -> None:
        planner.add_held_out()

    def find(self, outcomes: Outcomes) -> Findings:
        found = _reliabilities(outcomes)
        pools = len({run.problem for run, _ in outcomes.held_out})
        return Findings([self._expected_error(method, found[method], pools) for method in found], reliability=found)

    def _expected_error(self, method: str, of_seed: list[Reliability], pools: int) -> Statistic:
        errors = [r.expected_error for r in of_seed]
        return Statistic(
            self.name,
            "relative throughput",
            "expected error",
            method,
            statistics.median(errors),
            min(errors),
            max(errors),
            pools,
            len(errors),
        )


def _reliabilities(outcomes: Outcomes) -> dict[str, list[Reliability]]:
    """Of each method, for each seed, on the schedules after the fewest learnt records."""
    found: dict[str, list[Reliability]] = {}
    for method in outcomes.methods:
        by_seed: dict[int, list[HeldOut]] = {}
        for run, parts in outcomes.held_out:
            if run.method == method:
                by_seed.setdefault(run.seed, []).append(parts[0])
        known = [r for r in map(reliability, by_seed.values()) if r is not None]
        if known:
            found[method] = known
    return found
