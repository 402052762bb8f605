"""`tvm-gnn-cost build`: a network compiled with the best records of a log."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost.ansor.build import build_network
from tvm_gnn_cost.ansor.build_result import NO_RECORD, BuildResult, BuiltTask
from tvm_gnn_cost.cli.network_options import NetworkChoice
from tvm_gnn_cost.cli.options import network_options
from tvm_gnn_cost.cli.progress import Display, Shown
from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.system.progress import Progress

_DOING = {
    "functions": "finding the tasks of the network",
    "build": "compiling the network",
    "tasks": "timing each task untuned",
    "time": "timing the network",
}


@click.command(short_help="Compile a network with the best records of a log.")
@network_options
@click.option("--log", "log_file", required=True, type=click.Path(dir_okay=False), help="The record log.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The library, .so or .tar.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the inputs that are compared.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def build(log_file: str, output: str, seed: int, as_json: bool, target: str, **asked: Any) -> None:
    """Compile a network with the best records of a log, check that it computes the same, and time it.

    What has no record, or one that is slower than what TVM compiles untuned, stays untuned; so the network is never
    slower than the untuned one. Outputs are compared on random inputs; if they differ, nothing is written.

    \b
    Examples:
      tvm-gnn-cost tune --network resnet-18 --layout NHWC --trials 2000
      tvm-gnn-cost build --model encoder.onnx --log encoder.onnx.json -o encoder.so
      tvm-gnn-cost build --network resnet-18 --layout NHWC --log resnet-18_batch_1_NHWC.json -o resnet-18.so
    """
    choice = NetworkChoice(**asked)
    if not choice:
        raise WorkloadError("name a network with --network or --model")
    network = choice.load()
    with Display(Console(stderr=True), _show) as display:
        result = build_network(network, log_file, target, seed=seed, observer=display)
    result.export(output)
    if as_json:
        click.echo(json.dumps(_facts(result, output), indent=2))
    else:
        _print(Console(), network.name, result, output)


def _show(moment: Progress) -> Shown:
    doing = _DOING[moment.phase]
    text = f"{doing}: {moment.note}" if moment.note else doing
    return Shown(title=doing, count=f"{moment.done:g}/{moment.total:g}", status=moment.note, line=text)


def _facts(result: BuildResult, output: str) -> dict[str, Any]:
    """A BuildResult without the library, for JSON; seconds, shares from 0 to 1."""
    return {
        "output": output,
        "target": result.target,
        "is_tuned": result.is_tuned,
        "untuned_s": result.untuned_s,
        "tuned_s": result.tuned_s,
        "largest_difference": result.difference,
        "unchecked": result.unchecked,
        "inputs": {name: {"shape": list(shape), "dtype": dtype} for name, (shape, dtype) in result.inputs.items()},
        "tasks": [asdict(task) for task in result.tasks],
    }


def _print(console: Console, name: str, result: BuildResult, output: str) -> None:
    table = Table(title=f"{name}: each function run by itself")
    table.add_column("task", overflow="fold")
    for heading in ("calls", "share", "tuned (ms)", "untuned (ms)"):
        table.add_column(heading, justify="right")
    table.add_column("scheduled by")
    for task in sorted(result.tasks, key=lambda task: -(task.share or 0.0)):
        table.add_row(*_row(task))
    known = [task.share for task in result.tasks if task.share is not None]
    if known:
        table.add_row("all else", "", f"{max(0.0, 1 - sum(known)):.0%}", "", "", "nothing to tune")
    console.print(table)
    for line in [*_verdict(result), f"library: {output}", "", *_usage(result, output)]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _row(task: BuiltTask) -> tuple[str, ...]:
    share = "-" if task.share is None else f"{task.share:.0%}"
    tuned, untuned = ("-" if s is None else format_ms(s) for s in (task.tuned_s, task.untuned_s))
    return task.name, str(task.uses), share, tuned, untuned, task.schedule


def _verdict(result: BuildResult) -> list[str]:
    missing = [task.name for task in result.tasks if task.schedule == NO_RECORD]
    lines = [f"without a record: {', '.join(missing)}"] if missing else []
    if result.unchecked is not None or result.tuned_s is None or result.untuned_s is None:
        return [*lines, f"neither compared with the untuned build nor timed: {result.unchecked}"]
    lines.append(
        f"outputs agree with the untuned build (largest difference {result.difference:.1g} of the largest value)"
    )
    times = f"untuned {format_ms(result.untuned_s)} ms, tuned {format_ms(result.tuned_s)} ms"
    if result.is_tuned:
        return [*lines, f"{times}: {result.untuned_s / result.tuned_s:.2f} times as fast"]
    return [*lines, f"{times}: no faster, so the untuned build was kept"]


def _usage(result: BuildResult, output: str) -> list[str]:
    """How the library is run from Python."""
    device = "cpu" if result.target.startswith("llvm") else result.target.split()[0]
    inputs = ", ".join(f"{name}=..." if name.isidentifier() else f'**{{"{name}": ...}}' for name in result.inputs)
    path = str(Path(output))
    return [
        f'library = tvm.runtime.load_module("{path}")',
        f'module = tvm.contrib.graph_executor.GraphModule(library["default"](tvm.device("{device}")))',
        f"module.run({inputs}); outputs = [module.get_output(i) for i in range(module.get_num_outputs())]",
    ]
