"""`tvm-gnn-cost collect`: measured pools of schedules, the training data of cost models."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tvm_gnn_cost.cli.options import check_target, make_problem, measure_options, model_options, problem_options
from tvm_gnn_cost.cli.progress import Display, TuningStatus
from tvm_gnn_cost.cli.schedulers.choice import find_scheduler, scheduler_option
from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler
from tvm_gnn_cost.cli.tables import figures_table
from tvm_gnn_cost.collection import CollectOptions, CollectResult, Mix, Workload, collect_pools
from tvm_gnn_cost.collection.options import COLLECT_MEASURE
from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.records.tuning_run import MeasureOptions
from tvm_gnn_cost.report.formats import format_ms, short_hash
from tvm_gnn_cost.system.files import safe_name

_DEFAULT = CollectOptions()


@click.command(short_help="Measure pools of schedules, to train cost models on.")
@problem_options
@click.option(
    "--workloads",
    "file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="A text file of workloads, one a line with its arguments; # begins a comment.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    default="pools",
    show_default=True,
    help="The folder of the pools; those that it holds are completed.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=_DEFAULT.trials,
    show_default=True,
    help="Schedules in each pool, those of earlier runs included.",
)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so many minutes in all.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=_DEFAULT.batch,
    show_default=True,
    help="Schedules measured between two lessons of the model.",
)
@click.option(
    "--mix",
    default="4,3,1",
    show_default=True,
    metavar="R,E,M",
    help="Parts of a pool that are random samples, evolved under the model, mutants of the best.",
)
@click.option(
    "--population",
    type=click.IntRange(8),
    default=_DEFAULT.population,
    show_default=True,
    help="Schedules in each generation of the evolution.",
)
@scheduler_option
@model_options
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the model and the sampling.")
@measure_options(COLLECT_MEASURE)
@click.option(
    "--race",
    type=click.FloatRange(0),
    default=_DEFAULT.race,
    show_default=True,
    help="A schedule whose first reading takes so many times as long as the pool's best is read once; 0: all readings.",
)
@click.option(
    "--remeasure",
    type=click.FloatRange(0, 1),
    default=_DEFAULT.remeasure,
    show_default=True,
    help="The share of a complete pool to measure twice, at least 8 schedules; 0 for none.",
)
@click.option(
    "--wait-quiet",
    type=click.FloatRange(0),
    default=_DEFAULT.wait_quiet_s,
    show_default=True,
    help="Seconds to wait, before a batch, for a machine that is not quiet.",
)
def collect(
    file: str | None,
    output: str,
    trials: int,
    minutes: float | None,
    batch: int,
    mix: str,
    population: int,
    scheduler: str | None,
    pretrained: str,
    device: str,
    seed: int,
    race: float,
    remeasure: float,
    wait_quiet: float,
    measure: MeasureOptions,
    **problem: Any,
) -> int:
    """Measure a pool of schedules for a WORKLOAD, for each line of a --workloads file, or for each task of a network
    (--network, --model).

    A pool is a record log in TVM's own format, FOLDER/WORKLOAD-ARGUMENTS.json, or with --scheduler metaschedule a
    database, FOLDER/WORKLOAD-ARGUMENTS: bad, middling and near-best schedules, none twice. FOLDER/about/ describes it:
    machine, versions, where each schedule came from, and the noise, known from measuring a part of it again. Stopped by
    Ctrl-C or --minutes, the same command goes on. A pool is never continued on another machine, for another target or
    with another TVM.

    \b
    Examples:
      tvm-gnn-cost collect matmul 512 512 512
      tvm-gnn-cost collect --workloads workloads.txt --trials 256 --minutes 120 --output runs/pools
      tvm-gnn-cost collect matmul 512 512 512 --scheduler metaschedule --trials 64
      tvm-gnn-cost collect --network mobilenet --layout NHWC --trials 64
      tvm-gnn-cost collect --model net.onnx --input x=1,3,224,224 --trials 64
      tvm-gnn-cost collect C2D 2 --rpc epyc@192.168.1.10:9190 --target "llvm -mcpu=znver4 -num-cores=16"

    \b
    A file of workloads (`tvm-gnn-cost workloads` lists what can be named):
      # operators
      matmul 512 512 512
      conv2d_nhwc 1 28 28 128 128 3 1 1
      C2D 2               # a shape of the Ansor paper
      ops.py:my_conv 1 64 56 56   # your own function; the file is found from here

    Measured here, nothing else should run: builds and measurements take turns, and before each batch a check (CPU time
    of other programs and of the hypervisor's other guests, spread of a short loop) waits for a quiet machine, then goes
    on and marks the batch. With --rpc, servers measure in parallel; start them with
    `python -m tvm.exec.rpc_tracker` and `python -m tvm.exec.rpc_server --key KEY --tracker HOST:PORT`.
    """
    console = Console()
    options = CollectOptions(
        trials=trials,
        minutes=minutes,
        batch=batch,
        mix=parse_mix(mix),
        race=race or None,
        remeasure=remeasure,
        population=population,
        measure=measure,
        pretrained=None if pretrained == "none" else pretrained,
        device=device,
        seed=seed,
        wait_quiet_s=wait_quiet,
    )
    check_target(problem["target"], measure.tracker)
    tvm = find_scheduler(scheduler)
    workloads = find_workloads(tvm, file, **problem)
    wing = tvm.wing()
    status = TuningStatus(
        lambda progress: f"{progress.task + 1}/{len(workloads)} {workloads[progress.task].label}",
        lambda progress: wing.flop(workloads[progress.task].task),
    )
    with Display(console, status) as display:
        result = collect_pools(wing, workloads, Path(output), options, display)
    print_pools(console, result)
    if result.interrupted or result.out_of_time:
        reason = "Stopped early" if result.interrupted else f"Stopped after {minutes:g} minutes"
        console.print(f"{reason}; what was measured is kept, and the same command goes on.", soft_wrap=True)
    if result.interrupted:
        return 130
    is_whole = not result.left_out and all(pool.best_s is not None for pool in result.pools)
    return 0 if result.out_of_time or is_whole else 1


def find_workloads(tvm: Scheduler, file: str | None, **problem: Any) -> list[Workload]:
    """What a command line asks for. Raises WorkloadError for what is unknown, with the line of a file."""
    if file is None:
        return _named(tvm, **problem)
    if problem["workload"] or problem["network"] or problem["model_file"]:
        raise WorkloadError("--workloads stands alone: give no workload, --network or --model besides it")
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"--workloads {file} cannot be read: {error}") from error
    found: dict[str, Workload] = {}
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                for workload in _named(tvm, **problem | {"workload": words, "folder": Path(file).parent}):
                    found.setdefault(workload.name, workload)
        except ValueError as error:  # WorkloadError is one
            raise WorkloadError(f"{file}, line {number}: {error}") from error
    if not found:
        raise WorkloadError(f"{file} names no workload")
    return list(found.values())


def parse_mix(text: str) -> Mix:
    """`4,3,1`. Raises InvalidArgumentError."""
    try:
        random, evolved, mutated = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgumentError(f"--mix is {text!r}; it is three numbers such as 4,3,1") from error
    return Mix(random, evolved, mutated)


def print_pools(console: Console, result: CollectResult) -> None:
    """One row a pool: what it holds, and how far its numbers can be trusted."""
    headings = ("records", "failed", "best (ms)", "slowest", "noise", "agree")
    table = figures_table("pools", "workload", headings)
    for pool in result.pools:
        span = f"{pool.slowest_s / pool.best_s:.1f}x" if pool.best_s and pool.slowest_s else "-"
        table.add_row(
            pool.label,
            f"{pool.records} (+{pool.added})",
            str(pool.failed),
            format_ms(pool.best_s) if pool.best_s is not None else "-",
            span,
            f"{pool.noise.median:.0%}, {pool.noise.p90:.0%}" if pool.noise else "-",
            f"{pool.noise.agreement:.3f}" if pool.noise else "-",
        )
    console.print(table)
    for label in result.left_out:
        console.print(f"{label}: left out, TVM cannot schedule it", highlight=False, soft_wrap=True)
    for pool in result.pools:
        if pool.exhausted:
            console.print(f"{pool.label}: no further schedule was found", highlight=False, soft_wrap=True)
        if pool.noisy:
            console.print(
                f"{pool.label}: {pool.noisy} of {pool.records} records were measured while the machine was not quiet",
                highlight=False,
                soft_wrap=True,
            )
    if any(pool.noise for pool in result.pools):
        console.print(
            "Noise: how far schedules measured twice differ (median, 90th percentile); agree: pairs ordered alike.",
            highlight=False,
            soft_wrap=True,
        )
    for pool in result.pools:
        console.print(f"pool: {pool.path}", highlight=False, soft_wrap=True)


def _named(tvm: Scheduler, **problem: Any) -> list[Workload]:
    from tvm_gnn_cost.workloads import describe

    asked = make_problem(tvm, **problem)
    if asked.network is None:
        (task,), (facts,) = asked.tasks, asked.facts
        name, *arguments = [word for word in describe(facts.workload_key).split() if word != "float32"]
        return [Workload(_stem(name, arguments), " ".join([name, *arguments]), task)]
    workloads = []
    for task, facts in zip(asked.tasks, asked.facts, strict=True):
        # tasks have no names, and their order may change with TVM's passes
        short = short_hash(facts.workload_key)
        label = f"{asked.label} {facts.name or 'task'} {short}"
        workloads.append(Workload(f"{asked.file_stem}-{short}", label, task, asked.network.source))
    return workloads


def _stem(name: str, arguments: Sequence[str]) -> str:
    """`matmul-512x512x512`; with a hash where characters that a file's name should not have make it ambiguous."""
    text = f"{name}-{'x'.join(arguments)}"
    stem = safe_name(text)
    return stem if stem == text else f"{stem.strip('_')}-{short_hash(text)}"
