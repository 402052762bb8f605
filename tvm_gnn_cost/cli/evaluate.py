"""`tvm-gnn-cost evaluate`: how good cost models are, told from recorded logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tvm_gnn_cost.cli.options import BarDisplay, split_names
from tvm_gnn_cost.errors import InvalidArgumentError, TVMGNNCostError
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp

if TYPE_CHECKING:
    from tvm_gnn_cost.evaluation.models import Model
    from tvm_gnn_cost.evaluation.plan import EvaluationOptions
    from tvm_gnn_cost.evaluation.runner import Observer
    from tvm_gnn_cost.evaluation.split import Fold
    from tvm_gnn_cost.evaluation.subjects import Subject
    from tvm_gnn_cost.evaluation.summary import Summary
    from tvm_gnn_cost.learning import TrainerConfig

SUMMARY_FILE = "evaluation.json"
DEFAULT_MODELS = "gnn,gnn-cold,xgboost,xgboost-ours,random"
DEFAULT_EXPERIMENTS = "ranking,unseen,replay,error,calibration,curve"
DEFAULT_FOLDS = 5


@click.command(short_help="Tell from recorded logs how good cost models are.")
@click.argument("pools", nargs=-1, required=True, type=click.Path(exists=True), metavar="LOGS...")
@click.option(
    "--train",
    "training",
    type=click.Path(exists=True),
    multiple=True,
    metavar="LOG",
    help="A log or a folder of logs to learn beforehand, of another machine for example; may be given more than once.",
)
@click.option(
    "--split",
    "split_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="A JSON file that names what is kept for testing; the rest is learnt beforehand.",
)
@click.option(
    "--part", type=click.Choice(["test", "validation"]), help="With --split: what to test on [default: test]."
)
@click.option(
    "--hold-out",
    type=click.Choice(["operator", "workload"]),
    help="Test every log with models that learnt the logs of other operators, or other workloads.",
)
@click.option("--folds", type=click.IntRange(2), help=f"With --hold-out: in so many folds [default: {DEFAULT_FOLDS}].")
@click.option("--experiments", default=DEFAULT_EXPERIMENTS, show_default=True, help="Which ones, separated by commas.")
@click.option(
    "--models",
    default=DEFAULT_MODELS,
    show_default=True,
    help="Which ones, separated by commas; also mlp, lstm, mlp-cold, lstm-cold, and gnn-x3 for three averaged.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What gnn starts from, instead of a network trained here [default, without training logs: the shipped one].",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Of everything, 0, 1, ...")
@click.option(
    "--learn",
    metavar="N,N...",
    help="Records of a task that are learnt before its others are ranked [default: 64,128,256].",
)
@click.option(
    "--round",
    "per_round",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Schedules picked in a round of a replay.",
)
@click.option(
    "--trials", type=click.IntRange(1), default=256, show_default=True, help="Schedules picked in a replay, at most."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Passes of a network over what it learns beforehand.",
)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps when a network learns new records.")
@click.option(
    "--register",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE.py",
    help="Run this file first: it registers the workloads of your logs. May be given more than once.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes to spread the work over.")
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
    training: tuple[str, ...],
    split_file: str | None,
    part: str | None,
    hold_out: str | None,
    folds: int | None,
    experiments: str,
    models: str,
    checkpoint: str | None,
    seeds: int,
    learn: str | None,
    per_round: int,
    trials: int,
    epochs: int,
    steps: int | None,
    register: tuple[str, ...],
    jobs: int,
    device: str,
    output: str,
) -> int:
    """Tell from recorded logs how good cost models are: nothing is measured, and all models see the same records.

    LOGS are record logs (.gz too) of tuning or of `tvm-gnn-cost collect`, or folders of them. As they are, they are
    all tested, and gnn starts from the shipped network. To tell how models do on computations that they have not seen,
    name what is learnt beforehand: with --train, --split or --hold-out.

    \b
    Experiments:
      ranking      some records of a task are learnt, the others ranked
      unseen       tasks are ranked of which no record is known
      replay       a search among the recorded schedules: trials until the best are found
      error        how far predicted latencies are off, beside the noise of the measurements
      calibration  whether predicted throughput means what it says
      curve        accuracy on unseen tasks against the number of workloads learnt

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
    from tvm_gnn_cost.evaluation.registry import make_model
    from tvm_gnn_cost.evaluation.runner import evaluate as run
    from tvm_gnn_cost.evaluation.summary import summarise

    console = Console()
    _check_choice(training, split_file, part, hold_out, folds)
    options = _options(experiments, seeds, learn, per_round, trials, jobs)
    names = _names("--models", models)
    config = _config(epochs, steps)
    made = {name: make_model(name, config, _path(checkpoint), device) for name in names}
    folder = Path(output)
    try:
        with Interrupts() as interrupts, _Display(console) as display:

            def observe(phase: str, done: int, total: int, what: str) -> None:
                interrupts.check()  # a library may have swallowed the KeyboardInterrupt
                display(phase, done, total, what)

            tested, learnt = _read(pools, training, register, folder, made, observe)
            found = _folds(tested, learnt, split_file, part, hold_out, folds)
            start = _checkpoint(checkpoint, [*tested, *learnt], found, made)
            if start is not None:
                made["gnn"] = make_model("gnn", config, start, device)
            evaluation = run([*tested, *learnt], found, made, options, folder, observe)
    except KeyboardInterrupt:
        console.print("Stopped early; what is finished is kept, and the same command goes on.", highlight=False)
        return 130
    subjects = [*tested, *learnt]
    summary = summarise(evaluation, subjects, list(made), options.experiments)
    summary.save(folder / SUMMARY_FILE, _about(subjects, found, made, options, start))
    _report(console, summary, folder, _notes(subjects, found, made, start))
    return 0


