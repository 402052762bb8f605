"""Experiment `ranking`: some records of a task are learnt, the others ranked."""

from __future__ import annotations

from tvm_gnn_cost.evaluation.experiments.base import RANKING_METRICS, Experiment, Findings, add_ranking
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.statistics import Samples


class RankingExperiment(Experiment):
    name = "ranking"
    help = "some records of a task are learnt, the others ranked"
    title = "ranking: schedules of a task that is partly known"
    metrics = RANKING_METRICS

    def plan(self, planner: Planner) -> None:
        planner.add_held_out()

    def find(self, outcomes: Outcomes) -> Findings:
        samples = Samples(self.name)
        for run, parts in sorted(outcomes.held_out, key=lambda item: item[0].sizes):
            for part in parts:
                add_ranking(samples, f"{part.learnt} records learnt", run, part)
        return Findings(samples.statistics(outcomes.methods))
