"""`tvm-gnn-cost graphs`: what can be learnt from MetaSchedule databases, for where their TVM is not installed."""

from __future__ import annotations

import click

from tvm_gnn_cost.errors import InvalidArgumentError


@click.command(short_help="Make MetaSchedule databases readable without the TVM that wrote them.")
@click.argument("databases", nargs=-1, required=True, type=click.Path(), metavar="DATABASE...")
@click.option("--stock", is_flag=True, help="Add the features of MetaSchedule's own cost model, to evaluate xgboost.")
def graphs(databases: tuple[str, ...], stock: bool) -> int:
    """Write graphs.npz into each DATABASE (the work_dir of a tuning, or a folder of those).

    A database is in the JSON of the TVM that wrote it, and no other reads it. graphs.npz holds the stage graphs of its
    records, their times and what they compute: train and evaluate take it where another TVM is installed, so that one
    network learns from both schedulers. Where records are added later, run this again.

    \b
    Example, with the logs of auto_scheduler in another environment:
      tvm-gnn-cost graphs tuned/*              # where apache-tvm is installed
      tvm-gnn-cost train tuned logs/*.json --output mine.ckpt      # where TVM 0.19 is
    """
    from tvm_gnn_cost.meta_schedule.recorded_pools import keep_graphs
    from tvm_gnn_cost.records.databases import is_database
    from tvm_gnn_cost.records.logs import find_logs

    found = find_logs(databases)
    strangers = [path for path in found if not is_database(path)]
    if strangers:
        raise InvalidArgumentError(
            f"{strangers[0]} is no MetaSchedule database; a log of auto_scheduler is read by every TVM that has it"
        )
    for path in found:
        written = keep_graphs(path, with_stock=stock)
        click.echo(f"{written} ({written.stat().st_size / 2**10:.0f} KiB)")
    return 0
