"""Carries out a plan: lessons first, then cells; what is known is not done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tvm_gnn_cost.evaluation.jobs import run_jobs
from tvm_gnn_cost.evaluation.models import Model
from tvm_gnn_cost.evaluation.plan import HELD_OUT, REPLAY, Cell, EvaluationOptions, Lesson, Plan, make_plan
from tvm_gnn_cost.evaluation.ranking import rank_held_out, rank_unseen
from tvm_gnn_cost.evaluation.replay import ReplayOptions, relative_throughput, replay, thin
from tvm_gnn_cost.evaluation.results import ResultsFile, Values, encode
from tvm_gnn_cost.evaluation.split import Fold
from tvm_gnn_cost.evaluation.subjects import Subject

RESULTS_FILE = "results.jsonl"
MODELS_FOLDER = "models"


class Observer(Protocol):
    """Told what happens; called in the evaluating thread. It may raise KeyboardInterrupt, nothing else."""

    def __call__(self, phase: str, done: int, total: int, what: str) -> None:
        """`phase`: "learn" or "test"; `done` of `total`, `what` was done last."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that was carried out.

    Attributes:
        plan: what it consisted of.
        values: what each cell found, by its key.
    """

    plan: Plan
    values: Mapping[str, Values]


def evaluate(
    subjects: Sequence[Subject],
    folds: Sequence[Fold],
    models: Mapping[str, Model],
    options: EvaluationOptions,
    folder: Path,
    observer: Observer | None = None,
) -> Evaluation:
    """Trains what has to be trained and computes all cells.

    Each result is in `folder`/results.jsonl, each trained model in `folder`/models as soon as it is known; the same
    call, after an interruption or with further models or seeds, does what is missing. Results do not depend on the
    number of jobs.

    Raises InvalidArgumentError where nothing can be done, EvaluationError where the folder cannot be used.
    """
    plan = make_plan(subjects, folds, models, options, folder / MODELS_FOLDER)
    results = ResultsFile(folder / RESULTS_FILE)
    bench = Bench(subjects, models, options.replay)
    todo = [cell for cell in plan.cells if cell.key not in results.values]
    needed = {path for cell in todo for path in cell.trained}
    lessons = [lesson for lesson in plan.lessons if lesson.path in needed and not lesson.path.exists()]
    tell = observer or _silent
    tell("learn", 0, len(lessons), "")
    with closing(run_jobs(bench.train, lessons, options.jobs)) as trained:
        for done, (lesson, _) in enumerate(trained, start=1):
            tell("learn", done, len(lessons), f"{lesson.model}, {len(lesson.subjects)} pools, seed {lesson.seed}")
    tell("test", len(plan.cells) - len(todo), len(plan.cells), "")
    with closing(run_jobs(bench.test, todo, options.jobs)) as tested:
        for done, (cell, values) in enumerate(tested, start=len(plan.cells) - len(todo) + 1):
            results.add(cell.key, _about(cell, subjects[cell.subject]), values)
            tell("test", done, len(plan.cells), f"{cell.model}, {subjects[cell.subject].pool.name}, seed {cell.seed}")
    return Evaluation(plan, {cell.key: results.values[cell.key] for cell in plan.cells})


class Bench:
    """The pools and the models: what lessons and cells are computed from, here or in another process."""

    def __init__(self, subjects: Sequence[Subject], models: Mapping[str, Model], replay_options: ReplayOptions) -> None:
        self.subjects, self.models, self.replay_options = subjects, models, replay_options

    def train(self, lesson: Lesson) -> None:
        """Writes the lesson's file."""
        learnt = [self.subjects[i] for i in lesson.subjects]
        self.models[lesson.model].train(learnt, lesson.seed, lesson.path)

    def test(self, cell: Cell) -> dict[str, Any]:
        """What a cell finds, as JSON values.

        Of REPLAY: "relative", the throughput of each trial relative to the best of the pool, and "records", how many
        the thinned pool holds. Of the other kinds: "held_out", a list of `results.encode`.
        """
        subject = self.subjects[cell.subject]
        learner = self.models[cell.model].start(cell.trained, cell.seed)
        if cell.kind == REPLAY:
            records = thin(subject.pool.latency, subject.generator(cell.seed, "thin"))
            order = subject.generator(cell.seed, "order").permutation(records)
            picked = replay(learner, subject, records, order, self.replay_options)
            relative = relative_throughput(subject.pool.latency[picked], subject.best)
            return {"records": len(records), "relative": [float(f"{value:.9g}") for value in relative]}
        order = subject.generator(cell.seed, "order").permutation(len(subject))
        if cell.kind == HELD_OUT:
            return {"held_out": [encode(h) for h in rank_held_out(learner, subject, cell.sizes, order)]}
        return {"held_out": [encode(rank_unseen(learner, subject, order))]}


def _about(cell: Cell, subject: Subject) -> dict[str, Any]:
    return {
        "kind": cell.kind,
        "model": cell.model,
        "seed": cell.seed,
        "fold": cell.fold,
        "pool": subject.pool.name,
        "target": subject.pool.target,
        "workloads": cell.workloads,
    }


def _silent(phase: str, done: int, total: int, what: str) -> None:
    pass
