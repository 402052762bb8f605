"""A network tuned once more, for another image size or batch, from a database of what its first tuning found.

    python benchmarks/network_twice.py mobilenet --first 3,224,224 --again 3,192,192 --output DIR

Three runs for each seed: the first network, which fills a database; the other with that database, and the other with
none, which of the two is first changing with the seed. Each ends by itself (`--until`), or after `--trials`. Told are
the seconds of the run with the database until it is as fast as the one without is in the end, or within a hundredth of
it, over the seconds until that one is. Finished runs are not run again. Nothing else should run on the machine
meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arms import open_comparison, run_arm
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.networks import load_network
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneResult

FIRST, AGAIN, ALONE = "first", "with-database", "alone"
NEARNESS = (0.0, 0.01)
"""To the last result of the run without: readings of one schedule differ by about a hundredth."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="as `tvm-gnn-cost tune --network` takes it")
    parser.add_argument("--layout", default="NHWC")
    parser.add_argument("--first", required=True, metavar="C,H,W", help="the image's shape, the first time")
    parser.add_argument("--again", required=True, metavar="C,H,W", help="the second time")
    parser.add_argument("--batch-again", type=int, default=1)
    parser.add_argument("--pretrained", default="auto")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--until", type=float, default=0.02)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(argv)
    console = Console()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "comparison.json"
    settings = {key: value for key, value in vars(options).items() if key not in ("output", "seeds")}
    settings["pretrained"] = Path(options.pretrained).name
    label = f"{options.network} {options.layout} {options.again} after {options.first}"
    comparison = open_comparison(path, label, settings)
    for seed in range(options.seeds):
        for arm in (FIRST, AGAIN, ALONE) if seed % 2 == 0 else (ALONE, FIRST, AGAIN):
            if not comparison.has(arm, seed):
                comparison = comparison.with_run(tune(arm, seed, options))
                comparison.save(path)
    show(console, comparison)
    return 0


def tune(arm: str, seed: int, options: Any) -> Run:
    """One run, with a network of its own."""
    shape = tuple(map(int, (options.first if arm == FIRST else options.again).split(",")))
    batch = 1 if arm == FIRST else options.batch_again
    network = load_network(options.network, batch_size=batch, layout=options.layout, image_shape=shape)
    tasks, weights = network_tasks(network)
    log = options.output / f"{arm}-seed{seed}.log.json"
    model = GNNCostModel(pretrained=options.pretrained, seed=seed)
    budget = TuneOptions(trials=options.trials, until=options.until)
    folder: Path = options.output / f"database-{arm}-seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was cut off
    if arm == AGAIN:
        shutil.copytree(options.output / f"database-{FIRST}-seed{seed}", folder)
    database = None if arm == ALONE else folder

    def tuned() -> TuneResult:
        return tune_tasks(tasks, model, log, budget, weights=weights, seed=seed, database=database)

    return run_arm(arm, seed, log, tuned)


def show(console: Console, comparison: Comparison) -> None:
    """A row for each run, and how much sooner the database gets there."""
    table = Table("run", "seed", "tasks", "trials", "latency (ms)", "seconds")
    for run in comparison.runs:
        best = run.best_latency_s
        latency = "-" if best is None else f"{best * 1e3:.4g}"
        table.add_row(
            run.model, str(run.seed), str(len(run.weights)), str(len(run.trials)), latency, f"{run.times.total_s:.0f}"
        )
    console.print(table)
    alone = {run.seed: run for run in comparison.of(ALONE)}
    for nearness in NEARNESS:
        ratios = []
        for run in comparison.of(AGAIN):
            end = alone[run.seed].best_latency_s
            if end is None:
                raise SystemExit("a task has no schedule that ran: give more --trials, and another --output")
            goal = end * (1.0 + nearness)
            there, before = run.reaches(goal), alone[run.seed].reaches(goal)
            assert before is not None
            ratios.append(there[1] / before[1] if there else float("inf"))
            said = f"after {there[1]:.0f} s" if there else "never"
            text = f"seed {run.seed}, {goal * 1e3:.4g} ms: with the database {said}, alone after {before[1]:.0f} s"
            console.print(text, highlight=False)
        median = f"median of the seeds: {statistics.median(ratios):.2f} of the seconds"
        console.print(f"to within {nearness:.0%} of where alone ends, {median}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
