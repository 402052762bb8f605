"""The command line: `tvm-gnn-cost`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.logging import RichHandler

from tvm_gnn_cost._version import __version__
from tvm_gnn_cost.cli.apply import apply
from tvm_gnn_cost.cli.build import build
from tvm_gnn_cost.cli.collect import collect
from tvm_gnn_cost.cli.compare import compare
from tvm_gnn_cost.cli.evaluate import evaluate
from tvm_gnn_cost.cli.graphs import graphs
from tvm_gnn_cost.cli.hints import with_options
from tvm_gnn_cost.cli.inspect import inspect
from tvm_gnn_cost.cli.report import report
from tvm_gnn_cost.cli.train import train
from tvm_gnn_cost.cli.tune import tune
from tvm_gnn_cost.cli.workloads import workloads
from tvm_gnn_cost.errors import TVMGNNCostError

INTERRUPTED = 130  # as a shell has it for Ctrl-C


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tvm-gnn-cost")
@click.option("-v", "--verbose", is_flag=True, help="Log more, and show where an error came from.")
@click.pass_context
def cli(context: click.Context, verbose: bool) -> None:
    """Tune TVM workloads with a stage-graph neural cost model, beside TVM's own XGBoost model.

    \b
    Examples:
      tvm-gnn-cost workloads
      tvm-gnn-cost tune matmul 512 512 512 --trials 128
      tvm-gnn-cost tune --network resnet-18 --layout NHWC --trials 2000
      tvm-gnn-cost build --network resnet-18 --layout NHWC --log resnet-18_batch_1_NHWC.json -o resnet-18.so
      tvm-gnn-cost tune matmul 512 512 512 --database schedules
      tvm-gnn-cost apply matmul 512 512 512 --database schedules -o matmul.so
      tvm-gnn-cost compare conv2d_nhwc 1 28 28 128 128 3 1 1 --seeds 3
      tvm-gnn-cost collect --workloads workloads.txt --trials 128 --output pools
      tvm-gnn-cost train pools --output mine.ckpt
      tvm-gnn-cost evaluate pools --hold-out operator
      tvm-gnn-cost inspect --log matmul_512_512_512.json --output best.svg
    """
    context.obj = verbose
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False, markup=False)
    handler.setFormatter(_WithOptions())
    root = logging.getLogger("tvm_gnn_cost")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.WARNING)


class _WithOptions(logging.Formatter):
    """Warnings of the library, in terms of the command line."""

    def format(self, record: logging.LogRecord) -> str:
        return with_options(super().format(record))


cli.add_command(tune)
cli.add_command(build)
cli.add_command(apply)
cli.add_command(compare)
cli.add_command(collect)
cli.add_command(graphs)
cli.add_command(train)
cli.add_command(evaluate)
cli.add_command(inspect)
cli.add_command(report)
cli.add_command(workloads)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure, 2 for wrong input, 130 for Ctrl-C."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        status = cli.main(args=args, prog_name="tvm-gnn-cost", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except TVMGNNCostError as error:
        if "-v" in args or "--verbose" in args:
            raise
        click.echo(f"tvm-gnn-cost: {' '.join(with_options(str(error)).split())}", err=True)
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
