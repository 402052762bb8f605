"""Seconds of tuning until stock's result, and what a run that ends by itself gives up.

    python benchmarks/tuning_seconds.py --pretrained apart.ckpt --output DIR --task "matmul 512 512 512" --task ...

For each task and seed three runs, taking turns: ours as it comes, which ends where `--until` says; ours
without what a trial costs, neighbours and an end of its own; TVM's XGBModel. Finished runs are not run again. DIR gets
a comparison (`records.comparison`) and the logs of each task. Nothing else should run on the machine meanwhile.

Seconds are those of the whole run until the schedule was measured, search and training included. "To stock's" is until
a run is as fast as stock with that seed is in the end, over the seconds until stock itself is.
"""

from __future__ import annotations

import argparse
import math
import random
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from arms import open_comparison, run_arm
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions, TuneResult
from tvm_gnn_cost.system.files import safe_name

OURS, PLAIN, STOCK = "gnn", "gnn-plain", "xgboost"


@dataclass(frozen=True)
class Reached:
    """Of one seed: seconds over stock's until its final latency (inf: never), and final latency over stock's."""

    seconds: float
    latency: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", required=True, help="a workload and its arguments")
    parser.add_argument("--pretrained", default="auto", help="a network that has not learnt the tasks")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=192)
    parser.add_argument("--plain-trials", type=int, default=96, help="of ours without the options")
    parser.add_argument("--round", type=int, default=32)
    parser.add_argument("--until", type=float, default=0.02)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(argv)
    console = Console()
    options.output.mkdir(parents=True, exist_ok=True)
    paths = {label: options.output / f"{safe_name(label)}.json" for label in options.task}
    found = {label: open_comparison(path, label, _settings(options)) for label, path in paths.items()}
    for seed in range(options.seeds):
        for number, (label, path) in enumerate(paths.items()):
            turn = (number + seed) % 3
            for arm in ((OURS, PLAIN, STOCK) * 2)[turn : turn + 3]:
                if not found[label].has(arm, seed):
                    run = tune(label, arm, seed, options)
                    console.print(f"{label}, {arm}, seed {seed}: {_said(run)}", highlight=False)
                    found[label] = found[label].with_run(run)
                    found[label].save(path)
    show(console, list(found.values()))
    return 0


def tune(label: str, arm: str, seed: int, options: Any) -> Run:
    """One run of one arm."""
    from tvm.auto_scheduler.cost_model import XGBModel

    name, *arguments = shlex.split(label)
    task = make_task(name, [int(argument) for argument in arguments])
    log = options.output / f"{safe_name(label)}-{arm}-seed{seed}.log.json"
    np.random.seed(seed)  # stock draws from the global generators
    random.seed(seed)
    if arm == STOCK:
        model: Any = XGBModel(seed=seed, num_warmup_sample=options.round)
    else:
        model = GNNCostModel(pretrained=options.pretrained, seed=seed, cost_aware=arm == OURS)
    budget = TuneOptions(
        trials=options.plain_trials if arm == PLAIN else options.trials,
        trials_per_round=options.round,
        until=options.until if arm == OURS else None,
        measure=MeasureOptions(),
    )

    def tuned() -> TuneResult:
        return tune_tasks([task], model, log, budget, seed=seed, local_search=arm == OURS)

    return run_arm(arm, seed, log, tuned)


def reached(comparison: Comparison, arm: str) -> list[Reached]:
    """What an arm's runs come to beside stock's, by seed."""
    stock = {run.seed: run for run in comparison.of(STOCK)}
    figures = []
    for run in comparison.of(arm):
        goal = stock[run.seed].best_latency_s
        assert goal is not None and run.best_latency_s is not None, "every run has a schedule that ran"
        ours, theirs = run.reaches(goal), stock[run.seed].reaches(goal)
        assert theirs is not None
        figures.append(Reached(ours[1] / theirs[1] if ours else math.inf, run.best_latency_s / goal))
    return figures


def show(console: Console, comparisons: Sequence[Comparison]) -> None:
    """Medians over the seeds, geometric means over the tasks; each seed's final latencies beside."""
    table = Table("task", "stock (s)", "to stock's", "plain", "ours ends after (s, trials)", "latency over stock's")
    sooner: dict[str, list[float]] = {OURS: [], PLAIN: []}
    whole, latency = [], []
    for comparison in comparisons:
        stock = statistics.median(run.times.total_s for run in comparison.of(STOCK))
        ends = statistics.median(run.times.total_s for run in comparison.of(OURS))
        trials = statistics.median(len(run.trials) for run in comparison.of(OURS))
        for arm, ratios in sooner.items():
            ratios.append(statistics.median(one.seconds for one in reached(comparison, arm)))
        each = [one.latency for one in reached(comparison, OURS)]
        whole.append(ends / stock)
        latency.append(statistics.median(each))
        table.add_row(
            comparison.workload,
            f"{stock:.0f}",
            f"{sooner[OURS][-1]:.2f}",
            f"{sooner[PLAIN][-1]:.2f}",
            f"{ends:.0f}, {trials:.0f}",
            f"{latency[-1]:.3f} ({', '.join(f'{one:.3f}' for one in each)})",
        )
    table.add_section()
    ours, plain = (_geometric_mean(sooner[arm]) for arm in (OURS, PLAIN))
    table.add_row("geometric mean", "", f"{ours:.2f}", f"{plain:.2f}", f"{_geometric_mean(whole):.2f} of stock's",
                  f"{_geometric_mean(latency):.3f}")  # fmt: skip
    console.print(table)


def _settings(options: Any) -> dict[str, Any]:
    return {
        "trials": options.trials,
        "plain_trials": options.plain_trials,
        "trials_per_round": options.round,
        "until": options.until,
        "pretrained": Path(options.pretrained).name,
    }


def _said(run: Run) -> str:
    best = run.best_latency_s
    latency = "nothing ran" if best is None else f"{best * 1e3:.4g} ms"
    return f"{latency} after {len(run.trials)} trials, {run.times.total_s:.0f} s"


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values))) if all(map(math.isfinite, values)) else math.inf


if __name__ == "__main__":
    sys.exit(main())
