"""`tvm-gnn-cost inspect`: the stage graph of one schedule, as text and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvm_gnn_cost.ansor.measurements import result_latency
from tvm_gnn_cost.ansor.record_log import RecordLog, read_records, recover
from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.ansor.task_identity import TaskIdentities
from tvm_gnn_cost.cli.options import (
    make_named_task,
    model_options,
    register_option,
    workload_argument,
    workload_label,
)
from tvm_gnn_cost.errors import InvalidArgumentError, RecordError
from tvm_gnn_cost.records.saved_tasks import task_names
from tvm_gnn_cost.records.task import TaskIdentity
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.report.loop_text import schedule_text
from tvm_gnn_cost.workloads import describe as describe_workload

_LISTED = 20  # tasks named in an error

if TYPE_CHECKING:
    from tvm_gnn_cost.ansor.cost_model import GNNCostModel
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView


@click.command(short_help="Show the stage graph of one schedule.")
@workload_argument
@click.option("--log", type=click.Path(dir_okay=False), help="Take the schedule from this record log (.gz too).")
@click.option("--line", type=click.IntRange(1), help="With --log: the line of the record.")
@click.option("--task", metavar="N|NAME", help="With --log: which task of a network, its number or a part of its name.")
@click.option("--best", is_flag=True, help="With --log: the fastest record; this is the default.")
@click.option("--target", help='Without --log [default: host]; as in "llvm -mcpu=znver4" or "cuda".')
@click.option("--seed", type=click.IntRange(0), help="Without --log: of the sampling [default: 0].")
@click.option("-o", "--output", "outputs", type=click.Path(dir_okay=False), multiple=True,
              help="A picture, .svg or .png; may be given more than once.")  # fmt: skip
@register_option
@model_options
def inspect(
    workload: tuple[str, ...],
    log: str | None,
    line: int | None,
    task: str | None,
    best: bool,
    target: str | None,
    seed: int | None,
    outputs: tuple[str, ...],
    register: tuple[str, ...],
    pretrained: str,
    device: str,
) -> None:
    """Show one schedule: its loop nests, the bytes between its stages, and each stage's share of the time.

    The schedule is a record of a --log, or one that TVM samples for a WORKLOAD. The text goes to standard output; the
    picture has a box for each stage, coloured by its share of the time that the network predicts.

    \b
    Examples:
      tvm-gnn-cost inspect --log matmul_512_512_512.json --output best.svg
      tvm-gnn-cost inspect --log matmul_512_512_512.json --line 17
      tvm-gnn-cost inspect --log resnet-18_batch_1_NHWC.json --task conv2d_add_nn_relu_3
      tvm-gnn-cost inspect attention 12 128 64 --seed 3 -o attention.svg -o attention.png
      tvm-gnn-cost inspect conv2d_nhwc_bn_relu 1 56 56 64 128 3 2 1 --target cuda -o conv.svg
      tvm-gnn-cost inspect ops.py:my_conv 1 64 56 56
    """
    _check_choice(workload, log, line, task, best, target, seed)
    if outputs:
        from tvm_gnn_cost.report.picture.drawing import check_picture_path, draw_schedule

        for output in outputs:
            check_picture_path(output)
    from tvm_gnn_cost.ansor.cost_model import GNNCostModel
    from tvm_gnn_cost.workloads import run_definitions

    for file in register:
        run_definitions(file)
    model = GNNCostModel(pretrained=None if pretrained == "none" else pretrained, device=device)
    view = _of_log(log, line, task, model) if log else _sampled(workload, target or "host", seed or 0, model)
    click.echo(schedule_text(view))
    for output in outputs:
        draw_schedule(view, output)
        click.echo(f"picture: {output}", err=True)


def _check_choice(
    workload: Sequence[str],
    log: str | None,
    line: int | None,
    task: str | None,
    best: bool,
    target: str | None,
    seed: int | None,
) -> None:
    if (log is None) == (not workload):
        raise InvalidArgumentError("name a workload (tvm-gnn-cost workloads lists them) or a record log with --log")
    if log is None and (line is not None or task is not None or best):
        raise InvalidArgumentError("--line, --task and --best choose a record of a log: give it with --log")
    if log is not None and (target is not None or seed is not None):
        raise InvalidArgumentError(
            "--target and --seed are for a sampled schedule; a record of --log has its own target"
        )
    if line is not None and (best or task is not None):
        raise InvalidArgumentError(f"--line and {'--best' if best else '--task'} exclude each other")


def _of_log(path: str, line: int | None, task: str | None, model: GNNCostModel) -> ScheduleView:
    """The record of a line, or the fastest of a task."""
    from tvm_gnn_cost.ansor.inspection import inspect_state
    from tvm_gnn_cost.ansor.tasks import register_all

    register_all()
    log = read_records(path)
    names = task_names(path)
    index = _best_index(path, log, task, names) if line is None else _line_index(path, log, line)
    inp = recover(log.inputs[index])
    latency = result_latency(log.results[index])
    measured = "the measurement failed"
    if latency is not None and math.isfinite(latency):
        rate = count_flop(inp.task.compute_dag) / latency / 1e9
        measured = f"measured {format_ms(latency)} ms, {rate:.1f} GFLOP/s"
    where = f"{Path(path).name}, line {log.lines[index]}: {measured}"
    title = names.get(inp.task.workload_key) or describe_workload(inp.task.workload_key)
    return inspect_state(inp.task, inp.state, model, title=title, notes=[str(inp.task.target), where])


def _line_index(path: str, log: RecordLog, line: int) -> int:
    if line in log.lines:
        return log.lines.index(line)
    reason = dict(log.skipped).get(line, "there is no such line, or it is empty or a comment")
    raise RecordError(f"{path}, line {line} is no record that can be shown: {reason}")


def _best_index(path: str, log: RecordLog, wanted: str | None, names: Mapping[str, str]) -> int:
    """The fastest record of the wanted task, or of the only one."""
    latencies = [result_latency(result) for result in log.results]
    best: dict[TaskIdentity, int] = {}
    identities = TaskIdentities()
    for i, (inp, latency) in enumerate(zip(log.inputs, latencies, strict=True)):
        task = identities.of(inp.task)
        known = best.get(task)
        if latency is not None and math.isfinite(latency) and (known is None or latency < (latencies[known] or 0.0)):
            best[task] = i
    if not best:
        reason = f"; line {log.skipped[0][0]}: {log.skipped[0][1]}" if log.skipped else ""
        raise RecordError(f"{path} holds no measured record that can be shown{reason}")
    keys = [str(log.inputs[i].task.workload_key) for i in best.values()]
    tasks = [(names.get(key) or describe_workload(key), i) for key, i in zip(keys, best.values(), strict=True)]
    if wanted is None:
        found = tasks
    elif wanted.isdecimal():
        found = tasks[int(wanted) - 1 : int(wanted)] if int(wanted) else []
    else:
        found = [task for task in tasks if task[0] == wanted] or [t for t in tasks if wanted.lower() in t[0].lower()]
    if len(found) == 1:
        return found[0][1]
    shown = found or tasks
    listed = [f"{n}: {task[0]} (line {log.lines[task[1]]})" for n, task in enumerate(tasks, 1) if task in shown]
    more = f", and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    what = f"holds {len(tasks)} tasks" if wanted is None else f"has {len(found) or 'no'} tasks for --task {wanted!r}"
    raise RecordError(
        f"{path} {what}: choose with --line, or with --task and a number or a part of a name; the tasks, with the "
        f"lines of their fastest records: {', '.join(listed[:_LISTED])}{more}"
    )


def _sampled(workload: Sequence[str], target: str, seed: int, model: GNNCostModel) -> ScheduleView:
    from tvm_gnn_cost.ansor.hardware_params import hardware_params_or_assumed
    from tvm_gnn_cost.ansor.inspection import inspect_state, sample_state
    from tvm_gnn_cost.workloads import parse_target

    parsed = parse_target(target)
    params = hardware_params_or_assumed(parsed)
    task = make_named_task(workload, parsed, params)
    notes = [str(task.target), f"sampled with seed {seed}, not measured"]
    return inspect_state(
        task, sample_state(task, seed, model), model, title=workload_label(workload, task), notes=notes
    )
