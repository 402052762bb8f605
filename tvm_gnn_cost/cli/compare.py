"""`tvm-gnn-cost compare`: several models on one workload, side by side."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from tvm_gnn_cost.cli.options import (
    MODELS,
    budget_options,
    check_target,
    make_model,
    make_problem,
    measure_options,
    model_name,
    model_options,
    problem_options,
    search_options,
    split_names,
)
from tvm_gnn_cost.cli.pages import PAGE_FILE
from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.progress import Display, TuningStatus
from tvm_gnn_cost.cli.schedulers.choice import find_scheduler
from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler
from tvm_gnn_cost.cli.tables import figures_table
from tvm_gnn_cost.cli.told import BOUNDS, settings_of, without_runs
from tvm_gnn_cost.errors import InvalidArgumentError, TVMGNNCostError
from tvm_gnn_cost.records.comparison import RESULT_FILE, Comparison, Run, speed_up
from tvm_gnn_cost.records.run_file import RunFile
from tvm_gnn_cost.records.saved_tasks import tasks_path
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.system.locks import only_writer

PLOT_FILE = "comparison.png"
SCHEDULER = "scheduler"
"""The setting that names it; not there for auto_scheduler, which was the only one once."""
LABELS = {"gnn": "GNNCostModel", "xgboost": "XGBModel"}


@click.command(short_help="Tune a workload with several models, side by side.")
@problem_options
@click.option("--models", default=",".join(MODELS), show_default=True, help="Which models, separated by commas.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each model, seeds 0, 1...")
@budget_options
@click.option("--output", type=click.Path(file_okay=False), default="comparison", show_default=True,
              help="The folder for the result, the plot, the page and the logs.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Begin anew, where the folder already holds a comparison.")
@model_options
@search_options
@measure_options(MeasureOptions())
def compare(
    models: str,
    seeds: int,
    budget: TuneOptions,
    output: str,
    restart: bool,
    pretrained: str,
    device: str,
    scheduler: str | None,
    population: int | None,
    any_cost: bool,
    measure: MeasureOptions,
    **problem: Any,
) -> int:
    """Tune a WORKLOAD (or a network: --network, --model) with each of several cost models: same trials, same seeds,
    same machine.

    The models take turns within each seed, and who begins alternates. The folder gets comparison.json (machine,
    versions, every trial), comparison.png (best latency against trials and against seconds), report.html (the same and
    much more, as one page) and a record log a run.
    Nothing else should run on the machine meanwhile. Stopped by Ctrl-C, the same command goes on: finished runs are
    not run again.

    \b
    Examples:
      tvm-gnn-cost compare matmul 512 512 512
      tvm-gnn-cost compare conv2d_nhwc 1 28 28 128 128 3 1 1 --seeds 3 --trials 512 --output runs/conv
      tvm-gnn-cost compare ops.py:my_conv 1 64 56 56 --trials 128
      tvm-gnn-cost compare matmul 512 512 512 --scheduler metaschedule
      tvm-gnn-cost compare --network mlp --models gnn --pretrained none
      tvm-gnn-cost compare --model encoder.pt2 --trials 1000
    """
    console = Console()
    names = _model_names(models)
    check_target(problem["target"], measure.tracker)
    tvm = find_scheduler(scheduler)
    asked = make_problem(tvm, **problem)
    options = replace(budget, measure=measure)
    folder = Path(output)
    settings = settings_of(tvm, asked, options, population, pretrained, device, not any_cost)
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder / RESULT_FILE):
        comparison = _open(folder, asked, settings, restart, measure.tracker)
        for seed in range(seeds):
            for name in names if seed % 2 == 0 else reversed(names):
                if comparison.has(name, seed):
                    console.print(f"{LABELS[name]}, seed {seed}: done before", highlight=False)
                    continue
                run = _run(tvm, console, asked, options, comparison, folder, name, seed)
                if run is None:
                    console.print(
                        "Stopped early; the same command goes on from the last finished run.", highlight=False
                    )
                    return 130
                comparison = comparison.with_run(run)
                comparison.save(folder / RESULT_FILE)
        _report(console, comparison, folder)
        return 0 if all(run.best_latency_s is not None for run in comparison.runs) else 1


def print_table(console: Console, comparison: Comparison) -> None:
    """The summary of a comparison: a column for each model, medians over its seeds."""
    rows = comparison.summaries()
    table = figures_table(comparison.workload, "", [LABELS.get(row.model, row.model) for row in rows])
    table.add_row("best latency (ms)", *("-" if row.latency_s is None else format_ms(row.latency_s) for row in rows))
    if any(row.runs > 1 for row in rows):
        ranges = [row.latency_range_s for row in rows]
        table.add_row(
            "of all seeds", *("-" if r is None else f"{format_ms(r[0])} to {format_ms(r[1])}" for r in ranges)
        )
    table.add_row("GFLOP/s", *("-" if row.gflops is None else f"{row.gflops:.1f}" for row in rows))
    reached = [None if r.trials_to_best is None else (r.trials_to_best, r.seconds_to_best) for r in rows]
    table.add_row("reached after", *("-" if r is None else f"{r[0]:g} trials, {r[1]:.0f} s" for r in reached))
    for phase in ("search", "measure", "train", "total"):
        table.add_row(f"{phase} (s)", *(f"{getattr(row, f'{phase}_s'):.1f}" for row in rows))
    console.print(table)
    _print_speed_up(console, comparison)


def _print_speed_up(console: Console, comparison: Comparison) -> None:
    ours, baseline = comparison.of("gnn"), comparison.of("xgboost")
    if not ours or not baseline:
        return
    ratio = speed_up(ours, baseline)
    if ratio is None:
        console.print("GNNCostModel did not reach XGBModel's final latency in every run.", highlight=False)
    else:
        console.print(
            f"GNNCostModel reached XGBModel's final latency in 1/{ratio[0]:.2f} of its trials and "
            f"1/{ratio[1]:.2f} of its seconds.",
            highlight=False,
            soft_wrap=True,
        )


def _run(
    tvm: Scheduler,
    console: Console,
    problem: Problem,
    options: TuneOptions,
    comparison: Comparison,
    folder: Path,
    name: str,
    seed: int,
) -> Run | None:
    """One run; None if it was interrupted."""
    log = folder / tvm.log_path(f"{name}-seed{seed}")
    _set_aside(log)
    # both XGBModels draw their scores from numpy's global generator until they have learnt, TaskScheduler its ties
    np.random.seed(seed)
    random.seed(seed)
    settings, per_round = comparison.settings, options.trials_per_round
    model = make_model(
        tvm,
        name,
        seed,
        settings["pretrained"],
        settings["device"],
        len(problem.tasks),
        per_round,
        settings["cost_aware"],
    )
    status = TuningStatus(lambda _: f"{LABELS[name]}, seed {seed}", lambda _: problem.flops)
    with Display(console, status) as display:
        told = RunFile(log, replace(comparison, runs=()), name, seed, resume=False)
        result = tvm.tune(
            problem,
            model,
            log,
            options,
            seed=seed,
            population=settings["population"],
            observer=display,
            on_round=told.write,
        )
    run = told.write(result, finished=True).runs[0]
    if result.interrupted:
        return None
    told.path.unlink(missing_ok=True)  # the comparison has it now
    return run


def _report(console: Console, comparison: Comparison, folder: Path) -> None:
    from tvm_gnn_cost.report.comparison_plots import plot_comparison
    from tvm_gnn_cost.report.page.comparison_page import comparison_page

    print_table(console, comparison)
    drawn = {"plot": folder / PLOT_FILE, "report": folder / PAGE_FILE}
    try:
        plot_comparison(comparison, drawn["plot"])
        comparison_page(comparison).save(drawn["report"])
    except TVMGNNCostError as error:
        drawn = {}
        console.print(f"no plot and no report: {error}", highlight=False, soft_wrap=True)
    for what, path in {"result": folder / RESULT_FILE, **drawn}.items():
        console.print(f"{what}: {path}", highlight=False, soft_wrap=True)
    for run in comparison.runs:
        console.print(f"log:    {run.log_file}", highlight=False, soft_wrap=True)


def _open(
    folder: Path, problem: Problem, settings: dict[str, Any], restart: bool, tracker: Tracker | None
) -> Comparison:
    """The comparison that the folder holds, or a new one. Raises InvalidArgumentError where it is another one."""
    fresh = without_runs(problem, settings, tracker)
    path = folder / RESULT_FILE
    if restart or not path.exists():
        _set_aside(path)
        return fresh
    found = Comparison.load(path)
    if (found.workload, found.machine.get("cpu")) != (problem.label, fresh.machine["cpu"]):
        raise InvalidArgumentError(
            f"{path} compares {found.workload!r} on {found.machine.get('cpu')!r}: name another --output, or --restart"
        )
    unknown = {"hardware"} - found.settings.keys()  # comparisons of earlier releases do not say
    keys = [key for key in dict.fromkeys([*settings, *BOUNDS, SCHEDULER]) if key not in unknown]
    former = MeasureOptions().readings()  # what earlier releases did not write down
    different = [key for key in keys if found.settings.get(key, former.get(key)) != settings.get(key)]
    if different:
        changes = ", ".join(f"{key} was {found.settings.get(key)}, now {settings.get(key)}" for key in different)
        raise InvalidArgumentError(f"{path} was made otherwise ({changes}): name another --output, or --restart")
    return replace(found, tasks=fresh.tasks)  # comparisons of earlier releases do not name them


def _model_names(models: str) -> list[str]:
    names = list(dict.fromkeys(model_name(name) for name in split_names(models)))
    if not names:
        raise InvalidArgumentError(f"--models is {models!r}; it holds some of {', '.join(MODELS)}")
    return names


def _set_aside(path: Path) -> None:
    """Keep an earlier file under another name: measurements are not thrown away."""
    if not path.exists():
        return
    number = 1
    while (kept := path.with_name(f"{path.stem}.old{number}{path.suffix}")).exists():
        number += 1
    path.rename(kept)
    if tasks_path(path).exists():
        tasks_path(path).rename(tasks_path(kept))
