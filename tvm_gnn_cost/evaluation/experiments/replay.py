"""Experiment `replay`: a search among the recorded schedules, trials until the best are found (`search_replay`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tvm_gnn_cost.evaluation.experiments.base import Experiment, Findings, Metric
from tvm_gnn_cost.evaluation.head_to_head import HeadToHead, head_to_head
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.results import Values
from tvm_gnn_cost.evaluation.runs import REPLAY
from tvm_gnn_cost.evaluation.search_replay import CHECKPOINTS, GOALS, best_after, thin, trials_to
from tvm_gnn_cost.evaluation.statistics import Samples


class ReplayExperiment(Experiment):
    name = "replay"
    help = "a search among the recorded schedules: trials until the best are found"
    title = "replay: best so far / best of the pool, and trials to a share of the best"
    metrics = {"best": Metric("best so far"), "trials": Metric("trials", 0)}
    settings_are_columns = True

    def plan(self, planner: Planner) -> None:
        options = planner.options.replay
        least = 2 * options.round
        for index in planner.fold.tests:
            problem = planner.problems[index]
            for seed in range(planner.options.seeds):
                left = len(thin(problem.pool.latency, problem.generator(seed, "thin")))
                if left < least and planner.methods:
                    planner.skip(
                        f"thinned so that good schedules are rare, fewer than {least} records are left, two rounds of "
                        f"{options.round} (`replay.round`)",
                        index,
                    )
                    continue
                for method in planner.methods:
                    start, how = planner.start_of(method, seed), (options.round, options.trials)
                    planner.add(REPLAY, method, seed, index, start, how)

    def find(self, outcomes: Outcomes) -> Findings:
        samples = Samples(self.name)
        for run, values in outcomes.replays:
            for trials in CHECKPOINTS:
                best = best_after(values["relative"], trials, values["records"])
                samples.add(f"{trials} trials", "best", run.method, run.seed, best)
            for goal in GOALS:
                samples.add(f"to {goal:.0%}", "trials", run.method, run.seed, _trials(values, goal))
        return Findings(
            samples.statistics(outcomes.methods),
            head_to_heads=_head_to_heads(outcomes),
            search_curves=_search_curves(outcomes),
        )


def _trials(values: Values, goal: float) -> float:
    """Trials to the goal; where a replay ended before, all of its trials: a lower bound."""
    return float(trials_to(values["relative"], goal) or len(values["relative"]))


def _head_to_heads(outcomes: Outcomes) -> list[HeadToHead]:
    """Of each method and goal, over the pools and seeds that the baseline has too."""
    found = []
    for goal in GOALS:
        trials: dict[str, dict[tuple[int, int], float]] = {}
        for run, values in outcomes.replays:
            trials.setdefault(run.method, {})[run.problem, run.seed] = _trials(values, goal)
        base = trials.get(outcomes.baseline, {})
        for method in outcomes.methods:
            both = sorted(trials.get(method, {}).keys() & base.keys())
            if both and method != outcomes.baseline:
                found.append(head_to_head(method, goal, {k: trials[method][k] for k in both}, base))
    return found


def _search_curves(outcomes: Outcomes) -> dict[str, list[list[float]]]:
    longest = max((len(values["relative"]) for _, values in outcomes.replays), default=0)
    found: dict[str, list[list[float]]] = {}
    for method in outcomes.methods:
        by_seed: dict[int, list[np.ndarray[Any, Any]]] = {}
        for run, values in outcomes.replays:
            if run.method == method:
                best = np.maximum.accumulate(values["relative"])
                best = np.concatenate([best, np.full(longest - len(best), best[-1])])
                by_seed.setdefault(run.seed, []).append(best)
        if by_seed:
            found[method] = [np.mean(curves, axis=0).tolist() for curves in by_seed.values()]
    return found
