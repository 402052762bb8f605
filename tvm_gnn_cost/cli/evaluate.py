"""`tvm-gnn-cost evaluate`: how good cost models are, told from recorded logs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from tvm_gnn_cost.cli.hints import with_options
from tvm_gnn_cost.cli.options import register_option, split_names
from tvm_gnn_cost.cli.pages import EVALUATION_FILE
from tvm_gnn_cost.cli.progress import Display, Shown
from tvm_gnn_cost.errors import InvalidArgumentError, TVMGNNCostError
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp
from tvm_gnn_cost.system.progress import Observer, Progress

if TYPE_CHECKING:
    from tvm_gnn_cost.evaluation.methods import Method
    from tvm_gnn_cost.evaluation.options import EvaluationOptions
    from tvm_gnn_cost.evaluation.problems import Problem
    from tvm_gnn_cost.evaluation.split import Fold
    from tvm_gnn_cost.evaluation.summary import Summary
    from tvm_gnn_cost.learning import TrainerConfig

DEFAULT_MODELS = "gnn,gnn-cold,xgboost,xgboost-ours,random"
DEFAULT_FOLDS = 5

_HELP = """Tell from recorded logs how good cost models are: nothing is measured, and all models see the same records.

LOGS are record logs (.gz too) of tuning or of `tvm-gnn-cost collect`, MetaSchedule's databases, or folders of them;
where there are both, figures are told for each scheduler. As they are, they are all tested, and gnn starts from the
shipped network. To tell how models do on computations that they have not seen, name what is learnt beforehand: with
--train, --split or --hold-out.

\b
Experiments:
EXPERIMENTS

