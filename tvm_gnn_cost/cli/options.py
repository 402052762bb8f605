"""What the sub-commands share: options, the problem of a command line, models by name."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from tvm_gnn_cost.cli.network_options import NETWORK_OPTIONS, NetworkChoice
from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.schedulers.choice import scheduler_option
from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions

if TYPE_CHECKING:
    from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler

MODELS = ("gnn", "xgboost")
_FORMER_NAMES = {"xgb": "xgboost"}

_TARGET = click.option("--target", default="host", show_default=True, help='As in "llvm -mcpu=znver4 -num-cores=8".')

F = TypeVar("F", bound=Callable[..., Any])


class _Share(click.ParamType):
    """A share such as 2% or 0.02."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
        except ValueError:
            share = math.nan
        if not 0.0 < share < 1.0:
            self.fail(f"{value!r} is no share between 0 and 100%, such as 2% or 0.02", param, ctx)
        return share


workload_argument = click.argument("workload", nargs=-1, metavar="[WORKLOAD [ARGUMENT]...]")
"""What is scheduled, by name or as FILE.py:FUNCTION, with its arguments."""

register_option = click.option(
    "--register",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="FILE.py",
    help="Run this file first: it registers workloads of your own, with auto_scheduler.register_workload. Repeatable.",
)


def problem_options(function: F) -> F:
    """The arguments and options that name a workload or a network, and the target."""
    decorators = [
        workload_argument,
        *NETWORK_OPTIONS,
        _TARGET,
        register_option,
    ]
    return _apply(decorators, function)


def budget_options(function: F) -> F:
    """The options that say how much to measure, for a command that takes them as one argument `budget`, TuneOptions."""
    default = TuneOptions()
    decorators = [
        click.option("--trials", type=click.IntRange(1), default=default.trials, show_default=True,
                     help="Schedules to measure in all, in each run."),
        click.option("--round", "per_round", type=click.IntRange(1), default=default.trials_per_round,
                     show_default=True, help="Schedules measured between two trainings."),
        click.option("--early-stopping", type=click.IntRange(1), metavar="N",
                     help="Leave a task when N of its trials, one after another, brought nothing better."),
        click.option("--per-task-trials", type=click.IntRange(1), metavar="N", help="At most N trials for a task."),
        click.option("--minutes", type=click.FloatRange(0, min_open=True),
                     help="Stop after so many minutes; what is measured is kept."),
        click.option("--until", type=_Share(), metavar="SHARE",
                     help="Stop when further trials are expected to save less than this, such as 2%."),
    ]  # fmt: skip

    @functools.wraps(function)
    def with_budget(
        *args: Any,
        trials: int,
        per_round: int,
        early_stopping: int | None,
        per_task_trials: int | None,
        minutes: float | None,
        until: float | None,
        **options: Any,
    ) -> Any:
        budget = TuneOptions(
            trials,
            per_round,
            early_stopping=early_stopping,
            per_task_trials=per_task_trials,
            minutes=minutes,
            until=until,
        )
        return function(*args, budget=budget, **options)

    return _apply(decorators, cast(F, with_budget))


def network_options(function: F) -> F:
    """The options that name a network, and the target."""
    return _apply([*NETWORK_OPTIONS, _TARGET], function)


def search_options(function: F) -> F:
    """The options of a tuning run's search: whose it is, and how wide."""
    population = click.option(
        "--population", type=click.IntRange(8),
        help="Schedules in each generation of the search [default: 512; of xgboost with ansor TVM's own, 2048].",
    )  # fmt: skip
    any_cost = click.option(
        "--any-cost", is_flag=True,
        help="The gnn model ranks by speed alone; without, what takes longer to build must promise more.",
    )  # fmt: skip
    return _apply([scheduler_option, population, any_cost], function)


