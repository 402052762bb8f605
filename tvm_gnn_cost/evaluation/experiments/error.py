"""Experiment `error`: how far predicted latencies are off, beside the noise of the measurements."""

from __future__ import annotations

import math
import statistics

from tvm_gnn_cost.evaluation.error import improvement, noise_floors, prediction_error
from tvm_gnn_cost.evaluation.experiments.base import Experiment, Findings, Metric
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.statistics import Samples, Statistic

NOISE = "noise"
"""What stands for a method where the noise floor is told."""


class ErrorExperiment(Experiment):
    name = "error"
    help = "how far predicted latencies are off, beside the noise of the measurements"
    title = "error: mean absolute percentage error of latency"
    metrics = {
        "error": Metric("error (%)", 1),
        "improvement": Metric("times below {baseline}", 2),
        "ceiling": Metric("pairwise ceiling"),
    }

    def plan(self, planner: Planner) -> None:
        planner.add_held_out()

    def find(self, outcomes: Outcomes) -> Findings:
        return Findings([*self._errors(outcomes), *self._noise(outcomes)])

    def _errors(self, outcomes: Outcomes) -> list[Statistic]:
        """Those of each method, and how many times smaller they are than the baseline's on the same pools."""
        samples = Samples(self.name)
        errors: dict[tuple[str, int, int], dict[int, float]] = {}
        for run, parts in sorted(outcomes.held_out, key=lambda item: item[0].sizes):
            for part in parts:
                error = prediction_error(part)
                samples.add(f"{part.learnt} records learnt", "error", run.method, run.seed, error)
                errors.setdefault((run.method, run.seed, part.learnt), {})[run.problem] = error
        for (method, seed, learnt), of_pool in errors.items():
            base = errors.get((outcomes.baseline, seed, learnt), {})
            both = [i for i in of_pool if i in base and math.isfinite(of_pool[i]) and math.isfinite(base[i])]
            if both and method != outcomes.baseline:
                ours, theirs = (statistics.fmean(of[i] for i in both) for of in (of_pool, base))
                samples.add(f"{learnt} records learnt", "improvement", method, seed, improvement(theirs, ours))
        return samples.statistics(outcomes.methods)

    def _noise(self, outcomes: Outcomes) -> list[Statistic]:
        """The noise floor of the pools whose errors are reported, from each source."""
        samples = Samples(self.name)
        tested = sorted({run.problem for run, _ in outcomes.held_out})
        floors = [floor for i in tested for floor in noise_floors(outcomes.problems[i])]
        for source in dict.fromkeys(floor.source for floor in floors):
            for floor in floors:
                if floor.source == source:
                    samples.add(source, "error", NOISE, 0, floor.error)
                    samples.add(source, "ceiling", NOISE, 0, floor.ceiling)
        return samples.statistics([NOISE])
