"""`tvm-gnn-cost report`: everything of a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.comparison import RESULT_FILE, Comparison

PAGE_FILE = "report.html"


@click.command(short_help="Make one HTML page of a comparison.")
@click.argument("run", type=click.Path(exists=True))
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE.html",
              help="The page [default: report.html in the folder].")  # fmt: skip
def report(run: str, output: str | None) -> None:
    """Make one self-contained HTML page of RUN, the folder of a `compare`, or its comparison.json.

    What each model reached, best latency against trials and seconds, where the time went, how well each batch was
    ranked before it was learnt, what further trials were expected to save and what they saved, failures by kind, every
    run, settings, machine and versions. The page needs no other file and no network.

    \b
    Examples:
      tvm-gnn-cost report runs/conv
      tvm-gnn-cost report comparison/comparison.json --output conv.html
    """
    from tvm_gnn_cost.report.page.comparison_page import comparison_page

    path = Path(run)
    if path.is_dir():
        path /= RESULT_FILE
        if not path.exists():
            raise InvalidArgumentError(f"{run} holds no {RESULT_FILE}: a report is made of the folder of a `compare`")
    page = Path(output) if output else path.parent / PAGE_FILE
    comparison_page(Comparison.load(path)).save(page)
    click.echo(page)