\b
Examples:
  tvm-gnn-cost evaluate logs/*.json
  tvm-gnn-cost evaluate logs --models gnn,xgboost --experiments replay --seeds 1
  tvm-gnn-cost evaluate pools --hold-out operator --folds 5 --jobs 8 --output runs/operators
  tvm-gnn-cost evaluate pools/zen4 --train pools/emeraldrapids --split split.json

\b
A split names operators and workloads; workloads as their logs are called, or by TVM's key:
  {"test_operators": ["attention"], "test_workloads": ["matmul-384x384x384"],
   "validation_operators": [], "validation_workloads": []}

The folder gets evaluation.json (every figure, machine, versions), results.jsonl (what each model said of each
pool), the trained models and plots. Stopped by Ctrl-C, the same command goes on; more seeds or models add to what
is there.
"""


class _Command(click.Command):
    """Its help lists the experiments, which are imported (with PyTorch) only for that."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS

        lines = "\n".join(f"  {name:12} {experiment.help}" for name, experiment in EXPERIMENTS.items())
        self.help = (self.help or "").replace("EXPERIMENTS", lines)
        super().format_help_text(ctx, formatter)


@dataclass(frozen=True)
class _Choice:
    """What is learnt beforehand, and what is tested: the options of the same names."""

    training: tuple[str, ...]
    split_file: str | None
    part: str | None
    hold_out: str | None
    folds: int | None

    def __post_init__(self) -> None:
        if self.hold_out is not None and (self.training or self.split_file is not None):
            raise InvalidArgumentError("--hold-out makes its own training logs: give no --train and no --split with it")
        if self.folds is not None and self.hold_out is None:
            raise InvalidArgumentError("--folds is for --hold-out operator or --hold-out workload")
        if self.part is not None and self.split_file is None:
            raise InvalidArgumentError("--part chooses a part of a split: give it with --split")

    def make_folds(self, tested: Sequence[Problem], learnt: Sequence[Problem]) -> list[Fold]:
        from tvm_gnn_cost.evaluation import split
        from tvm_gnn_cost.logs.pools import workload_of

        pools, further = [p.pool for p in tested], [p.pool for p in learnt]
        if self.split_file is not None:
            part = self.part or split.TEST
            return [split.split_fold(pools, further, split.read_split(self.split_file), part, workload_of)]
        if self.hold_out is not None:
            return split.hold_out_folds(pools, self.hold_out, self.folds or DEFAULT_FOLDS)
        every = tuple(range(len(pools)))
        return [split.Fold("all", tuple(range(len(pools), len(pools) + len(further))), every)]


def _settings(
    experiments: str | None,
    seeds: int,
    learn: str | None,
    curve: str | None,
    per_round: int,
    trials: int,
    jobs: int,
) -> EvaluationOptions:
    from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS
    from tvm_gnn_cost.evaluation.options import EvaluationOptions
    from tvm_gnn_cost.evaluation.search_replay import ReplayOptions

    return EvaluationOptions(
        experiments=tuple(EXPERIMENTS if experiments is None else _names("--experiments", experiments)),
        seeds=seeds,
        learnt=None if learn is None else _numbers("--learn", learn),
        **({} if curve is None else {"curve": _numbers("--curve", curve)}),
        replay=ReplayOptions(per_round, trials),
        jobs=jobs,
    )


def _config(epochs: int, steps: int | None) -> TrainerConfig:
    from tvm_gnn_cost.learning import TrainerConfig

    config = TrainerConfig(fit_epochs=epochs)
    return config if steps is None else replace(config, max_steps_per_update=steps)


def _grouped(name: str, make: Callable[..., Any], *options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options that a command gets as one value, `name`: what `make` makes of them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(**given: Any) -> Any:
            made = make(**{option: given.pop(option) for option in inspect.signature(make).parameters})
            return function(**given, **{name: made})

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


_choice_options = _grouped(
    "choice",
    _Choice,
    click.option("--train", "training", type=click.Path(exists=True), multiple=True, metavar="LOG",
                 help="A log or a folder of logs to learn beforehand, of another machine for example; may be given "
                      "more than once."),
    click.option("--split", "split_file", type=click.Path(dir_okay=False), metavar="FILE",
                 help="A JSON file that names what is kept for testing; the rest is learnt beforehand."),
    click.option("--part", type=click.Choice(["test", "validation"]),
                 help="With --split: what to test on [default: test]."),
    click.option("--hold-out", type=click.Choice(["operator", "workload"]),
                 help="Test every log with models that learnt the logs of other operators, or other workloads."),
    click.option("--folds", type=click.IntRange(2),
                 help=f"With --hold-out: in so many folds [default: {DEFAULT_FOLDS}]."),
)  # fmt: skip
_settings_options = _grouped(
    "settings",
    _settings,
    click.option("--experiments", show_default="all", help="Which ones, separated by commas."),
    click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Of everything, 0, 1, ..."),
    click.option("--learn", metavar="N,N...",
                 help="Records of a task that are learnt before its others are ranked [default: 64,128,256]."),
    click.option("--curve", metavar="N,N...",
                 help="Numbers of training workloads of a learning curve, besides all [default: 10,20,40,80]."),
    click.option("--round", "per_round", type=click.IntRange(1), default=16, show_default=True,
                 help="Schedules picked in a round of a replay."),
    click.option("--trials", type=click.IntRange(1), default=256, show_default=True,
                 help="Schedules picked in a replay, at most."),
    click.option("--jobs", type=click.IntRange(1), default=1, show_default=True,
                 help="Processes to spread the work over."),
)  # fmt: skip
_config_options = _grouped(
    "config",
    _config,
    click.option("--epochs", type=click.IntRange(1), default=30, show_default=True,
                 help="Passes of a network over what it learns beforehand."),
    click.option("--steps", type=click.IntRange(1), help="Optimiser steps when a network learns new records."),
)  # fmt: skip


@click.command(cls=_Command, short_help="Tell from recorded logs how good cost models are.", help=_HELP)
@click.argument("pools", nargs=-1, required=True, type=click.Path(exists=True), metavar="LOGS...")
@_choice_options
@_settings_options
@click.option(
    "--models",
    default=DEFAULT_MODELS,
    show_default=True,
    help="Which ones, separated by commas; also mlp, lstm, mlp-cold, lstm-cold, gnn-x3 for three averaged, "
    "gnn-own, beside which a task's own records speak, and xgboost-warmup, which is random until it "
    "knows 100 records, as stock is.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What gnn starts from, instead of a network trained here [default, without training logs: the shipped one].",
)
@_config_options
@register_option
@click.option("--device", default="auto", show_default=True, help="Where networks run: auto, cpu, cuda.")
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    default="evaluation",
    show_default=True,
    help="The folder of the results; what it holds is not computed again.",
)
def evaluate(
    pools: tuple[str, ...],
    choice: _Choice,
    settings: EvaluationOptions,
    models: str,
    checkpoint: str | None,
    config: TrainerConfig,
    register: tuple[str, ...],
    device: str,
    output: str,
) -> int:
    from tvm_gnn_cost.evaluation.runner import evaluate as run
    from tvm_gnn_cost.evaluation.summary import summarise

    console = Console()
    methods = {name: _method(name, config, _path(checkpoint), device) for name in _names("--models", models)}
    folder = Path(output)
    try:
        with Interrupts() as interrupts, Display(console, _Status()) as display:

            def observe(progress: Progress) -> None:
                interrupts.check()  # a library may have swallowed the KeyboardInterrupt
                display(progress)

            tested, learnt = _read(pools, choice.training, register, folder, methods, observe)
            problems = [*tested, *learnt]
            folds = choice.make_folds(tested, learnt)
            start = _checkpoint(checkpoint, problems, folds, methods)
            if start is not None:
                methods["gnn"] = _method("gnn", config, start, device)
            evaluation = run(problems, folds, methods, settings, folder, observe)
    except KeyboardInterrupt:
        console.print("Stopped early; what is finished is kept, and the same command goes on.", highlight=False)
        return 130
    summary = summarise(evaluation, problems, list(methods), settings.experiments)
    summary.save(folder / EVALUATION_FILE, _about(problems, folds, methods, settings, start))
    _report(console, summary, folder, _notes(problems, folds, methods))
    return 0


class _Status:
    """How an evaluation is shown: a line at each tenth of a phase."""

    def __init__(self) -> None:
        self._phase = ""
        self._tenth = 0

    def __call__(self, progress: Progress) -> Shown:
        if not progress.total:
            return Shown()
        done, total = int(progress.done), int(progress.total)
        title, count, tenth = _PHASES[progress.phase], f"{done}/{total}", done * 10 // total
        is_due = progress.phase != self._phase or done == total or tenth > self._tenth
        self._phase, self._tenth = progress.phase, tenth
        return Shown(title, count, progress.note, f"{title}: {count} {progress.note}".rstrip() if is_due else "")


_PHASES = {"read": "reading logs", "learn": "learning beforehand", "test": "testing"}


def _method(name: str, config: TrainerConfig, checkpoint: Path | None, device: str) -> Method:
    from tvm_gnn_cost.evaluation.registry import make_method
    from tvm_gnn_cost.logs.pools import workload_of
    from tvm_gnn_cost.logs.stock import train_stock

    return make_method(name, config, checkpoint, device, train_stock=train_stock, workload_of=workload_of)


def _read(
    pools: Sequence[str],
    training: Sequence[str],
    register: Sequence[str],
    folder: Path,
    methods: dict[str, Method],
    observe: Observer[Progress],
) -> tuple[list[Problem], list[Problem]]:
    """What is tested, and what is only learnt."""
    from tvm_gnn_cost.evaluation.problems import read_problems
    from tvm_gnn_cost.evaluation.registry import STOCK_METHODS
    from tvm_gnn_cost.logs.pools import read_recorded
    from tvm_gnn_cost.records.logs import find_logs
    from tvm_gnn_cost.workloads import run_definitions

    for file in register:
        run_definitions(file)
    cache = folder / "stock_features" if STOCK_METHODS.keys() & methods.keys() else None
    reader = functools.partial(read_recorded, stock_cache=cache)

    tested = read_problems(find_logs(pools), reader, observe)
    learnt = read_problems(find_logs(training), reader, observe) if training else []
    return tested, learnt


def _checkpoint(
    given: str | None, problems: Sequence[Problem], folds: Sequence[Fold], methods: dict[str, Method]
) -> Path | None:
    """What gnn starts from: the given checkpoint, the shipped one where there is nothing to train on, or None."""
    from tvm_gnn_cost.evaluation.problems import one_kind
    from tvm_gnn_cost.learning.starting import shipped_checkpoint

    kind = one_kind(problems)
    if given is not None or "gnn" not in methods:
        return _path(given)
    return None if any(fold.training for fold in folds) else shipped_checkpoint(kind)


def _notes(problems: Sequence[Problem], folds: Sequence[Fold], methods: dict[str, Method]) -> list[str]:
    """What a reader of the tables has to know."""
    if "gnn" not in methods or methods["gnn"].checkpoint is None:
        return []
    known, _ = methods["gnn"].known()
    tested = {problems[i].pool.workload for fold in folds for i in fold.tests}
    notes = [f"gnn starts from {methods['gnn'].checkpoint}"]
    if tested & known:
        notes.append(
            f"{len(tested & known)} of the {len(tested)} tested workloads are among those that it has learnt, which "
            "flatters gnn"
        )
    return notes


def _about(
    problems: Sequence[Problem],
    folds: Sequence[Fold],
    methods: dict[str, Method],
    settings: EvaluationOptions,
    checkpoint: Path | None,
) -> dict[str, Any]:
    """What stands before the figures; "models" is the file's word for methods."""
    return {
        "created": timestamp(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "options": asdict(settings),
        "models": {name: method.options() for name, method in methods.items()},
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "folds": [{"name": f.name, "training": list(f.training), "tests": list(f.tests)} for f in folds],
        "pools": [
            {
                "name": problem.pool.name,
                "workload": problem.pool.workload,
                "operator": problem.pool.operator,
                "scheduler": problem.pool.scheduler,
                "target": problem.pool.target,
                "records": len(problem),
                "failed": sum(not len(readings) for readings in problem.pool.readings),
                "digest": problem.digest,
            }
            for problem in problems
        ],
    }


def _report(console: Console, summary: Summary, folder: Path, notes: Sequence[str]) -> None:
    from tvm_gnn_cost.report.evaluation_plots import figures
    from tvm_gnn_cost.report.evaluation_tables import experiment_tables

    for table in experiment_tables(summary):
        console.print(table)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    for reason in summary.skipped:
        console.print(f"left out: {with_options(reason)}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"result: {folder / EVALUATION_FILE}", highlight=False, soft_wrap=True)
    try:
        for name, _, figure in figures(summary):
            figure.savefig(folder / f"{name}.png", dpi=150)
            console.print(f"plot:   {folder / name}.png", highlight=False, soft_wrap=True)
    except TVMGNNCostError as error:
        console.print(f"no plot: {error}", highlight=False, soft_wrap=True)


def _names(option: str, text: str) -> list[str]:
    names = split_names(text)
    if not names:
        raise InvalidArgumentError(f"{option} is {text!r}; it holds at least one name")
    return names


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgumentError(f"{option} is {text!r}; it is like 64,128,256") from error


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
