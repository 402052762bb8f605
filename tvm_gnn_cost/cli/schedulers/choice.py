"""The option `--scheduler`, and the scheduler that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tvm_gnn_cost.system.find_tvm import has_auto_scheduler

if TYPE_CHECKING:
    from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler

NAMES = ("ansor", "metaschedule")

scheduler_option = click.option(
    "--scheduler",
    type=click.Choice(NAMES),
    help="TVM's scheduler [default: ansor, which is auto_scheduler, where TVM has it, else metaschedule].",
)


def find_scheduler(name: str | None) -> Scheduler:
    """The scheduler of that name; None: auto_scheduler where the TVM that is installed has it.

    Raises TVMNotAvailableError where there is no TVM, or it has no such scheduler.
    """
    if name is None:
        name = "ansor" if has_auto_scheduler() else "metaschedule"
    if name == "ansor":
        from tvm_gnn_cost.cli.schedulers.ansor import Ansor

        return Ansor()
    from tvm_gnn_cost.cli.schedulers.meta_schedule import MetaSchedule

    return MetaSchedule()


def scheduler_of_log(name: str | None, path: str) -> Scheduler:
    """The scheduler whose log it is: a database is MetaSchedule's, whatever is installed."""
    from tvm_gnn_cost.records.databases import is_database

    return find_scheduler(name or ("metaschedule" if is_database(path) else None))
