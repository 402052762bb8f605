"""`tvm-gnn-cost apply`: the best schedules that a database knows, without measuring anything."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost.cli.options import make_problem, problem_options
from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.schedulers.choice import find_scheduler
from tvm_gnn_cost.report.formats import format_ms

if TYPE_CHECKING:
    from tvm_gnn_cost.ansor.schedules.applying import KnownTask


@click.command(short_help="Apply the best schedules of a database; nothing is measured.")
@problem_options
@click.option("--database", required=True, type=click.Path(exists=True, file_okay=False), metavar="DIR",
              help="The folder of schedules, as `tune --database DIR` makes it.")  # fmt: skip
@click.option("--log-file", type=click.Path(dir_okay=False), help="Write the best records to this record log.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Compile them to this library, .so or .tar.")
@click.option("--json", "as_json", is_flag=True, help="Print what is known as one JSON object.")
def apply(database: str, log_file: str | None, output: str | None, as_json: bool, **asked: Any) -> int:
    """Look a WORKLOAD, or the tasks of a network, up in a database of schedules, and compile with the best.

    Takes what was measured for the same target. Nothing is measured; `build` checks and times a network. What the
    database does not know is named, and stays untuned in the library of a network; the exit status is 1 where it knows
    nothing.

    \b
    Examples:
      tvm-gnn-cost tune matmul 512 512 512 --database schedules
      tvm-gnn-cost apply matmul 512 512 512 --database schedules
      tvm-gnn-cost apply matmul 512 512 512 --database schedules --log-file best.json -o matmul.so
      tvm-gnn-cost apply --network resnet-18 --layout NHWC --database schedules -o resnet-18.so
    """
    from tvm_gnn_cost.ansor.schedules.applying import known_tasks, write_best
    from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase

    problem = make_problem(find_scheduler("ansor"), **asked)
    schedules = ScheduleDatabase(database)
    known = known_tasks(schedules, problem.tasks)
    schedules.close()
    found = sum(one.best is not None for one in known)
    if as_json:
        click.echo(json.dumps(_facts(problem, known), indent=2))
    else:
        _print(Console(), problem, known)
    if not found:
        click.echo(
            f"{database} has no schedule of {problem.label} for {problem.facts[0].target}: "
            f"`tvm-gnn-cost tune ... --database {database}` adds some",
            err=True,
        )
        return 1
    if log_file is not None:
        write_best(log_file, known, problem.tasks, problem.weights)
    if output is not None:
        with tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-") as folder:
            log = str(Path(folder) / "best.json")
            write_best(log, known, problem.tasks, problem.weights)
            _compile(problem, log, output)
    for what, path in (("records", log_file), ("library", output)):
        if path and not as_json:
            click.echo(f"{what}: {path}")
    return 0


def _compile(problem: Problem, log: str, output: str) -> None:
    from tvm_gnn_cost.ansor.build_result import export_library
    from tvm_gnn_cost.ansor.schedules.applying import build_known, build_operator

    if problem.network is None:
        library = build_operator(problem.tasks[0], log)
    else:
        library = build_known(problem.network, log, problem.tasks[0].target, problem.tasks)
    export_library(library, output)


def _facts(problem: Problem, known: Sequence[KnownTask]) -> dict[str, Any]:
    """Seconds."""
    return {
        "tasks": [
            {
                "name": fact.name,
                "workload_key": fact.workload_key,
                "target": fact.target,
                "weight": weight,
                "latency_s": None if one.best is None else one.best.latency_s,
                "similar_tasks": one.similar,
            }
            for fact, weight, one in zip(problem.facts, problem.weights, known, strict=True)
        ]
    }


def _print(console: Console, problem: Problem, known: Sequence[KnownTask]) -> None:
    table = Table(title=problem.label)
    table.add_column("task", overflow="fold")
    for heading in ("weight", "best known (ms)", "similar tasks"):
        table.add_column(heading, justify="right")
    for name, weight, one in zip(problem.names, problem.weights, known, strict=True):
        best = "-" if one.best is None else format_ms(one.best.latency_s)
        table.add_row(name, f"{weight:g}", best, str(one.similar))
    console.print(table)
