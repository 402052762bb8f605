"""`tvm-gnn-cost report`: everything of a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from tvm_gnn_cost.cli.pages import find_source
from tvm_gnn_cost.errors import InvalidArgumentError

DEFAULT_PORT = 8642


@click.command(short_help="Make one HTML page of a run, a comparison, an evaluation or pools.")
@click.argument("run", type=click.Path(exists=True))
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE.html",
              help="The page [default: report.html in the folder; of a log, LOG.html beside it].")  # fmt: skip
@click.option("--live", is_flag=True, help="Serve the page on this machine, and keep it up to date, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True,
              help="With --live; 0 takes a free one.")  # fmt: skip
def report(run: str, output: str | None, live: bool, port: int) -> None:
    """Make one self-contained HTML page of RUN: the log or database of a `tune`, or the folder of a `compare`, an
    `evaluate` or a `collect`.

    Of runs: what was reached, best latency against trials and seconds, where the time went, a network's tasks, the
    fastest schedules as loop nests and stage graphs, how well each batch was ranked before it was learnt, what further
    trials were expected to save and what they saved, failures by kind, settings, machine and versions. Of an
    evaluation, its tables and plots; of pools, what was measured and how quiet the machine was. The page needs no other
    file and no network.

    With --live the page of a run that goes on is made anew after each of its rounds, from the run's files alone: the
    run knows nothing of it. Only this machine can open it.

    \b
    Examples:
      tvm-gnn-cost report matmul_512_512_512.json
      tvm-gnn-cost report resnet-18_batch_1_NHWC.json --live
      tvm-gnn-cost report runs/conv
      tvm-gnn-cost report evaluation --output ranking.html
    """
    source = find_source(run)
    if live:
        if output is not None:
            raise InvalidArgumentError("--live serves the page, and writes no --output")
        from tvm_gnn_cost.report.page.live import LivePage

        with LivePage(lambda: source.page(True), source.files, port) as server:
            click.echo(f"{server.address} (Ctrl-C ends)")
            server.run()
        return
    page = Path(output) if output else source.output
    source.page(False).save(page)
    click.echo(page)
