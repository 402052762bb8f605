"""`tvm-gnn-cost inspect`: the stage graph of one schedule, as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tvm_gnn_cost.cli.options import model_options, register_option, run_registered, workload_argument
from tvm_gnn_cost.cli.schedulers.choice import find_scheduler, scheduler_of_log, scheduler_option
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.report.loop_text import schedule_text


@click.command(short_help="Show the stage graph of one schedule.")
@workload_argument
@click.option(
    "--log",
    type=click.Path(),
    help="Take the schedule from this record log (.gz too), or this database of MetaSchedule's.",
)
@click.option("--line", type=click.IntRange(1), help="With --log: the line of the record.")
@click.option("--task", metavar="N|NAME", help="With --log: which task of a network, its number or a part of its name.")
@click.option("--best", is_flag=True, help="With --log: the fastest record; this is the default.")
@click.option("--target", help='Without --log [default: host]; as in "llvm -mcpu=znver4" or "cuda".')
@click.option("--seed", type=click.IntRange(0), help="Without --log: of the sampling [default: 0].")
@click.option("-o", "--output", "outputs", type=click.Path(dir_okay=False), multiple=True,
              help="A picture, .svg or .png; may be given more than once.")  # fmt: skip
@scheduler_option
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
    scheduler: str | None,
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
      tvm-gnn-cost inspect --log matmul_512_512_512 --output best.svg      # a database
    """
    _check_choice(workload, log, line, task, best, target, seed)
    if outputs:
        from tvm_gnn_cost.report.picture.drawing import check_picture_path, draw_schedule

        for output in outputs:
            check_picture_path(output)
    run_registered(register)
    tvm = scheduler_of_log(scheduler, log) if log else find_scheduler(scheduler)
    model = tvm.gnn_model(0, None if pretrained == "none" else pretrained, device)
    if log:
        view = tvm.recorded_view(log, line, task, model)
    else:
        view = tvm.sampled_view(workload, target or "host", seed or 0, model)
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
    if log is None and not workload:
        raise InvalidArgumentError("name a workload (tvm-gnn-cost workloads lists them) or a record log with --log")
    if log is not None and workload:
        raise InvalidArgumentError(f"--log {log} says what its records compute: leave out {' '.join(workload)!r}")
    if log is None and (line is not None or task is not None or best):
        raise InvalidArgumentError("--line, --task and --best choose a record of a log: give it with --log")
    if log is not None and (target is not None or seed is not None):
        raise InvalidArgumentError(
            "--target and --seed are for a sampled schedule; a record of --log has its own target"
        )
    if line is not None and (best or task is not None):
        raise InvalidArgumentError(f"--line and {'--best' if best else '--task'} exclude each other")
