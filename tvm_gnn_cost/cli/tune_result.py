"""What `tvm-gnn-cost tune` says at its end, and of a dry run: tables for people, one JSON object for machines."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.tables import figures_table
from tvm_gnn_cost.cli.task_table import short_name, total_text
from tvm_gnn_cost.records.tuning_run import LITTLE_LEFT, TuneResult
from tvm_gnn_cost.report.formats import format_ms, short_hash


def print_result(console: Console, problem: Problem, result: TuneResult, untuned_s: float | None = None) -> None:
    """A row for each task, and the totals; `untuned_s` is a network's latency before tuning."""
    table = figures_table(problem.label, "task", ("weight", "best (ms)", "GFLOP/s", "share", "trials"))
    shares = _shares(result)
    for i, (name, latency) in enumerate(zip(problem.names, result.best_latency_s, strict=True)):
        table.add_row(
            short_name(name),
            f"{result.weights[i]:g}",
            "-" if latency is None else format_ms(latency),
            f"{result.flops[i] / latency / 1e9:.1f}" if latency else "-",
            "-" if shares[i] is None else f"{shares[i]:.0%}",
            str(sum(trial.task == i for trial in result.trials)),
        )
    console.print(table)
    times = result.times
    failed = sum(trial.latency_s is None for trial in result.trials)
    lines = [
        f"{len(result.trials)} trials measured ({failed} failed), {result.resumed} from the log",
        f"{times.total_s:.0f} s: search {times.search_s:.0f}, measure {times.measure_s:.0f}, train {times.train_s:.0f}",
        f"log: {result.log_file}",
    ]
    if result.other_records:
        lines.insert(1, f"{result.other_records} records of the log are of other tasks or targets, and do not count")
    if result.total_latency_s is not None and len(problem.tasks) > 1:
        lines.insert(0, total_text(result.total_latency_s, untuned_s))
    if result.gain_left is not None:
        ended = "; so the run ended" if LITTLE_LEFT in result.left else ""
        lines.insert(0, f"further trials are expected to save {result.gain_left:.1%}{ended}")
    if result.exhausted:
        lines.insert(0, "the search found no further schedule to measure")
    elif LITTLE_LEFT not in result.left:
        lines[:0] = [f"{name} was left: {why}" for name, why in zip(problem.names, result.left, strict=True) if why]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def result_json(problem: Problem, result: TuneResult, untuned_s: float | None = None, **about: Any) -> str:
    """The result as one JSON object; latencies and times in seconds, None where nothing ran. `about` joins it."""
    times = result.times
    tasks = [
        {
            **task,
            "best_latency_s": result.best_latency_s[i],
            "share": _shares(result)[i],
            "trials": sum(trial.task == i for trial in result.trials),
            "left": result.left[i],
            "failed": sum(trial.task == i and trial.latency_s is None for trial in result.trials),
        }
        for i, task in enumerate(_tasks(problem))
    ]
    content = {
        "workload": problem.label,
        "tasks": tasks,
        "total_latency_s": result.total_latency_s,
        "untuned_latency_s": untuned_s,
        "trials": len(result.trials),
        "failed": sum(trial.latency_s is None for trial in result.trials),
        "resumed": result.resumed,
        "seconds": {
            "search": times.search_s,
            "score": times.score_s,
            "measure": times.measure_s,
            "train": times.train_s,
            "total": times.total_s,
        },
        "log": result.log_file,
        "gain_left": result.gain_left,
        "interrupted": result.interrupted,
        "exhausted": result.exhausted,
        "out_of_time": result.out_of_time,
        **about,
    }
    return json.dumps(content, indent=1, allow_nan=False)


def print_tasks(console: Console, problem: Problem) -> None:
    """What would be tuned."""
    targets = {fact.target for fact in problem.facts}
    table = figures_table(problem.label, "task", ("weight", "GFLOP", "key"))
    for task in _tasks(problem):
        table.add_row(short_name(task["name"]), f"{task['weight']:g}", f"{task['flop'] / 1e9:.3g}", task["key"])
    console.print(table)
    console.print(f"{len(problem.tasks)} tasks; nothing was measured", highlight=False, soft_wrap=True)
    for target in sorted(targets):
        console.print(f"target: {target}", highlight=False, soft_wrap=True, markup=False)


def tasks_json(problem: Problem) -> str:
    """The same as one JSON object."""
    return json.dumps({"workload": problem.label, "tasks": _tasks(problem)}, indent=1, allow_nan=False)


def _tasks(problem: Problem) -> list[dict[str, Any]]:
    """What is known of the tasks before they are tuned. `key` is short for `workload_key`."""
    return [
        {
            "name": name,
            "weight": weight,
            "flop": fact.flop,
            "target": fact.target,
            "key": short_hash(fact.workload_key),
            "workload_key": fact.workload_key,
        }
        for name, weight, fact in zip(problem.names, problem.weights, problem.facts, strict=True)
    ]


def _shares(result: TuneResult) -> list[float | None]:
    """Each task's share of the weighted total; None unless all tasks have a latency."""
    total = result.total_latency_s
    if not total:
        return [None] * len(result.weights)
    return [
        None if latency is None else latency * weight / total
        for latency, weight in zip(result.best_latency_s, result.weights, strict=True)
    ]
