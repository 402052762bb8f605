"""`tvm-gnn-cost tune`: one tuning run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tvm_gnn_cost.cli.logger_options import logger_option, make_loggers
from tvm_gnn_cost.cli.options import (
    MODELS,
    budget_options,
    check_target,
    is_model,
    make_model,
    make_problem,
    measure_options,
    model_name,
    model_options,
    problem_options,
    search_options,
)
from tvm_gnn_cost.cli.pages import save_run_page
from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.progress import Display, TuningStatus
from tvm_gnn_cost.cli.schedulers.choice import find_scheduler
from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler
from tvm_gnn_cost.cli.task_table import NetworkStatus
from tvm_gnn_cost.cli.told import settings_of, without_runs
from tvm_gnn_cost.cli.tune_result import print_result, print_tasks, result_json, tasks_json
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.loggers.base import observed_by
from tvm_gnn_cost.records.databases import is_database
from tvm_gnn_cost.records.run_file import RunFile
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions


@click.command(short_help="Tune a workload or a network.")
@problem_options
@budget_options
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False),
    help="With ansor: the record log [default: named after the workload].",
)
@click.option(
    "--database",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="With ansor: a folder of schedules, which the search begins from and adds to. With metaschedule: its JSON "
    "database, where measurements go [default: named after the workload].",
)
@click.option("--resume", is_flag=True, help="Go on from the log or database; its records count as trials.")
@click.option("--cost-model", default="gnn", show_default=True, metavar="|".join(MODELS), help="xgboost is TVM's own.")
@model_options
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the model and the search.")
@click.option("--save-model", type=click.Path(dir_okay=False), help="Where to save the trained model.")
@click.option("--dry-run", is_flag=True, help="List the tasks, and measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; progress goes to stderr.")
@logger_option
@search_options
@measure_options(MeasureOptions())
def tune(
    budget: TuneOptions,
    log_file: str | None,
    database: str | None,
    resume: bool,
    cost_model: str,
    pretrained: str,
    device: str,
    seed: int,
    save_model: str | None,
    dry_run: bool,
    as_json: bool,
    loggers: tuple[str, ...],
    scheduler: str | None,
    population: int | None,
    any_cost: bool,
    measure: MeasureOptions,
    **problem: Any,
) -> int:
    """Tune a WORKLOAD, given by name and arguments, or all tasks of a network: --network NAME or --model FILE.

    How it went is a page of its own at the end, LOG.html; `tvm-gnn-cost report LOG --live` shows it while it goes on.

    Every measurement goes to the log file at once, in TVM's own format: apply a workload's with SearchTask.apply_best,
    compile a network with `tvm-gnn-cost build`. With --scheduler metaschedule it goes to a database instead: compile
    with `ms.tir_integration.compile_tir`. Ctrl-C stops at the next safe point and loses nothing; --resume goes on.

    \b
    Examples:
      tvm-gnn-cost tune matmul 512 512 512
      tvm-gnn-cost tune matmul 512 512 512 --scheduler metaschedule --database matmul
      tvm-gnn-cost tune matmul 512 512 512 --database schedules
      tvm-gnn-cost tune C2D 2 --trials 500 --log-file c2d.json
      tvm-gnn-cost tune C2D 2 --trials 1000 --log-file c2d.json --resume
      tvm-gnn-cost tune --network mobilenet --layout NHWC --trials 2000
      tvm-gnn-cost tune --network mobilenet --layout NHWC --dry-run
      tvm-gnn-cost tune --model net.onnx --input x=1,3,224,224 --trials 2000
      tvm-gnn-cost tune ops.py:my_conv 1 64 56 56
      tvm-gnn-cost tune C2D 2 --rpc pi5@192.168.1.10:9190 --target "llvm -mtriple=aarch64-linux-gnu -mcpu=cortex-a76"
      tvm-gnn-cost tune C2D 2 --logger tensorboard=runs/c2d --logger jsonl=c2d.jsonl
      tvm-gnn-cost tune attention 12 128 64 --cost-model xgboost --target "llvm -mcpu=skylake-avx512 -num-cores=8"

    With --database DIR the searches begin from the fastest schedules that the folder knows of the same task, and of
    tasks of the same structure, fitted to the new shape; everything measured is added to it. Several runs may share a
    folder. `tvm-gnn-cost apply` looks schedules up in it.

    `tvm-gnn-cost workloads` lists workloads with their arguments, and networks. The format of a --model FILE is found
    by its content: ONNX (needs the package onnx), torch.export.save, torch.jit.save (gives no shapes: --input), or
    NAME.json of tvm.ir.save_json with its weights, of tvm.relay.save_param_dict, in NAME.params beside it. Nothing in
    it is executed; pickled modules (torch.save) are not read.

    A workload of your own is a function that returns TE tensors, inputs and outputs: FILE.py:FUNCTION, or a name that a
    file of --register registers. Its arguments are numbers, texts and lists such as [1,2].

    "left" is the share of the latency that further trials are expected to save: by how close the best schedules lie
    together, and by what the cost model promises of others, which counts for what its promises were worth so far
    (xgboost makes none). --until 2% ends the run when less is left. A network's trials go to the task from which most
    is expected; with xgboost TVM's own scheduler shares them out. In a terminal the tasks are shown as they are tuned,
    the costliest first.
    """
    console = Console(stderr=as_json)
    kind = model_name(_former_option(problem) or cost_model)
    check_target(problem["target"], measure.tracker)
    tvm = find_scheduler(scheduler or ("metaschedule" if database and is_database(database) else None))
    asked = make_problem(tvm, **problem)
    if dry_run:
        if as_json:
            click.echo(tasks_json(asked))
        else:
            print_tasks(console, asked)
        return 0
    log = _log_path(tvm, asked, log_file, database)
    options = replace(budget, measure=measure)
    model = make_model(tvm, kind, seed, pretrained, device, len(asked.tasks), budget.trials_per_round, not any_cost)
    untuned_s = _untuned(tvm, console, asked, measure)
    settings = settings_of(tvm, asked, options, population, pretrained, device, not any_cost)
    told = RunFile(log, without_runs(asked, settings, measure.tracker, untuned_s), kind, seed, resume=resume)
    also = make_loggers(loggers, {"workload": asked.label, "cost_model": kind, "seed": seed, **settings})
    one = TuningStatus(lambda _: kind, lambda _: asked.flops)
    status = NetworkStatus(console, asked, kind, untuned_s) if len(asked.tasks) > 1 else one
    with Display(console, status) as display, observed_by(display, also) as observer:
        result = tvm.tune(
            asked,
            model,
            log,
            options,
            seed=seed,
            population=population,
            resume=resume,
            database=database if tvm.log_option != "--database" else None,
            observer=observer,
            on_round=told.write,
        )
    comparison = told.write(result, finished=True)
    print_result(console, asked, result, untuned_s)
    save_run_page(console, tvm, comparison, log, model if kind == "gnn" else None)
    if save_model is not None:
        model.save(save_model)
        console.print(f"model: {save_model}", highlight=False, soft_wrap=True)
    if result.interrupted:
        console.print(f"Stopped early; --resume {tvm.log_option} {log} goes on.", highlight=False, soft_wrap=True)
    if result.out_of_time:
        console.print(f"The time is up; --resume {tvm.log_option} {log} goes on.", highlight=False, soft_wrap=True)
    if as_json:
        click.echo(result_json(asked, result, untuned_s, model=kind, seed=seed, saved_model=save_model))
    if result.interrupted:
        return 130
    return 0 if any(latency is not None for latency in result.best_latency_s) else 1


def _log_path(tvm: Scheduler, problem: Problem, log_file: str | None, database: str | None) -> Path:
    """Where measurements go. Raises InvalidArgumentError for an option that is the other scheduler's."""
    if log_file is not None and tvm.log_option != "--log-file":
        raise InvalidArgumentError(f"--log-file does not go with --scheduler {tvm.name}: give {tvm.log_option}")
    if database is not None and tvm.log_option != "--database" and is_database(database):
        raise InvalidArgumentError(f"{database} is a database of MetaSchedule's: give --scheduler metaschedule")
    own = {"--log-file": log_file, "--database": database}[tvm.log_option]
    return tvm.log_path(problem.file_stem) if own is None else Path(own)


def _untuned(tvm: Scheduler, console: Console, problem: Problem, measure: MeasureOptions) -> float | None:
    """The network's latency before tuning in seconds; None for a workload, and for devices that are not here."""
    if problem.network is None or measure.tracker is not None:
        return None
    with console.status("timing the network untuned"):
        return tvm.untuned_latency(problem)


def _former_option(problem: dict[str, Any]) -> str | None:
    """The cost model where --model names one, as it did before it named a network's file; it is taken out then."""
    name = problem["model_file"]
    if name is None or Path(name).exists():
        return None
    if is_model(name):
        click.echo(f"--model {name}: the cost model is chosen with --cost-model now; --model is a file", err=True)
        problem["model_file"] = None
        return str(name)
    if problem["workload"]:
        raise InvalidArgumentError(
            f"--model is the file of a network, and there is no {name!r}; a cost model is chosen with --cost-model: "
            f"{', '.join(MODELS)}"
        )
    return None
