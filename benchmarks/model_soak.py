"""One model, 24 tasks, 10^5 records: seconds and memory of a round stay flat.

    python benchmarks/model_soak.py --records 100000 --output soak.json

A round is what a tuning run asks of the model: the search scores `--scored` candidates of a task in generations of
512, and the model learns 64 measured ones. The tasks take turns. Schedules are sampled ones of TVM's operators with
made-up latencies, and repeat; what a round costs does not depend on them. Fails if the last tenth of the rounds takes
`ALLOWED_SECONDS` times as long as the second tenth, or memory grows by more than `ALLOWED_MIB` from there on.
Nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from predict_speed import sample, task_of, workload_names
from rich.console import Console
from soaking import BATCH, resident_mib

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

TASKS = 24
ROUND = 64
STATES = 512
"""Different schedules of a task."""
ALLOWED_SECONDS = 1.5
ALLOWED_MIB = 200.0


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--scored", type=int, default=2048, help="candidates that are scored in a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    options = parser.parse_args(argv)
    auto_scheduler = require_auto_scheduler()
    console = Console()
    names = workload_names()
    tasks = [task_of(names[i % len(names)], "llvm") for i in range(TASKS)]
    states = [sample(task, STATES, options.seed + i) for i, task in enumerate(tasks)]
    console.print(f"{TASKS} tasks sampled, {resident_mib():.0f} MiB", highlight=False)
    generator = np.random.default_rng(options.seed)
    model = GNNCostModel(seed=options.seed)
    rounds = options.records // ROUND
    scoring, learning, memory = [], [], []
    for i in range(rounds):
        task, known = tasks[i % TASKS], states[i % TASKS]
        start = time.perf_counter()
        for _ in range(options.scored // BATCH):
            model.predict(task, [known[k] for k in generator.integers(len(known), size=BATCH)])
        middle = time.perf_counter()
        chosen = [known[k] for k in generator.integers(len(known), size=ROUND)]
        costs = generator.uniform(0.5e-3, 1e-3, ROUND)
        model.update(
            [auto_scheduler.MeasureInput(task, state) for state in chosen],
            [auto_scheduler.MeasureResult([cost], 0, "", 0.1, 0.0) for cost in costs],
        )
        scoring.append(middle - start)
        learning.append(time.perf_counter() - middle)
        memory.append(resident_mib())
        if (i + 1) % max(rounds // 20, 1) == 0:
            console.print(
                f"{(i + 1) * ROUND} records: scoring {statistics.median(scoring[-TASKS:]):.2f} s, "
                f"learning {statistics.median(learning[-TASKS:]):.2f} s a round, {memory[-1]:.0f} MiB",
                highlight=False,
            )
    tenth = max(rounds // 10, 1)
    early, late = slice(tenth, 2 * tenth), slice(-tenth, None)
    found = {
        "records": rounds * ROUND,
        "tasks": TASKS,
        "scored": options.scored,
        "scoring_s": [statistics.median(scoring[early]), statistics.median(scoring[late])],
        "learning_s": [statistics.median(learning[early]), statistics.median(learning[late])],
        "longest_s": max(map(sum, zip(scoring[tenth:], learning[tenth:], strict=True))),
        "memory_mib": [memory[2 * tenth - 1], memory[-1]],
    }
    console.print(json.dumps(found, indent=1), highlight=False)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    ratios = [found[part][1] / found[part][0] for part in ("scoring_s", "learning_s")]
    growth = found["memory_mib"][1] - found["memory_mib"][0]
    console.print(f"late over early: scoring {ratios[0]:.2f}, learning {ratios[1]:.2f}, memory {growth:+.0f} MiB")
    return int(max(ratios) > ALLOWED_SECONDS or growth > ALLOWED_MIB)


if __name__ == "__main__":
    sys.exit(main())
