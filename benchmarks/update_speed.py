"""Seconds of one `update` with 64 new records when a model already holds some, and peak memory; ours beside stock.

    python benchmarks/update_speed.py --workload GMM --records 64 1000 10000 100000

The records are sampled schedules of one workload with made-up latencies, at most STATES different ones: what an update
costs does not depend on them. The model starts as users start it, from the pretrained network. Stock trains on all
records at every update; `--stock-records` says how far it is taken.
Each model runs in a process of its own, one after the other. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
from predict_speed import sample, task_of, workload_names
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

NEW_RECORDS = 64
STATES = 2048
"""Different schedules, which repeat beyond; of each update at most so many are given at once."""


def run(model_name: str, held: Sequence[int], workload: str, seed: int) -> dict[str, float]:
    """Seconds of the update that brings the model to each number of records, and the peak memory in MiB."""
    auto_scheduler = require_auto_scheduler()
    task = task_of(workload, "llvm")
    states = sample(task, min(max(held), STATES), seed)
    costs = np.random.default_rng(seed).uniform(0.5e-3, 1e-3, max(held))
    inputs = [auto_scheduler.MeasureInput(task, states[i % len(states)]) for i in range(max(held))]
    results = [auto_scheduler.MeasureResult([cost], 0, "", 0.1, 0.0) for cost in costs]
    model = GNNCostModel(seed=seed) if model_name == "gnn" else auto_scheduler.XGBModel(verbose_eval=0, seed=seed + 1)
    seconds: dict[str, float] = {}
    done = 0
    for count in sorted(held):
        before = max(done, count - NEW_RECORDS)
        step = STATES if model_name == "gnn" else before  # stock learns everything anew, so all at once
        while done < before:
            until = min(before, done + step)
            model.update(inputs[done:until], results[done:until])
            done = until
        start = time.perf_counter()
        model.update(inputs[done:count], results[done:count])
        seconds[str(count)] = time.perf_counter() - start
        done = count
    seconds["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--records", type=int, nargs="+", default=[64, 1000, 10_000, 100_000], help="records held after the update"
    )
    parser.add_argument(
        "--stock-records", type=int, default=10_000, help="the most that stock is given (default 10000)"
    )
    parser.add_argument("--workload", choices=workload_names(), default="GMM")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["gnn", "xgboost"], help="run one model here and print JSON")
    options = parser.parse_args(argv)
    if options.only:
        print(json.dumps(run(options.only, options.records, options.workload, options.seed)))
        return 0
    table = Table("model", *(f"update to {n} records (s)" for n in sorted(options.records)), "peak (MiB)")
    for name in ("gnn", "xgboost"):
        command = [
            sys.executable,
            __file__,
            "--only",
            name,
            "--workload",
            options.workload,
            "--seed",
            str(options.seed),
        ]
        held = [n for n in options.records if name == "gnn" or n <= options.stock_records]
        child = subprocess.run([*command, "--records", *map(str, held)], capture_output=True, text=True, check=True)
        found = json.loads(child.stdout.strip().splitlines()[-1])
        seconds = (f"{found[str(n)]:.2f}" if n in held else "-" for n in sorted(options.records))
        table.add_row(name, *seconds, f"{found['peak']:.0f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
