"""What is told of runs besides what they measured: settings, machine, versions. The same for `tune` and `compare`."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler
from tvm_gnn_cost.records.comparison import Comparison
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import TuneOptions
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp

BOUNDS = ("early_stopping", "per_task_trials", "minutes", "until")
"""Settings that are not there where they bound nothing."""


def without_runs(
    problem: Problem, settings: dict[str, Any], tracker: Tracker | None, untuned_s: float | None = None
) -> Comparison:
    """A comparison that has no run yet. `untuned_s` is a network's latency before tuning."""
    machine = describe_machine() if tracker is None else {"cpu": f"RPC servers with the key {tracker.key}"}
    return Comparison(
        problem.label,
        settings,
        machine,
        describe_versions(),
        timestamp(),
        tasks=tuple(problem.names),
        untuned_s=untuned_s,
    )


def settings_of(
    tvm: Scheduler,
    problem: Problem,
    options: TuneOptions,
    population: int | None,
    pretrained: str,
    device: str,
    cost_aware: bool,
) -> dict[str, Any]:
    """What runs must have in common to be compared."""
    file = {} if problem.network is None else {k: v for k, v in problem.network.source.items() if k == "sha256"}
    return file | {
        "target": problem.facts[0].target,
        **tvm.settings(problem),
        "trials": options.trials,
        "trials_per_round": options.trials_per_round,
        # not there in comparisons of earlier releases, which had no such bounds
        **{name: bound for name in BOUNDS if (bound := getattr(options, name)) is not None},
        **options.measure.readings(),
        "population": population,
        "cost_aware": cost_aware,
        "pretrained": pretrained,
        "device": device,
    }
