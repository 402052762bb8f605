"""What an evaluation consists of: lessons (what models learn beforehand) and cells (one model, seed and pool each).

A cell's key is a digest of all that decides its result: the model's options, the records, what was learnt beforehand,
the features' schema. Two experiments that need the same cell share it, and a rerun finds what is already known.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.models import Model
from tvm_gnn_cost.evaluation.networks import checkpoint_tasks
from tvm_gnn_cost.evaluation.ranking import LEARNT, MIN_RANKED, fitting_sizes
from tvm_gnn_cost.evaluation.replay import ReplayOptions, thin
from tvm_gnn_cost.evaluation.split import LARGEST_SUBSET, Fold, novelty, training_subsets
from tvm_gnn_cost.evaluation.subjects import Subject
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION

EXPERIMENTS = ("ranking", "unseen", "replay", "error", "calibration", "curve")
RESULTS_VERSION = 1
"""Changes with the meaning of results, so that those of another one are not taken for these."""

HELD_OUT, UNSEEN, REPLAY = "held-out", "unseen", "replay"
"""Kinds of cells: records of a known task, of an unseen task, and a search."""

CURVE_COUNTS = (10, 20, 40, 80)
_SMALL_SIZES = (32, 16)  # where no pool is large enough for LEARNT
_SHOWN = 3  # names of pools in a message


@dataclass(frozen=True)
class EvaluationOptions:
    """What is asked for.

    Attributes:
        experiments: some of EXPERIMENTS.
        seeds: so many of each cell, 0, 1, ...: of networks, of which records are learnt, of thinned pools.
        learnt: records of a task that are learnt before its others are ranked; None: those of LEARNT, or fewer where
            no pool is large enough.
        replay: how a search is replayed.
        curve: numbers of training workloads, besides all.
        jobs: processes.
    """

    experiments: tuple[str, ...] = EXPERIMENTS
    seeds: int = 3
    learnt: tuple[int, ...] | None = None
    replay: ReplayOptions = field(default_factory=ReplayOptions)
    curve: tuple[int, ...] = CURVE_COUNTS
    jobs: int = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.experiments if name not in EXPERIMENTS]
        if unknown or not self.experiments:
            raise InvalidArgumentError(
                f"experiments are {', '.join(EXPERIMENTS)}; got {', '.join(unknown) or 'none of them'}"
            )
        if self.seeds < 1 or self.jobs < 1:
            raise InvalidArgumentError(f"at least one seed and one job are needed; got {self.seeds} and {self.jobs}")
        if self.learnt is not None and (not self.learnt or min(self.learnt) < 1):
            raise InvalidArgumentError(f"numbers of learnt records must be at least 1; got {self.learnt}")


@dataclass(frozen=True)
class Lesson:
    """What a model learns beforehand: the pools of these subjects, into this file."""

    model: str
    seed: int
    subjects: tuple[int, ...]
    path: Path


@dataclass(frozen=True)
class Cell:
    """One model, one seed, one pool.

    Attributes:
        key: tells it from every other, see the module.
        kind: HELD_OUT, UNSEEN or REPLAY.
        model, seed, fold: names.
        subject: the index of the pool that is tested.
        trained: files of what was learnt beforehand.
        sizes: of HELD_OUT: numbers of learnt records.
        novelty: of UNSEEN: what the pool is to what was learnt, see `split.novelty`; else "".
        workloads: learnt beforehand; 0: none, or those of a checkpoint.
        whole: whether all training pools of the fold were learnt, not a part of them (a learning curve).
    """

    key: str
    kind: str
    model: str
    seed: int
    fold: str
    subject: int
    trained: tuple[Path, ...] = ()
    sizes: tuple[int, ...] = ()
    novelty: str = ""
    workloads: int = 0
    whole: bool = True


@dataclass(frozen=True)
class Plan:
    """Lessons and cells, and in words what was asked for and cannot be done."""

    lessons: tuple[Lesson, ...]
    cells: tuple[Cell, ...]
    skipped: tuple[str, ...]


def make_plan(
    subjects: Sequence[Subject],
    folds: Sequence[Fold],
    models: Mapping[str, Model],
    options: EvaluationOptions,
    folder: Path,
) -> Plan:
    """What is to be done. `folder`: where trained models are kept.

    Raises InvalidArgumentError where a fold learns what it tests, or nothing that was asked for can be done.
    """
    _check_apart(subjects, folds)
    sizes = learnt_sizes([subjects[i] for fold in folds for i in fold.tests], options.learnt)
    planner = _Planner(subjects, models, options, sizes, folder)
    for fold in folds:
        planner.add_fold(fold)
    plan = planner.plan()
    if not plan.cells:
        raise InvalidArgumentError(f"nothing can be evaluated: {'; '.join(plan.skipped) or 'no models were named'}")
    return plan


def learnt_sizes(subjects: Iterable[Subject], asked: Sequence[int] | None) -> tuple[int, ...]:
    """The numbers of learnt records: as asked for, else LEARNT, or fewer where no pool is large enough for those."""
    if asked is not None:
        return tuple(asked)
    largest = max((len(subject) for subject in subjects), default=0)
    fewer = [size for size in _SMALL_SIZES if size + MIN_RANKED <= largest]
    return LEARNT if LEARNT[0] + MIN_RANKED <= largest or not fewer else (fewer[0],)


class _Planner:
    def __init__(
        self,
        subjects: Sequence[Subject],
        models: Mapping[str, Model],
        options: EvaluationOptions,
        sizes: Sequence[int],
        folder: Path,
    ) -> None:
        self._subjects, self._models, self._options = subjects, models, options
        self._sizes, self._folder = sizes, folder
        self._lessons: dict[Path, Lesson] = {}
        self._cells: dict[tuple[str, str], Cell] = {}
        self._skipped: dict[str, list[str]] = {}  # reason -> names of pools, none: of all
        self._checkpoints = {
            model.checkpoint: (_file_digest(model.checkpoint), checkpoint_tasks(model.checkpoint))
            for model in models.values()
            if model.checkpoint is not None
        }

    def plan(self) -> Plan:
        skipped = tuple(_with_names(reason, pools) for reason, pools in self._skipped.items())
        return Plan(tuple(self._lessons.values()), tuple(self._cells.values()), skipped)

    def add_fold(self, fold: Fold) -> None:
        asked = set(self._options.experiments)
        usable = [model for model in self._models.values() if self._can_start(model, fold)]
        within = [name for name in ("ranking", "error", "calibration") if name in asked]
        if within:
            self._add_held_out(usable, fold, ", ".join(within))
        if "unseen" in asked:
            self._add_unseen(usable, fold)
        if "replay" in asked:
            self._add_replay(usable, fold)
        if "curve" in asked:
            self._add_curve(usable, fold)

    def _can_start(self, model: Model, fold: Fold) -> bool:
        if not model.pretrained or model.checkpoint is not None or fold.training:
            return True
        self._skip(f"{model.name}: it learns other tasks first, and there are no training pools ({_GIVE_TRAINING})")
        return False

    def _add_held_out(self, models: Sequence[Model], fold: Fold, experiments: str) -> None:
        least = min(self._sizes) + MIN_RANKED
        for index in fold.tests:
            subject = self._subjects[index]
            fitting = fitting_sizes(subject, self._sizes)
            if not fitting:
                self._skip(
                    f"{experiments}: with fewer than {least} records none is left to rank after {min(self._sizes)} are "
                    "learnt (--learn)",
                    subject.pool.name,
                )
                continue
            for model, seed in self._each(models):
                self._add(HELD_OUT, model, seed, fold, index, self._pretraining(model, seed, fold), sizes=fitting)

    def _add_replay(self, models: Sequence[Model], fold: Fold) -> None:
        least = 2 * self._options.replay.round
        for index in fold.tests:
            subject = self._subjects[index]
            for model, seed in self._each(models):
                left = len(thin(subject.pool.latency, subject.generator(seed, "thin")))
                if left < least:
                    self._skip(
                        f"replay: thinned so that good schedules are rare, fewer than {least} records are left, two "
                        f"rounds of {self._options.replay.round} (--round)",
                        subject.pool.name,
                    )
                else:
                    self._add(REPLAY, model, seed, fold, index, self._pretraining(model, seed, fold))

    def _add_unseen(self, models: Sequence[Model], fold: Fold) -> None:
        for model in models:
            if not model.transfers:
                continue
            if model.checkpoint is None and model.training_seeds(0) and not fold.training:
                self._skip(
                    f"unseen: {model.name} learns other tasks first, and there are no training pools ({_GIVE_TRAINING})"
                )
                continue
            for _, seed in self._each([model]):
                self._add_transfer(model, seed, fold, fold.training, whole=True)

    def _add_curve(self, models: Sequence[Model], fold: Fold) -> None:
        workloads = {self._subjects[i].pool.workload for i in fold.training}
        least = math.ceil(min(self._options.curve, default=1) / LARGEST_SUBSET)
        if len(workloads) < least:
            self._skip(
                f"curve: there are {len(workloads)} training workloads, and at least {least} are needed "
                f"({_GIVE_TRAINING})"
            )
            return
        for model in models:
            if not model.transfers or model.checkpoint is not None or not model.training_seeds(0):
                continue
            for _, seed in self._each([model]):
                for names in training_subsets(workloads, self._options.curve, seed).values():
                    learnt = tuple(i for i in fold.training if self._subjects[i].pool.workload in names)
                    self._add_transfer(model, seed, fold, learnt, whole=len(names) == len(workloads))

    def _add_transfer(self, model: Model, seed: int, fold: Fold, training: Sequence[int], *, whole: bool) -> None:
        trained = self._trained(model, seed, training)
        is_trained = model.checkpoint is None and model.training_seeds(seed)
        count = len({self._subjects[i].pool.workload for i in training}) if is_trained else 0
        for index in fold.tests:
            known = novelty(self._subjects[index].pool, *self._known(fold))
            self._add(UNSEEN, model, seed, fold, index, trained, novelty=known, workloads=count, whole=whole)

    def _known(self, fold: Fold) -> tuple[set[str], set[str]]:
        """The workloads and operators that models of the fold learn; without training pools, those of checkpoints."""
        if fold.training:
            pools = [self._subjects[i].pool for i in fold.training]
            return {pool.workload for pool in pools}, {pool.operator for pool in pools}
        workloads, operators = set[str](), set[str]()
        for _, (known_workloads, known_operators) in self._checkpoints.values():
            workloads |= known_workloads
            operators |= known_operators
        return workloads, operators

    def _each(self, models: Iterable[Model]) -> list[tuple[Model, int]]:
        return [(model, seed) for seed in range(self._options.seeds) for model in models]

    def _pretraining(self, model: Model, seed: int, fold: Fold) -> tuple[Path, ...]:
        """What the model starts from where it then learns the task's own records."""
        return self._trained(model, seed, fold.training) if model.pretrained else ()

    def _trained(self, model: Model, seed: int, training: Collection[int]) -> tuple[Path, ...]:
        """The files of what the model learnt of these pools; lessons make them."""
        if model.checkpoint is not None:
            return (model.checkpoint,)
        # In an order of their own, so that a model does not depend on the order in which logs were named.
        learnt = tuple(sorted(training, key=lambda i: self._subjects[i].digest))
        options = model.training_options()
        paths = []
        for training_seed in model.training_seeds(seed):
            name = _digest(options, training_seed, [self._subjects[i].digest for i in learnt])
            path = self._folder / f"{options['model']}-{name}{model.suffix}"
            self._lessons.setdefault(path, Lesson(model.name, training_seed, learnt, path))
            paths.append(path)
        return tuple(paths)

    def _add(
        self, kind: str, model: Model, seed: int, fold: Fold, index: int, trained: tuple[Path, ...], **about: Any
    ) -> None:
        start = [
            self._checkpoints[path][0] if path in self._checkpoints else path.name for path in trained
        ]  # by content: a checkpoint may be moved
        how: list[Any] = [about.get("sizes", ())]
        if kind == REPLAY:
            how = [self._options.replay.round, self._options.replay.trials]
        key = _digest(kind, model.options(), seed, self._subjects[index].digest, start, how)
        cell = Cell(key, kind, model.name, seed, fold.name, index, trained, **about)
        # Of a curve the whole training set is the unseen experiment: one cell serves both.
        known = self._cells.get((key, model.name))
        if known is None or (cell.whole and not known.whole):
            self._cells[key, model.name] = cell

    def _skip(self, reason: str, pool: str | None = None) -> None:
        names = self._skipped.setdefault(reason, [])
        if pool is not None and pool not in names:
            names.append(pool)


_GIVE_TRAINING = "give some with --train, --split or --hold-out"


def _check_apart(subjects: Sequence[Subject], folds: Sequence[Fold]) -> None:
    for fold in folds:
        learnt = {subjects[i].digest for i in fold.training}
        for i in fold.tests:
            if subjects[i].digest in learnt:
                raise InvalidArgumentError(
                    f"{subjects[i].pool.name} is to be learnt and tested: give training pools (--train) that hold none "
                    "of the tested records"
                )


def _with_names(reason: str, pools: Sequence[str]) -> str:
    if not pools:
        return reason
    more = f" and {len(pools) - _SHOWN} more" if len(pools) > _SHOWN else ""
    return f"{reason}: {', '.join(pools[:_SHOWN])}{more}"


def _digest(*parts: Any) -> str:
    text = json.dumps([RESULTS_VERSION, SCHEMA_VERSION, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidArgumentError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
