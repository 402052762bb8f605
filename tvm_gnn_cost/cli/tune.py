"""`tvm-gnn-cost tune`: one tuning run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.cli.options import (
    MODELS,
    Problem,
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
    search_params,
)
from tvm_gnn_cost.cli.progress import Display, TuningStatus
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions, TuneResult
from tvm_gnn_cost.report.formats import format_ms


@click.command(short_help="Tune a workload or a network.")
@problem_options
@budget_options
@click.option("--log-file", type=click.Path(dir_okay=False), help="The record log [default: named after the workload].")
@click.option("--resume", is_flag=True, help="Go on from the log; its records count as trials.")
@click.option("--cost-model", default="gnn", show_default=True, metavar="|".join(MODELS), help="xgboost is TVM's own.")
@model_options
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the model and the search.")
@click.option("--save-model", type=click.Path(dir_okay=False), help="Where to save the trained model.")
@search_options
@measure_options(MeasureOptions())
def tune(
    budget: TuneOptions,
    log_file: str | None,
    resume: bool,
    cost_model: str,
    pretrained: str,
    device: str,
    seed: int,
    save_model: str | None,
    population: int,
    measure: MeasureOptions,
    **problem: Any,
) -> int:
    """Tune a WORKLOAD, given by name and arguments, or all tasks of a network: --network NAME or --model FILE.

    Every measurement goes to the log file at once, in TVM's own format: apply it with auto_scheduler.ApplyHistoryBest
    or SearchTask.apply_best. Ctrl-C stops at the next safe point and loses nothing; --resume goes on.

    \b
    Examples:
      tvm-gnn-cost tune matmul 512 512 512
      tvm-gnn-cost tune C2D 2 --trials 500 --log-file c2d.json
      tvm-gnn-cost tune C2D 2 --trials 1000 --log-file c2d.json --resume
      tvm-gnn-cost tune --network mobilenet --layout NHWC --trials 2000
      tvm-gnn-cost tune --model net.onnx --input x=1,3,224,224 --trials 2000
      tvm-gnn-cost tune C2D 2 --rpc pi5@192.168.1.10:9190 --target "llvm -mtriple=aarch64-linux-gnu -mcpu=cortex-a76"
      tvm-gnn-cost tune attention 12 128 64 --cost-model xgboost --target "llvm -mcpu=skylake-avx512 -num-cores=8"

    `tvm-gnn-cost workloads` lists workloads with their arguments, and networks. The format of a --model FILE is found
    by its content: ONNX (needs the package onnx), torch.export.save, torch.jit.save (gives no shapes: --input), or
    NAME.json of tvm.ir.save_json with its weights, of tvm.relay.save_param_dict, in NAME.params beside it. Nothing in
    it is executed; pickled modules (torch.save) are not read.
    """
    console = Console()
    kind = model_name(_former_option(problem) or cost_model)
    check_target(problem["target"], measure.tracker)
    asked = make_problem(**problem)
    log = Path(log_file) if log_file else Path(f"{asked.file_stem}.json")
    options = replace(budget, measure=measure)
    model = make_model(kind, seed, pretrained, device, len(asked.tasks), budget.trials_per_round)
    status = TuningStatus(lambda _: kind, lambda _: asked.flops)
    with Display(console, status) as display:
        result = tune_tasks(
            asked.tasks,
            model,
            log,
            options,
            weights=asked.weights,
            resume=resume,
            seed=seed,
            search_params=search_params(population),
            observer=display,
        )
    _print_result(console, asked, result)
    if save_model is not None:
        model.save(save_model)
        console.print(f"model: {save_model}", highlight=False, soft_wrap=True)
    if result.interrupted:
        console.print(f"Stopped early; --resume --log-file {log} goes on.", highlight=False, soft_wrap=True)
        return 130
    if result.out_of_time:
        console.print(f"The time is up; --resume --log-file {log} goes on.", highlight=False, soft_wrap=True)
    return 0 if any(latency is not None for latency in result.best_latency_s) else 1


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


def _print_result(console: Console, problem: Problem, result: TuneResult) -> None:
    table = Table(title=problem.label)
    table.add_column("task")
    for heading in ("weight", "best latency (ms)", "GFLOP/s", "trials"):
        table.add_column(heading, justify="right")
    for i, task in enumerate(problem.tasks):
        latency = result.best_latency_s[i]
        table.add_row(
            task.desc or str(i),
            f"{result.weights[i]:g}",
            format_ms(latency) if latency is not None else "-",
            f"{result.flops[i] / latency / 1e9:.1f}" if latency else "-",
            str(sum(trial.task == i for trial in result.trials)),
        )
    console.print(table)
    times = result.times
    total = result.total_latency_s
    failed = sum(trial.latency_s is None for trial in result.trials)
    lines = [
        f"{len(result.trials)} trials measured ({failed} failed), {result.resumed} from the log",
        f"{times.total_s:.0f} s: search {times.search_s:.0f}, measure {times.measure_s:.0f}, train {times.train_s:.0f}",
        f"log: {result.log_file}",
    ]
    if result.other_records:
        lines.insert(1, f"{result.other_records} records of the log are of other tasks or targets, and do not count")
    if total is not None and len(problem.tasks) > 1:
        lines.insert(0, f"all tasks, weighted: {format_ms(total)} ms")
    if result.exhausted:
        lines.insert(0, "the search found no further schedule to measure")
    else:
        left = zip(problem.tasks, result.left, strict=True)
        lines[:0] = [f"{task.desc or i} was left: {why}" for i, (task, why) in enumerate(left) if why]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
