"""What the sub-commands share: options, tasks from a command line, models by name, live progress and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.records.tuning_run import MeasureOptions
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.system.progress import Progress

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel
    from typing_extensions import Self

MODELS = ("gnn", "xgboost")
_FORMER_NAMES = {"xgb": "xgboost"}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Problem:
    """What is to be tuned: tasks with their weights, and a label for files and reports."""

    label: str
    tasks: list[SearchTask]
    weights: list[float]

    @property
    def file_stem(self) -> str:
        return re.sub(r"[^A-Za-z0-9._-]+", "_", self.label).strip("_")

    @property
    def flops(self) -> float:
        return sum(float(t.compute_dag.flop_ct) * w for t, w in zip(self.tasks, self.weights, strict=True))


def problem_options(function: F) -> F:
    """The arguments and options that name a workload or a network, and the target."""
    decorators = [
        click.argument("workload", nargs=-1, metavar="[WORKLOAD [ARGUMENT]...]"),
        click.option("--network", metavar="NAME", help="All tasks of a network from tvm.relay.testing instead."),
        click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="With --network."),
        click.option("--layout", default="NCHW", show_default=True, help="NCHW or NHWC, with --network."),
        click.option("--image-shape", metavar="C,H,W", help="The shape of an input, channels first, with --network."),
        click.option("--target", default="host", show_default=True, help='As in "llvm -mcpu=znver4 -num-cores=8".'),
    ]
    return _apply(decorators, function)


def measure_options(function: F) -> F:
    """The options that say how to measure."""
    default = MeasureOptions()
    decorators = [
        click.option("--round", "per_round", type=click.IntRange(1), default=64, show_default=True,
                     help="Schedules measured between two trainings."),
        click.option("--repeat", type=click.IntRange(1), default=default.repeat, show_default=True,
                     help="Readings of each schedule; the best counts."),
        click.option("--min-repeat-ms", type=click.IntRange(0), default=default.min_repeat_ms, show_default=True,
                     help="The least duration of a reading, in milliseconds."),
        click.option("--build-timeout", type=click.IntRange(1), default=default.build_timeout_s, show_default=True,
                     help="Seconds after which a build is killed."),
        click.option("--run-timeout", type=click.IntRange(1), default=default.run_timeout_s, show_default=True,
                     help="Seconds after which a run is killed."),
        click.option("--population", type=click.IntRange(8), default=2048, show_default=True,
                     help="Schedules in each generation of the search; 2048 is TVM's own."),
    ]  # fmt: skip
    return _apply(decorators, function)


def model_options(function: F) -> F:
    """The options of GNNCostModel."""
    decorators = [
        click.option("--pretrained", default="auto", show_default=True, metavar="auto|none|PATH",
                     help="What the gnn model starts from: the shipped checkpoint, nothing, or a checkpoint file."),
        click.option("--device", default="auto", show_default=True, help="Where the gnn model runs: auto, cpu, cuda."),
    ]  # fmt: skip
    return _apply(decorators, function)


def make_problem(
    workload: Sequence[str],
    network: str | None,
    batch_size: int,
    layout: str,
    image_shape: str | None,
    target: str,
) -> Problem:
    """The tasks that a command line asks for. Raises WorkloadError for what is unknown or does not fit."""
    from tvm_gnn_cost.ansor.networks import load_network, network_tasks
    from tvm_gnn_cost.ansor.tasks import make_task
    from tvm_gnn_cost.workloads import parse_target

    if (network is None) == (not workload):
        raise WorkloadError("name one workload (tvm-gnn-cost workloads lists them), or a network with --network")
    parsed = parse_target(target)
    if network is None:
        name, args = workload[0], [parse_argument(text) for text in workload[1:]]
        task = make_task(name, args, parsed)
        return Problem(" ".join(workload), [task], [1.0])
    shape = _parse_shape(image_shape) if image_shape else None
    net = load_network(network, batch_size=batch_size, layout=layout, image_shape=shape)
    tasks, weights = network_tasks(net, parsed)
    label = f"{network} batch {batch_size} {layout}" + (f" {image_shape}" if image_shape else "")
    return Problem(label, tasks, [float(w) for w in weights])


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


def split_names(text: str) -> list[str]:
    """The names in a text such as "gnn, xgb", none twice."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


class BarDisplay:
    """A progress bar in a terminal; elsewhere there is none, `bar` is None, and subclasses print lines.

    Args:
        console: where to show it.
        columns: rich's.
        refresh_per_second: redraws.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, refresh_per_second: float) -> None:
        self._console = console
        self._bar = (
            Bar(*columns, console=console, refresh_per_second=refresh_per_second) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class ProgressDisplay(BarDisplay):
    """Shows a run as it goes: a bar in a terminal, else a line whenever `line_every` more trials were measured."""

    def __init__(self, console: Console, title: str, flops: float, line_every: int = 1) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            refresh_per_second=2,  # a redraw takes time from what is being measured
        )
        self._title = title
        self._flops = flops
        self._line_every = line_every
        self._task: Any = None
        self._reported = 0

    def __enter__(self) -> Self:
        super().__enter__()
        if self._bar is not None:
            self._task = self._bar.add_task(self._title, total=None, status="")
        return self

    def __call__(self, progress: Progress) -> None:
        status = f"{_PHASES[progress.phase]}  {self._best(progress)}"
        if progress.failed:
            status += f"  {progress.failed} failed"
        if self._bar is not None:
            self._bar.update(self._task, total=progress.budget, completed=progress.trials, status=status)
        elif progress.phase == "measure" and self._is_due(progress):
            self._reported = progress.trials
            self._console.print(
                f"{self._title}: {progress.trials}/{progress.budget} trials, {progress.elapsed_s:.0f} s, "
                f"{self._best(progress)}" + (f", {progress.failed} failed" if progress.failed else ""),
                highlight=False,
                soft_wrap=True,
            )

    def _is_due(self, progress: Progress) -> bool:
        if progress.trials == progress.budget:
            return progress.trials > self._reported
        return progress.trials >= self._reported + self._line_every

    def _best(self, progress: Progress) -> str:
        if progress.latency_s is None:
            return "no latency yet"
        return f"best {format_ms(progress.latency_s)} ms, {self._flops / progress.latency_s / 1e9:.1f} GFLOP/s"


_PHASES = {
    "search": "searching",
    "build": "building ",
    "wait": "waiting for a quiet machine",
    "measure": "measuring",
    "again": "measuring again",
    "train": "training ",
}


def parse_argument(text: str) -> int | float | str:
    """An argument of a workload: a number where it is one."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in re.split(r"[,x]", text))
    except ValueError as error:
        raise WorkloadError(f"--image-shape is {text!r}; it is like 3,224,224") from error


def _apply(decorators: Sequence[Callable[[Any], Any]], function: F) -> F:
    for decorator in reversed(decorators):
        function = decorator(function)
    return function
