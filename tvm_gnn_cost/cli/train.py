"""`tvm-gnn-cost train`: a network of one's own, from record logs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from tvm_gnn_cost.cli.logger_options import logger_option, make_loggers
from tvm_gnn_cost.cli.options import register_option, split_names
from tvm_gnn_cost.cli.progress import Display, Shown
from tvm_gnn_cost.cli.tables import figures_table
from tvm_gnn_cost.loggers.base import observed_by
from tvm_gnn_cost.records.log_shards import ReadProgress
from tvm_gnn_cost.system.progress import Progress

if TYPE_CHECKING:
    from tvm_gnn_cost.training.pretraining import PretrainProgress
    from tvm_gnn_cost.training.train import TrainResult

DEFAULT_EPOCHS = 30
_LINE_SECONDS = 5.0  # without a terminal: a line of reading no more often


@click.command(short_help="Train a network on record logs.")
@click.argument("logs", nargs=-1, required=True, type=click.Path(), metavar="LOG...")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), metavar="FILE.ckpt",
              help="The checkpoint to write; its card goes beside it, as FILE.md.")  # fmt: skip
@click.option("--start-from", default="auto", show_default=True, metavar="auto|none|FILE",
              help="The shipped network where it fits, a new one, or a checkpoint.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help=f"Passes over the records [default: {DEFAULT_EPOCHS}].")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Train so long instead of --epochs.")
@click.option("--validation", type=click.FloatRange(0, 0.5), default=0.1, show_default=True,
              help="The share of the workloads that is held out to check the network; 0 learns all.")  # fmt: skip
@click.option("--hold-out-operators", default="", metavar="A,B", help="Hold out these operators' workloads instead.")
@click.option("--loss", metavar="NAME", help="What it minimises; an unknown NAME lists all.")
@click.option("--network", metavar="gcn|mlp|lstm", help="The family of a new network.")
@click.option("--hidden", "hidden_dim", type=click.IntRange(1), help="Width of a new network's layers.")
@click.option("--layers", "num_layers", type=click.IntRange(0), help="How many layers it has.")
@click.option("--learning-rate", type=click.FloatRange(0, 1, min_open=True), default=2e-3, show_default=True,
              help="The peak rate.")  # fmt: skip
@click.option("--keep-records", type=click.IntRange(0), default=2000, show_default=True,
              help="Records that the checkpoint carries, so that tuning does not make it forget them.")  # fmt: skip
@register_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Of the network, the batches and what is held out.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="Where it trains: auto, cpu, cuda.")
@click.option("--work", type=click.Path(file_okay=False), metavar="FOLDER",
              help="For stage graphs and the state of the training [default: FILE.work].")  # fmt: skip
@logger_option
@click.option("--restart", is_flag=True, help="Begin anew, where a training was stopped or is done.")
def train(
    logs: tuple[str, ...],
    output: str,
    start_from: str,
    epochs: int | None,
    minutes: float | None,
    validation: float,
    hold_out_operators: str,
    learning_rate: float,
    keep_records: int,
    register: tuple[str, ...],
    seed: int,
    device: str,
    work: str | None,
    loggers: tuple[str, ...],
    restart: bool,
    **config: Any,
) -> int:
    """Train a network on record LOGs, for GNNCostModel to start from: files, or folders of *.json and *.json.gz.

    MetaSchedule's databases (the work_dir of a tuning) are logs too, and one network learns from both schedulers, mixed
    as they come. A database that another TVM wrote needs its graphs.npz: see `tvm-gnn-cost graphs`.

    Whole workloads are held out. Beside the network, FILE.md says what it was trained on and how well it ranks those;
    three or more of them decide which of its states is kept. The logs are of one kind of target, CPU or GPU. Their
    stage graphs are kept in FILE.work, so that they are read only once; they need not fit into memory. Stopped by
    Ctrl-C, the same command goes on, and on a CPU the result is the same as without the stop.

    \b
    Examples:
      tvm-gnn-cost train logs/*.json --output mine.ckpt
      tvm-gnn-cost train pools --start-from none --minutes 60 --output mine.ckpt
      tvm-gnn-cost train pools --hold-out-operators softmax_mn,dense --output without.ckpt
      tvm-gnn-cost train network.json --register my_network.py --output mine.ckpt
      tvm-gnn-cost train logs/*.json tuned_by_metaschedule --output both.ckpt
      torchrun --nproc-per-node 2 -m tvm_gnn_cost train logs/*.json --output mine.ckpt

    In a tuning script: GNNCostModel(pretrained="mine.ckpt"); on the command line: --pretrained mine.ckpt.
    """
    from tvm_gnn_cost.learning.parallel import launched_processes
    from tvm_gnn_cost.logs.training import train_on_logs
    from tvm_gnn_cost.records.logs import find_logs
    from tvm_gnn_cost.training.pretraining import PretrainOptions
    from tvm_gnn_cost.training.train import TrainOptions

    if epochs is None and minutes is None:
        epochs = DEFAULT_EPOCHS
    options = TrainOptions(
        pretrain=PretrainOptions(epochs, minutes, learning_rate, seed=seed),
        start_from=start_from,
        validation=validation,
        hold_out_operators=tuple(split_names(hold_out_operators)),
        config={name: value for name, value in config.items() if value is not None},
        kept_records=keep_records,
        device=device,
    )
    target = Path(output)
    folder = Path(work) if work else target.with_suffix(".work")
    with launched_processes(device) as processes:
        is_first = processes is None or processes.is_first
        console = Console(quiet=not is_first)
        if processes is not None:
            options = replace(options, device=str(processes.device))
        also = make_loggers(loggers if is_first else (), {"logs": list(logs), "seed": seed, **config})
        with Display(console, _Status(epochs)) as display, observed_by(display, also) as observer:
            result = train_on_logs(
                find_logs(logs),
                target,
                folder,
                options,
                observer,
                definitions=[Path(p) for p in register],
                restart=restart,
                processes=processes,
            )
    if not is_first:
        return 0
    if result is None:
        console.print(f"Stopped early; {folder} keeps what was done, and the same command goes on.", soft_wrap=True)
        return 130
    _print_result(console, result, folder)
    return 0


def _print_result(console: Console, result: TrainResult, folder: Path) -> None:
    from tvm_gnn_cost.training.card import SCORES, show_score

    card = result.card
    if card["scores"]:
        table = figures_table("held-out workloads", "operator", ("tasks", "records", "pairwise", "top-1", "top-5"))
        for name, row in card["scores"].items():
            table.add_row(name, str(row["tasks"]), str(row["records"]), *(show_score(row[score]) for score in SCORES))
        console.print(table)
        console.print(
            "Pairwise: pairs of schedules in the right order; top-k: the best schedule's latency over the best of k "
            "that score highest.",
            highlight=False,
            soft_wrap=True,
        )
    data, training = card["data"], card["training"]
    lines = [
        f"{training['steps']:,} steps in {training['seconds']:.0f} s, ended by {training['stopped_by']}",
        f"network: {result.checkpoint} ({result.checkpoint.stat().st_size / 2**20:.1f} MiB)",
        f"card: {result.card_file}",
        f"stage graphs, for the next training on these logs: {folder}",
        f'use it: GNNCostModel(pretrained="{result.checkpoint}")',
    ]
    if data["skipped"]:
        lines.insert(0, f"{data['skipped']:,} records could not be used")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


class _Status:
    """How a training is shown: lines for reading no more often than some seconds, for training at every check."""

    def __init__(self, epochs: int | None) -> None:
        self._epochs = epochs
        self._last_line = -_LINE_SECONDS
        self._begun: tuple[float, float] | None = None  # time, and share that was done: for the time left

    def __call__(self, progress: Progress) -> Shown:
        from tvm_gnn_cost.training.pretraining import PretrainProgress  # with PyTorch, which --help does without

        if isinstance(progress, ReadProgress):
            return self._reading(progress)
        if isinstance(progress, PretrainProgress):
            return self._training(progress)
        return Shown(line=progress.note, announced=True)

    def _reading(self, progress: ReadProgress) -> Shown:
        count, records = f"{progress.done:.0f}/{progress.total:.0f} logs", f"{progress.records:,} records"
        line = ""
        if progress.done == progress.total or time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            line = f"reading: {count}, {records}"
        return Shown("reading", count, records, line)

    def _training(self, progress: PretrainProgress) -> Shown:
        now = time.monotonic()
        begun, done = self._begun = self._begun or (now, progress.done)
        parts = [f"epoch {progress.epoch:.1f}" + (f"/{self._epochs}" if self._epochs else "")]
        if progress.check is not None:
            parts.append(f"loss {progress.check.loss:.3f}")
            if progress.check.accuracy is not None:
                parts.append(f"pairwise {progress.check.accuracy:.3f}")
        status, line = ", ".join(parts), ""
        if progress.is_checked:
            pace = (now - begun) / (progress.done - done) if progress.done > done else 0.0
            left = f", about {pace * (1.0 - progress.done):.0f} s left" if pace and progress.done < 1.0 else ""
            line = f"training: {status}, {progress.seconds:.0f} s{left}"
        return Shown("training", f"{progress.done:.0%}", status, line)
