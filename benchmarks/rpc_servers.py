"""Tuning over an RPC tracker: trials a minute with one server, with two, and with one of two killed half-way.

    python benchmarks/rpc_servers.py

Tracker and servers run on this machine, so that they share its cores with each other and with the builds: what two
servers gain here is less than what two boards gain. A record is lost where a trial of the budget is not in the log;
none may be, and none may be a failure of the server's. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions, TuneProgress
from tvm_gnn_cost.testing.rpc_rig import running_rig
from tvm_gnn_cost.workloads import host_target, parse_target

RUNTIME_DEVICE = 4
KILL_AFTER_S = 2.0
"""After the batch in which half of the trials were done: in the middle of the next."""


@dataclass(frozen=True)
class Outcome:
    """One run: its trials a minute, in all and of the time spent measuring; records lost; failures on a server."""

    a_minute: float
    a_measuring_minute: float
    lost: int
    failed: int
    killed: int


def tune_over(servers: int, options: argparse.Namespace, *, kill: bool) -> Outcome:
    """One tuning run on so many servers of this machine; with `kill`, one of them dies half-way."""
    target = parse_target(f"llvm -mcpu={host_target().attrs['mcpu']} -num-cores=1")
    timers: list[threading.Timer] = []
    with running_rig() as rig, tempfile.TemporaryDirectory() as folder:
        rig.start(servers)
        log = Path(folder) / "log.json"

        def observe(progress: TuneProgress) -> None:
            if kill and not timers and progress.done >= options.trials / 2:
                timers.append(threading.Timer(KILL_AFTER_S, rig.servers[0].kill))
                timers[0].start()

        measure = MeasureOptions(repeat=3, min_repeat_ms=options.min_repeat_ms, number=1, tracker=rig.tracker)
        result = tune_tasks(
            [make_task("matmul", (256, 256, 256), target)],
            GNNCostModel(seed=options.seed),
            log,
            TuneOptions(options.trials, options.round, measure),
            seed=options.seed,
            observer=observe,
        )
        for timer in timers:
            timer.join()
        errors = [json.loads(line)["r"][1] for line in log.read_text().splitlines()]
    return Outcome(
        60 * len(result.trials) / result.times.total_s,
        60 * len(result.trials) / result.times.measure_s,
        options.trials - len(errors),
        errors.count(RUNTIME_DEVICE),
        len(timers),
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--round", type=int, default=32)
    parser.add_argument("--min-repeat-ms", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    table = Table("servers", "killed", "trials a minute", "while measuring", "records lost", "failed on a server")
    lost = 0
    for servers, kill in ((1, False), (2, False), (2, True)):
        outcome = tune_over(servers, options, kill=kill)
        lost += outcome.lost + outcome.failed
        table.add_row(
            str(servers), str(outcome.killed), f"{outcome.a_minute:.1f}", f"{outcome.a_measuring_minute:.1f}",
            str(outcome.lost), str(outcome.failed),
        )  # fmt: skip
    Console().print(table)
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
