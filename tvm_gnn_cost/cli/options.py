"""What the sub-commands share: options, tasks from a command line, models by name."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.cli.network_options import NETWORK_OPTIONS, NetworkChoice
from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions

if TYPE_CHECKING:
    from tvm.auto_scheduler import HardwareParams, SearchTask
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel
    from tvm.target import Target

    from tvm_gnn_cost.networks import Network

MODELS = ("gnn", "xgboost")
_FORMER_NAMES = {"xgb": "xgboost"}

_TARGET = click.option("--target", default="host", show_default=True, help='As in "llvm -mcpu=znver4 -num-cores=8".')

F = TypeVar("F", bound=Callable[..., Any])


workload_argument = click.argument("workload", nargs=-1, metavar="[WORKLOAD [ARGUMENT]...]")
"""What is scheduled, by name or as FILE.py:FUNCTION, with its arguments."""

register_option = click.option(
    "--register",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="FILE.py",
    help="Run this file first: it registers workloads of your own, with auto_scheduler.register_workload. Repeatable.",
)


@dataclass(frozen=True)
class Problem:
    """What is to be tuned: tasks with their weights, a label for files and reports, the network that they are from."""

    label: str
    tasks: list[SearchTask]
    weights: list[float]
    network: Network | None = None

    @property
    def file_stem(self) -> str:
        return re.sub(r"[^A-Za-z0-9._-]+", "_", self.label).strip("_")

    @property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [str(task.desc) or str(i) for i, task in enumerate(self.tasks)]

    @property
    def flops(self) -> float:
        return sum(count_flop(t.compute_dag) * w for t, w in zip(self.tasks, self.weights, strict=True))


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
    ]  # fmt: skip

    @functools.wraps(function)
    def with_budget(
        *args: Any,
        trials: int,
        per_round: int,
        early_stopping: int | None,
        per_task_trials: int | None,
        minutes: float | None,
        **options: Any,
    ) -> Any:
        budget = TuneOptions(
            trials,
            per_round,
            early_stopping=early_stopping,
            per_task_trials=per_task_trials,
            minutes=minutes,
        )
        return function(*args, budget=budget, **options)

    return _apply(decorators, cast(F, with_budget))


def network_options(function: F) -> F:
    """The options that name a network, and the target."""
    return _apply([*NETWORK_OPTIONS, _TARGET], function)


def search_options(function: F) -> F:
    """The options of a tuning run's search."""
    population = click.option(
        "--population", type=click.IntRange(8), default=2048, show_default=True,
        help="Schedules in each generation of the search; 2048 is TVM's own.",
    )  # fmt: skip
    return _apply([population], function)


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


def make_problem(
    workload: Sequence[str], target: str, register: Sequence[str] = (), folder: Path | None = None, **network: Any
) -> Problem:
    """The tasks that a command line asks for; `network` are the fields of `NetworkChoice`.

    FILE.py in a WORKLOAD is relative to `folder`. Raises WorkloadError for what is unknown or does not fit.
    """
    from tvm_gnn_cost.ansor.networks import network_tasks
    from tvm_gnn_cost.workloads import parse_target, run_definitions

    for file in register:
        run_definitions(file)

    choice = NetworkChoice(**network)
    if bool(choice) == bool(workload):
        raise WorkloadError(
            "name one workload (tvm-gnn-cost workloads lists them), or a network with --network or --model"
        )
    parsed = parse_target(target)
    if not choice:
        task = make_named_task(workload, parsed, folder=folder)
        return Problem(workload_label(workload, task), [task], [1.0])
    net = choice.load()
    tasks, weights = network_tasks(net, parsed)
    return Problem(choice.label, tasks, [float(w) for w in weights], net)


def make_named_task(
    words: Sequence[str], target: Target, params: HardwareParams | None = None, folder: Path | None = None
) -> SearchTask:
    """The task of a WORKLOAD with its ARGUMENTs, as a command line or a line of a file has them."""
    from tvm_gnn_cost.ansor.tasks import make_task

    return make_task(words[0], [parse_argument(text) for text in words[1:]], target, params, folder)


def workload_label(words: Sequence[str], task: SearchTask) -> str:
    """A WORKLOAD in titles and names of files: as it was typed, without the path of a file."""
    from tvm_gnn_cost.workloads import describe

    return describe(str(task.workload_key)) if ".py:" in words[0] else " ".join(words)


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


def search_params(population: int) -> dict[str, int]:
    """TVM's `SketchPolicy` parameters for a search with so many schedules in a generation."""
    return {"evolutionary_search_population": population, "sample_init_min_population": min(50, population)}


def make_model(name: str, seed: int, pretrained: str, device: str, num_tasks: int, per_round: int) -> PythonBasedModel:
    """A cost model by its name on the command line, `gnn` or `xgboost`; the latter just as TaskScheduler makes it."""
    if model_name(name) == "gnn":
        from tvm_gnn_cost.ansor.cost_model import GNNCostModel

        return GNNCostModel(pretrained=None if pretrained == "none" else pretrained, seed=seed, device=device)
    from tvm.auto_scheduler import XGBModel

    # XGBModel takes 0 for "no seed"; it prints at every training unless verbose_eval is 0
    return XGBModel(verbose_eval=0, num_warmup_sample=num_tasks * per_round, seed=seed + 1)


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


def parse_argument(text: str) -> int | float | str | list[Any]:
    """An argument of a workload: a number where it is one, a list for JSON such as [1,2], else the text.

    Raises WorkloadError for what begins as a list and is none.
    """
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise WorkloadError(f"argument {text!r} is no list in JSON, such as [1,2] or '[\"same\",1]'") from error
        return list(parsed)
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text  # a mode may be called "inf"


def _apply(decorators: Sequence[Callable[[Any], Any]], function: F) -> F:
    for decorator in reversed(decorators):
        function = decorator(function)
    return function
