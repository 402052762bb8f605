"""Tune a whole network for this CPU with one GNNCostModel shared by all of its tasks.

Extracts the tasks from a Relay network, tunes them through TaskScheduler, builds the network with the best schedules,
checks its outputs against the untuned build, and times both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tvm import auto_scheduler

from tvm_gnn_cost import GNNCostModel, make_search_policies
from tvm_gnn_cost.ansor.build import build_network
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.networks import load_network, network_names
from tvm_gnn_cost.workloads import host_target


def main(argv: Sequence[str] | None = None) -> tuple[float, float]:
    """Tune and check; returns the latency in seconds of the untuned and of the tuned build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mobilenet", choices=network_names(), help="(default mobilenet)")
    parser.add_argument("--batch-size", type=int, default=1, help="images in a batch (default 1)")
    parser.add_argument("--layout", default="NCHW", choices=("NCHW", "NHWC"), help="(default NCHW)")
    parser.add_argument("--trials", type=int, default=1000, help="schedules to measure over all tasks (default 1000)")
    parser.add_argument("--log-file", help="the record log (default: the network's name)")
    parser.add_argument("--seed", type=int, default=0, help="of the model and the search (default 0)")
    args = parser.parse_args(argv)
    log_file = args.log_file or f"{args.network}.json"
    if Path(log_file).exists():
        parser.error(f"{log_file} exists; name another --log-file")

    target = host_target()
    network = load_network(args.network, batch_size=args.batch_size, layout=args.layout)
    tasks, weights = network_tasks(network, target)
    if args.trials < len(tasks):
        parser.error(f"{args.network} has {len(tasks)} tasks, and needs at least as many --trials")
    options = auto_scheduler.TuningOptions(
        num_measure_trials=args.trials,
        runner=auto_scheduler.LocalRunner(repeat=3, min_repeat_ms=50),
        measure_callbacks=[auto_scheduler.RecordToFile(log_file)],
        verbose=0,
    )

    # Stock TVM:  auto_scheduler.TaskScheduler(tasks, weights).tune(options)
    policies = make_search_policies(tasks, GNNCostModel(seed=args.seed), seed=args.seed, verbose=0)
    auto_scheduler.TaskScheduler(tasks, weights, callbacks=[]).tune(options, search_policy=policies)

    built = build_network(network, log_file, target, seed=args.seed)
    assert built.untuned_s is not None and built.tuned_s is not None  # the target is this machine

    table = Table(title=f"{args.network}, batch {args.batch_size}, {args.layout}: {len(tasks)} tasks")
    for heading in ("build", "latency (ms)", "speed-up"):
        table.add_column(heading, justify="left" if heading == "build" else "right")
    table.add_row("untuned", f"{built.untuned_s * 1e3:.3f}", "1.00")
    speed_up = built.untuned_s / built.tuned_s
    table.add_row(f"tuned, {args.trials} trials", f"{built.tuned_s * 1e3:.3f}", f"{speed_up:.2f}")
    console = Console()
    console.print(table)
    console.print(f"outputs agree; log: {log_file}", highlight=False, soft_wrap=True)
    return built.untuned_s, built.tuned_s


if __name__ == "__main__":
    main()