class _Display(BarDisplay):
    """Shows how far an evaluation is: a bar in a terminal, else a line at each tenth."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[what]}"),
            refresh_per_second=2,
        )
        self._task: Any = None
        self._phase = ""
        self._tenth = 0

    def __call__(self, phase: str, done: int, total: int, what: str) -> None:
        if not total:
            return
        begins = phase != self._phase
        self._phase = phase
        if self._bar is not None:
            if begins:
                self._task = self._bar.add_task(_PHASES[phase], total=total, completed=done, what=what)
            self._bar.update(self._task, completed=done, total=total, what=what)
        elif begins or done == total or done * 10 // total > self._tenth:
            self._console.print(f"{_PHASES[phase]}: {done}/{total} {what}".rstrip(), highlight=False, soft_wrap=True)
        self._tenth = done * 10 // total


_PHASES = {"read": "reading logs", "learn": "learning beforehand", "test": "testing"}


def _check_choice(
    training: Sequence[str], split_file: str | None, part: str | None, hold_out: str | None, folds: int | None
) -> None:
    if hold_out is not None and (training or split_file is not None):
        raise InvalidArgumentError("--hold-out makes its own training logs: give no --train and no --split with it")
    if folds is not None and hold_out is None:
        raise InvalidArgumentError("--folds is for --hold-out operator or --hold-out workload")
    if part is not None and split_file is None:
        raise InvalidArgumentError("--part chooses a part of a split: give it with --split")


def _options(
    experiments: str, seeds: int, learn: str | None, per_round: int, trials: int, jobs: int
) -> EvaluationOptions:
    from tvm_gnn_cost.evaluation.plan import EvaluationOptions
    from tvm_gnn_cost.evaluation.replay import ReplayOptions

    return EvaluationOptions(
        experiments=tuple(_names("--experiments", experiments)),
        seeds=seeds,
        learnt=None if learn is None else _numbers(learn),
        replay=ReplayOptions(per_round, trials),
        jobs=jobs,
    )


def _config(epochs: int, steps: int | None) -> TrainerConfig:
    from tvm_gnn_cost.learning import TrainerConfig

    config = TrainerConfig(fit_epochs=epochs)
    return config if steps is None else replace(config, max_steps_per_update=steps)


def _read(
    pools: Sequence[str],
    training: Sequence[str],
    register: Sequence[str],
    folder: Path,
    models: dict[str, Model],
    observe: Observer,
) -> tuple[list[Subject], list[Subject]]:
    """What is tested, and what is only learnt."""
    from tvm_gnn_cost.evaluation.boosting import StockModel
    from tvm_gnn_cost.evaluation.subjects import read_subjects
    from tvm_gnn_cost.workloads import run_definitions

    for file in register:
        run_definitions(file)
    cache = folder / "stock_features" if StockModel.name in models else None

    def on_read(done: int, total: int, what: str) -> None:
        observe("read", done, total, what)

    tested = read_subjects(pools, stock_cache=cache, on_read=on_read)
    learnt = read_subjects(training, stock_cache=cache, on_read=on_read) if training else []
    return tested, learnt


def _folds(
    tested: Sequence[Subject],
    learnt: Sequence[Subject],
    split_file: str | None,
    part: str | None,
    hold_out: str | None,
    folds: int | None,
) -> list[Fold]:
    from tvm_gnn_cost.evaluation import split

    pools, further = [s.pool for s in tested], [s.pool for s in learnt]
    if split_file is not None:
        return [split.split_fold(pools, further, split.read_split(split_file), part or split.TEST)]
    if hold_out is not None:
        return split.hold_out_folds(pools, hold_out, folds or DEFAULT_FOLDS)
    every = tuple(range(len(pools)))
    return [split.Fold("all", tuple(range(len(pools), len(pools) + len(further))), every)]


def _checkpoint(
    given: str | None, subjects: Sequence[Subject], folds: Sequence[Fold], models: dict[str, Model]
) -> Path | None:
    """What gnn starts from: the given checkpoint, the shipped one where there is nothing to train on, or None."""
    from tvm_gnn_cost.evaluation.subjects import one_kind
    from tvm_gnn_cost.learning.starting import shipped_checkpoint

    kind = one_kind(subjects)
    if given is not None or "gnn" not in models:
        return _path(given)
    return None if any(fold.training for fold in folds) else shipped_checkpoint(kind)


def _notes(
    subjects: Sequence[Subject], folds: Sequence[Fold], models: dict[str, Model], checkpoint: Path | None
) -> list[str]:
    """What a reader of the tables has to know."""
    from tvm_gnn_cost.evaluation.networks import checkpoint_tasks

    if checkpoint is None or "gnn" not in models:
        return []
    known, _ = checkpoint_tasks(checkpoint)
    tested = {subjects[i].pool.workload for fold in folds for i in fold.tests}
    notes = [f"gnn starts from {checkpoint}"]
    if tested & known:
        notes.append(
            f"{len(tested & known)} of the {len(tested)} tested workloads are among those that it has learnt, which "
            "flatters gnn"
        )
    return notes


def _about(
    subjects: Sequence[Subject],
    folds: Sequence[Fold],
    models: dict[str, Model],
    options: EvaluationOptions,
    checkpoint: Path | None,
) -> dict[str, Any]:
    pools = [subject.pool for subject in subjects]
    return {
        "created": timestamp(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "options": asdict(options),
        "models": {name: model.options() for name, model in models.items()},
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "folds": [{"name": f.name, "training": list(f.training), "tests": list(f.tests)} for f in folds],
        "pools": [
            {
                "name": pool.name,
                "workload": pool.workload,
                "operator": pool.operator,
                "target": pool.target,
                "records": len(pool),
                "failed": sum(not len(readings) for readings in pool.readings),
                "digest": subject.digest,
            }
            for pool, subject in zip(pools, subjects, strict=True)
        ],
    }


def _report(console: Console, summary: Summary, folder: Path, notes: Sequence[str]) -> None:
    from tvm_gnn_cost.report.evaluation_plots import plot_calibration, plot_learning, plot_search
    from tvm_gnn_cost.report.evaluation_tables import experiment_tables

    for table in experiment_tables(summary):
        console.print(table)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    for reason in summary.skipped:
        console.print(f"left out: {reason}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"result: {folder / SUMMARY_FILE}", highlight=False, soft_wrap=True)
    plots = (
        ("search.png", plot_search, summary.search_curves),
        ("learning.png", plot_learning, summary.learning_curves),
        ("calibration.png", plot_calibration, summary.reliability),
    )
    for name, plot, curves in plots:
        if not curves:
            continue
        try:
            plot(summary, folder / name)
            console.print(f"plot:   {folder / name}", highlight=False, soft_wrap=True)
        except TVMGNNCostError as error:
            console.print(f"no plot: {error}", highlight=False, soft_wrap=True)
            return


def _names(option: str, text: str) -> list[str]:
    names = split_names(text)
    if not names:
        raise InvalidArgumentError(f"{option} is {text!r}; it holds at least one name")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgumentError(f"--learn is {text!r}; it is like 64,128,256") from error


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
