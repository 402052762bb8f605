"""Experiment `unseen`: tasks are ranked of which no record is known."""

from __future__ import annotations

from tvm_gnn_cost.evaluation.experiments.base import RANKING_METRICS, Experiment, Findings, add_ranking
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.split import NOVELTIES
from tvm_gnn_cost.evaluation.statistics import Samples


class UnseenExperiment(Experiment):
    name = "unseen"
    help = "tasks are ranked of which no record is known"
    title = "unseen: tasks of which no record is known"
    metrics = RANKING_METRICS

    def plan(self, planner: Planner) -> None:
        for method in planner.methods:
            if not method.transfers:
                continue
            if method.checkpoint is None and method.training_seeds(0) and not planner.fold.training:
                planner.skip_untrained(f"{method.name} learns other tasks first, and there are no training pools")
                continue
            for _, seed in planner.each([method]):
                planner.add_transfer(method, seed, planner.fold.training, whole=True)

    def find(self, outcomes: Outcomes) -> Findings:
        samples = Samples(self.name)
        whole = [(run, part) for run, part in outcomes.unseen if run.whole]
        if len({run.novelty for run, _ in whole}) > 1:
            for run, part in whole:
                add_ranking(samples, "all", run, part)
        for run, part in sorted(whole, key=lambda item: NOVELTIES.index(item[0].novelty)):
            add_ranking(samples, run.novelty, run, part)
        return Findings(samples.statistics(outcomes.methods))