def measure_options(default: MeasureOptions) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that say how and where to measure; the command gets them as one, `measure`."""
    decorators = [
        click.option("--repeat", type=click.IntRange(1), default=default.repeat, show_default=True,
                     help="Readings of each schedule, all logged; the best counts."),
        click.option("--min-repeat-ms", type=click.IntRange(0), default=default.min_repeat_ms, show_default=True,
                     help="The least duration of a reading, in milliseconds."),
        click.option("--number", type=click.IntRange(1), default=default.number, show_default=True,
                     help="The least number of runs in a reading."),
        click.option("--flush-cache", is_flag=True,
                     help="Flush the CPU's caches before each reading, then of a single run."),
        click.option("--build-timeout", type=click.IntRange(1), default=default.build_timeout_s, show_default=True,
                     help="Seconds after which a build is killed."),
        click.option("--run-timeout", type=click.IntRange(1), default=default.run_timeout_s, show_default=True,
                     help="Seconds after which a run is killed; with --rpc, upload and linking count."),
        click.option("--rpc", metavar="KEY@HOST:PORT",
                     help="Measure on all servers of an RPC tracker that have this key; needs their --target."),
        click.option("--server-wait", type=click.FloatRange(0, min_open=True), default=default.server_wait_minutes,
                     show_default=True, help="With --rpc: minutes to wait where no server answers any more."),
        click.option("--cross-compiler", metavar="PROGRAM",
                     help="With --rpc: a C++ compiler here that links for the servers, such as aarch64-linux-gnu-g++; "
                          "without, each server links with its own."),
    ]  # fmt: skip

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_measure(
            *,
            repeat: int,
            min_repeat_ms: int,
            number: int,
            flush_cache: bool,
            build_timeout: int,
            run_timeout: int,
            rpc: str | None,
            server_wait: float,
            cross_compiler: str | None,
            **others: Any,
        ) -> Any:
            measure = MeasureOptions(
                repeat=repeat,
                min_repeat_ms=min_repeat_ms,
                number=number,
                build_timeout_s=build_timeout,
                run_timeout_s=run_timeout,
                flush_cache=flush_cache,
                tracker=None if rpc is None else Tracker.parse(rpc),
                server_wait_minutes=server_wait,
                compiler=cross_compiler,
            )
            return function(measure=measure, **others)

        return _apply(decorators, with_measure)

    return decorate


def model_options(function: F) -> F:
    """The options of GNNCostModel."""
    decorators = [
        click.option("--pretrained", default="auto", show_default=True, metavar="auto|none|PATH",
                     help="What the gnn model starts from: the shipped checkpoint, nothing, or a checkpoint file."),
        click.option("--device", default="auto", show_default=True, help="Where the gnn model runs: auto, cpu, cuda."),
    ]  # fmt: skip
    return _apply(decorators, function)


def run_registered(files: Sequence[str]) -> None:
    """Run the files of --register. Raises WorkloadError."""
    from tvm_gnn_cost.workloads import run_definitions

    for file in files:
        run_definitions(file)


def make_problem(
    scheduler: Scheduler,
    workload: Sequence[str],
    target: str,
    register: Sequence[str] = (),
    folder: Path | None = None,
    **network: Any,
) -> Problem:
    """The tasks that a command line asks for; `network` are the fields of `NetworkChoice`.

    FILE.py in a WORKLOAD is relative to `folder`. Raises WorkloadError for what is unknown or does not fit.
    """
    run_registered(register)
    choice = NetworkChoice(**network)
    if bool(choice) == bool(workload):
        raise WorkloadError(
            "name one workload (tvm-gnn-cost workloads lists them), or a network with --network or --model"
        )
    if not choice:
        return scheduler.operator_problem(workload, target, folder)
    return scheduler.network_problem(choice, target)


def check_target(target: str, tracker: Tracker | None) -> None:
    """Raises InvalidArgumentError for "host" with RPC servers: it is this machine, and others measure."""
    from tvm_gnn_cost.measuring.server_target import server_target
    from tvm_gnn_cost.workloads.targets import HOST_NAMES

    if tracker is not None and target.strip() in HOST_NAMES:
        found = server_target(tracker) or "llvm -mtriple=... -mcpu=..."
        raise InvalidArgumentError(
            f'--target is "host", which is this machine, but --rpc measures on others: name their target, such as '
            f'"{found} -num-cores=..."'
        )


def make_model(
    scheduler: Scheduler,
    name: str,
    seed: int,
    pretrained: str,
    device: str,
    num_tasks: int,
    per_round: int,
    cost_aware: bool = True,
) -> Any:
    """A cost model by its name on the command line, `gnn` or `xgboost`; the latter just as TVM's tuner makes it."""
    if model_name(name) == "gnn":
        return scheduler.gnn_model(seed, None if pretrained == "none" else pretrained, device, cost_aware)
    return scheduler.stock_model(seed, num_tasks, per_round)


def model_name(text: str) -> str:
    """The name of a model, as all commands have it. Raises InvalidArgumentError for another."""
    name = _FORMER_NAMES.get(text, text)
    if name not in MODELS:
        raise InvalidArgumentError(f"unknown model {text!r}; known: {', '.join(MODELS)}")
    return name


def is_model(text: str) -> bool:
    """Whether a text is the name of a model, today's or a former one."""
    return _FORMER_NAMES.get(text, text) in MODELS


def split_names(text: str) -> list[str]:
    """The names in a text such as "gnn, xgb", none twice."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _apply(decorators: Sequence[Callable[[Any], Any]], function: F) -> F:
    for decorator in reversed(decorators):
        function = decorator(function)
    return function
