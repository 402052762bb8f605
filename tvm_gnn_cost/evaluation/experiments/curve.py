"""Experiment `curve`: accuracy on unseen tasks against the number of workloads learnt."""

from __future__ import annotations

import math
import statistics

from tvm_gnn_cost.evaluation.experiments.base import RANKING_METRICS, Experiment, Findings, add_ranking
from tvm_gnn_cost.evaluation.held_out import HeldOut, Ranking
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.runs import Run
from tvm_gnn_cost.evaluation.split import LARGEST_SUBSET, training_subsets
from tvm_gnn_cost.evaluation.statistics import Samples


class CurveExperiment(Experiment):
    name = "curve"
    help = "accuracy on unseen tasks against the number of workloads learnt"
    title = "curve: unseen tasks, by the number of training workloads"
    metrics = RANKING_METRICS

    def plan(self, planner: Planner) -> None:
        problems, fold, counts = planner.problems, planner.fold, planner.options.curve
        workloads = {problems[i].pool.workload for i in fold.training}
        least = math.ceil(min(counts, default=1) / LARGEST_SUBSET)
        if len(workloads) < least:
            planner.skip_untrained(f"there are {len(workloads)} training workloads, and at least {least} are needed")
            return
        for method in planner.methods:
            if not method.transfers or method.checkpoint is not None or not method.training_seeds(0):
                continue
            for _, seed in planner.each([method]):
                for names in training_subsets(workloads, counts, seed).values():
                    learnt = tuple(i for i in fold.training if problems[i].pool.workload in names)
                    planner.add_transfer(method, seed, learnt, whole=len(names) == len(workloads))

    def find(self, outcomes: Outcomes) -> Findings:
        samples = Samples(self.name)
        for workloads, run, part in _by_training_size(outcomes):
            add_ranking(samples, f"{workloads} workloads", run, part)
        return Findings(samples.statistics(outcomes.methods), learning_curves=_learning_curves(outcomes))


def _learning_curves(outcomes: Outcomes) -> dict[str, dict[int, list[float]]]:
    """Of each method and number of workloads, pairwise accuracy for each seed."""
    values: dict[tuple[str, int, int], list[float]] = {}
    for workloads, run, part in _by_training_size(outcomes):
        ranking = Ranking.of(part.scores, part.latency)
        if ranking is not None:
            values.setdefault((run.method, workloads, run.seed), []).append(ranking.pairwise)
    found: dict[str, dict[int, list[float]]] = {}
    for (name, workloads, _), accuracies in values.items():
        found.setdefault(name, {}).setdefault(workloads, []).append(statistics.fmean(accuracies))
    return {method: found[method] for method in outcomes.methods if method in found}


def _by_training_size(outcomes: Outcomes) -> list[tuple[int, Run, HeldOut]]:
    """With the number of workloads learnt, ascending; whole training sets, of one fold a little larger than of another,
    count as the largest of them. Methods that learnt none, and checkpoints, are left out; without smaller training sets
    there is nothing to compare, and nothing is returned.
    """
    unseen = outcomes.unseen
    if all(run.whole for run, _ in unseen):
        return []
    largest = max((run.workloads for run, _ in unseen if run.whole), default=0)
    sized = [(largest if run.whole else run.workloads, run, part) for run, part in unseen if run.workloads]
    return sorted(sized, key=lambda item: item[0])
