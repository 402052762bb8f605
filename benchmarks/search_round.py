"""A whole search round (sampling and evolution) with GNNCostModel and with stock XGBModel: seconds of both.

    python benchmarks/search_round.py

Both models are trained on the same 64 records first. Then ours searches wider, with several times the population and
generations, so that one sees what the time that was saved buys. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from predict_speed import TRAINING_RECORDS, sample, task_of, train
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

WORKLOADS = ("GMM", "C2D", "SFM")
WIDER = ((1, 1), (2, 1), (4, 1), (4, 2))
"""(times the population, times the generations)."""

POPULATION, GENERATIONS = 2048, 4
"""TVM's own (`SketchPolicy.DEFAULT_PARAMS`)."""


def search_round(model: Any, task: Any, population: int, generations: int, seed: int) -> tuple[float, int]:
    """(seconds, states scored) of one round, as `SketchPolicy.continue_search_one_round` has it."""
    auto_scheduler = require_auto_scheduler()
    scored = 0
    predict = model.predict

    def counting(task: Any, states: Sequence[Any]) -> Any:
        nonlocal scored
        scored += len(states)
        return predict(task, states)

    model.predict = counting
    parameters = {"evolutionary_search_population": population, "evolutionary_search_num_iters": generations}
    policy = auto_scheduler.SketchPolicy(task, model, params=parameters, verbose=0, seed=seed)
    start = time.perf_counter()
    policy.evolutionary_search(policy.sample_initial_population(), 64)
    seconds = time.perf_counter() - start
    model.predict = predict
    return seconds, scored


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS))
    parser.add_argument("--targets", nargs="+", default=["llvm -num-cores=2", "cuda -arch=sm_70"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    table = Table("workload", "target", "model", "population", "generations", "states scored", "seconds", "of stock's")
    console = Console()
    for target in options.targets:
        for name in options.workloads:
            task = task_of(name, target)
            states = sample(task, TRAINING_RECORDS, options.seed)
            stock = require_auto_scheduler().XGBModel(verbose_eval=0, num_warmup_sample=-1)
            ours = GNNCostModel(pretrained=None, seed=options.seed)
            for model in (stock, ours):
                train(model, task, states, options.seed)
            base, scored = search_round(stock, task, POPULATION, GENERATIONS, options.seed)
            table.add_row(
                name, target, "XGBModel", str(POPULATION), str(GENERATIONS), str(scored), f"{base:.1f}", "1.00"
            )
            for times_population, times_generations in WIDER:
                population, generations = times_population * POPULATION, times_generations * GENERATIONS
                seconds, scored = search_round(ours, task, population, generations, options.seed)
                table.add_row(
                    name, target, "GNNCostModel", str(population), str(generations), str(scored), f"{seconds:.1f}",
                    f"{seconds / base:.2f}",
                )  # fmt: skip
                console.print(f"{name} on {target}, {population} x {generations}: {seconds:.1f} s, stock {base:.1f} s")
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
