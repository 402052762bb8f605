"""Training a network from measured stage graphs on disk, whichever scheduler they come from.

1. Whole workloads are held out (`held_out`).
2. A network, new or one that was trained before, learns the others (`pretraining`). Stopped at any point, the same call
   goes on.
3. It is written as a checkpoint that any front of the cost model opens, with a card that says where it comes from
   (`card`).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError, RecordError
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.graphs.stage_graph import IntArray
from tvm_gnn_cost.learning import Trainer, TrainerConfig
from tvm_gnn_cost.learning.checkpoint import finite_config
from tvm_gnn_cost.learning.cost_model import CostModelCore
from tvm_gnn_cost.learning.parallel import Processes
from tvm_gnn_cost.learning.sampling import task_weights
from tvm_gnn_cost.learning.starting import continue_trainer, new_trainer, shipped_checkpoint
from tvm_gnn_cost.records.shards import Shard
from tvm_gnn_cost.records.source import JoinedRecords, RecordSource
from tvm_gnn_cost.records.store import GraphStore
from tvm_gnn_cost.records.task import StoredTask, task_workload
from tvm_gnn_cost.system.files import file_digest, write_atomically
from tvm_gnn_cost.system.progress import Observer, Progress
from tvm_gnn_cost.training.card import NOTHING, card_text, make_card
from tvm_gnn_cost.training.held_out import TaskRanking, hold_out_workloads, rank_task
from tvm_gnn_cost.training.pretraining import (
    KEPT_RECORDS,
    Pretraining,
    PretrainingData,
    PretrainOptions,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainOptions:
    """How to train a network from logs.

    Attributes:
        pretrain: how long and how fast.
        start_from: "none" for a new network, "auto" for the one shipped for the logs' kind of target where it fits, or
            the path of a checkpoint.
        validation: share of the workloads to hold out, in [0, 0.5].
        hold_out_operators: hold out the workloads of these operators instead.
        config: options of `TrainerConfig` that were asked for; a checkpoint whose network was made with others does not
            fit.
        kept_records: of the logs, which the checkpoint carries for replay.
        device: "auto", "cpu", "cuda" or "cuda:1".
    """

    pretrain: PretrainOptions = field(default_factory=PretrainOptions)
    start_from: str = "auto"
    validation: float = 0.1
    hold_out_operators: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    kept_records: int = KEPT_RECORDS
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.validation <= 0.5:
            raise InvalidArgumentError(f"validation is {self.validation!r}; it must be a share in [0, 0.5]")
        most = TrainerConfig(**self.config).replay_size
        if not 0 <= self.kept_records <= most:
            raise InvalidArgumentError(f"kept_records is {self.kept_records!r}; it must be in [0, {most}]")


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        checkpoint, card_file: what was written.
        card: see `card.make_card`.
        rankings: of the held-out tasks.
    """

    checkpoint: Path
    card_file: Path
    card: dict[str, Any]
    rankings: tuple[TaskRanking, ...]


def train_network(
    shards: Sequence[Shard],
    output: Path,
    work: Path,
    options: TrainOptions,
    observer: Observer[Progress],
    *,
    restart: bool = False,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes | None = None,
) -> TrainResult | None:
    """Trains a network on records; None if `stop()` ended it, and the same call goes on.

    In all but the first of several processes it is None, too.

    Args:
        shards: records of one kind of target.
        output: the checkpoint to write; its card goes beside it, as `.md`.
        work: a folder for the state of the training; several may share it.
        options: how to train.
        observer: told, in the phase "start", what is learnt from what, then of every step (`PretrainProgress`), and in
            the phase "finish" that it is calibrated and learns what a trial costs, which takes a minute or two.
        restart: forget the state of a training that was stopped.
        stop: asked before each step.
        processes: that train it together, each making the same call with the same folders; the first writes.

    Raises:
        InvalidArgumentError: an option is wrong, or differs from those of the training that is to be continued.
        RecordError: there is no record, or CPU and GPU records are mixed.
        CheckpointError: a checkpoint cannot be read or written.
    """
    make_folders(output, work)
    state = _state_file(work, output)
    training = _Training(shards, options, processes)
    if restart and (processes is None or processes.is_first):
        state.unlink(missing_ok=True)
    if processes is not None:
        processes.wait()
    if state.exists():
        training.pretraining.restore(state)
    else:
        training.pretraining.fit_scalers()
    observer(Progress(phase="start", done=0, total=1, note=training.summary))
    is_done = training.pretraining.run(state, observer, stop)
    if processes is not None:
        processes.wait()  # for the first to have saved
        if not processes.is_first:
            return None
    if not is_done:
        return None
    observer(Progress(phase="finish", done=0, total=1, note="calibrating; learning what a trial costs"))
    return training.finish(output)


def make_folders(output: Path, work: Path) -> None:
    """Where a training writes. Raises CheckpointError where that cannot be, InvalidArgumentError for a bad name."""
    if output.suffix == ".md":
        raise InvalidArgumentError(f"the checkpoint cannot be {output}: its card is written to that file")
    try:
        work.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be made: {error.strerror}") from error


def _state_file(work: Path, output: Path) -> Path:
    """Where the state of the training of a checkpoint is kept; several may share the folder."""
    return work / f"{output.stem}-{hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:8]}.state"


class _Training:
    """The parts of one training."""

    def __init__(self, shards: Sequence[Shard], options: TrainOptions, processes: Processes | None) -> None:
        self._options = options
        self._skipped = sum(shard.skipped for shard in shards)
        self._store = _open_store(shards, self._skipped)
        trainer, self._started_from, digest = _starting_network(self._store.tasks[0].is_gpu, options)
        self._held_out = _hold_out(self._store.tasks, options, trainer)
        self._data = _data(self._store, self._held_out, trainer)
        self._settings = {
            "started_from": self._started_from,
            "validation": options.validation,
            "hold_out_operators": list(options.hold_out_operators),
            "kept_records": options.kept_records,
            "device": trainer.device.type,
        }
        identity = _identity(self._store, self._settings | digest, options.pretrain, trainer.config)
        self.pretraining = Pretraining(trainer, self._data, options.pretrain, identity, processes)

    @property
    def summary(self) -> str:
        """What is learnt, from what, in one line."""
        tasks, held = self._store.tasks, sum(self._held_out)
        return (
            f"{self._data.num_learnt:,} records of {len(tasks) - held} tasks to learn, {held} held out; starting "
            f"from {self._started_from}" + (f", at step {n:,}" if (n := self.pretraining.steps_) else "")
        )

    def finish(self, output: Path) -> TrainResult:
        """Calibrates, ranks the held-out tasks, and writes checkpoint and card."""
        self.pretraining.finish(self._options.kept_records)
        trainer, ids = self.pretraining.trainer, self._store.ids_by_task()
        learnt = [ids[i] for i, held in enumerate(self._held_out) if not held]
        trainer.learn_trial_cost(self._store, np.concatenate(learnt))
        held = np.concatenate([np.zeros(0, np.int64), *(ids[i] for i, held in enumerate(self._held_out) if held)])
        cost = trainer.trial_cost
        settings = self._settings | {
            "trial_cost_octaves": None if cost is None else cost.error(self._store, held),
            "failures_told_apart": None if cost is None else cost.told_apart(self._store, held),
        }
        rankings = tuple(
            rank_task(trainer.scorer, self._store, task, ids[i])
            for i, task in enumerate(self._store.tasks)
            if self._held_out[i]
        )
        model = CostModelCore(None, self._options.pretrain.seed, device=str(trainer.device), config=trainer.config)
        model.adopt(trainer)
        model.card = card = make_card(self._store, self._skipped, self._held_out, self.pretraining, rankings, settings)
        model.save(output)
        card_file = output.with_suffix(".md")
        try:
            write_atomically(card_file, card_text(card, output).encode())
        except OSError as error:
            raise CheckpointError(f"{card_file} cannot be written: {error.strerror}; {output} is complete") from error
        return TrainResult(output, card_file, card, rankings)


def _open_store(shards: Sequence[Shard], skipped: int) -> GraphStore:
    """The records to learn. Raises RecordError where there is none, or not of one kind of target."""
    if not any(len(shard) for shard in shards):
        raise RecordError(
            f"none of the {skipped} records can be used; the warnings say why (workloads that the package does not "
            "know are registered by files that `definitions` names)"
        )
    store = GraphStore(shards)
    _check_one_kind(store.tasks)
    return store


def _check_one_kind(tasks: Sequence[StoredTask]) -> None:
    examples = {task.is_gpu: task.target for task in tasks}
    if len(examples) > 1:
        raise RecordError(
            f"the logs mix CPU records ({examples[False]}) and GPU records ({examples[True]}); a network is for one "
            "kind of target: train one on the logs of each"
        )


def _starting_network(is_gpu: bool, options: TrainOptions) -> tuple[Trainer, str, dict[str, str]]:
    """The trainer to start with, what to call it, and what tells it from others."""
    kind = "gpu" if is_gpu else "cpu"
    path = shipped_checkpoint(kind) if options.start_from == "auto" else None
    if options.start_from not in ("auto", "none"):
        path = Path(options.start_from)
    if path is not None:
        try:
            trainer = _load(path, kind, options)
            label = path.name + (", shipped" if options.start_from == "auto" else "")
            return trainer, label, {"started_from_digest": file_digest(path)}
        except (CheckpointError, InvalidArgumentError) as error:
            if options.start_from != "auto":
                raise
            logger.warning("the network that is shipped does not fit, and training starts from nothing: %s", error)
    trainer = new_trainer(TrainerConfig(**options.config), seed=options.pretrain.seed, device=options.device)
    return trainer, NOTHING, {}


def _load(path: Path, kind: str, options: TrainOptions) -> Trainer:
    """A checkpoint's trainer. Raises CheckpointError, or InvalidArgumentError where it does not fit the options."""
    loss = {"loss": options.config["loss"]} if "loss" in options.config else {}  # shapes no network
    trainer, card = continue_trainer(path, device=options.device, options=loss, seed=options.pretrain.seed)
    made_for = (card or {}).get("kind", kind)
    if made_for != kind:
        raise InvalidArgumentError(f"{path} is a network for {made_for} targets, the logs are of {kind} targets")
    for name, wanted in options.config.items():
        if wanted != getattr(trainer.config, name):
            raise InvalidArgumentError(
                f"{path} has {name} {getattr(trainer.config, name)!r}, and {wanted!r} is asked for: leave that out, or "
                "begin with a new network (`start_from` none)"
            )
    return trainer


def _hold_out(tasks: Sequence[StoredTask], options: TrainOptions, trainer: Trainer) -> list[bool]:
    """Which tasks are held out; the workloads that the network has learnt before are not."""
    held_out = hold_out_workloads(
        tasks,
        options.validation,
        options.hold_out_operators,
        {task_workload(key) for key in trainer.replay.tasks_},
        np.random.default_rng(np.random.SeedSequence(options.pretrain.seed).spawn(5)[4]),
    )
    if options.validation and not any(held_out):
        logger.warning(
            "no workload is held out, since there are few or the network has learnt them before: all are learnt, and "
            "nothing checks how well"
        )
    return held_out


def _identity(
    store: GraphStore, settings: Mapping[str, Any], pretrain: PretrainOptions, config: TrainerConfig
) -> dict[str, Any]:
    """What tells a training from others."""
    return {
        "logs": f"{len(store):,} records, SHA-256 {store.digest}",
        "schema": SCHEMA_VERSION,
        **settings,
        "epochs": pretrain.epochs,
        "minutes": pretrain.minutes,
        "seed": pretrain.seed,
        "peak learning rate": pretrain.learning_rate,
        "patience": pretrain.patience,
        **finite_config(config),
    }


def _data(store: GraphStore, held_out: Sequence[bool], trainer: Trainer) -> PretrainingData:
    """What is learnt and held out, and what the network learnt before, less what is held out now."""
    tasks: dict[bool, list[IntArray]] = {False: [], True: []}
    for ids, held in zip(store.ids_by_task(), held_out, strict=True):
        tasks[held].append(ids)
    source: RecordSource = store
    replayed: list[IntArray] = []
    if len(trainer.replay):
        source = JoinedRecords(store, len(store), trainer.replay)
        hidden = {task.workload for task, held in zip(store.tasks, held_out, strict=True) if held}
        replayed = [
            np.array(stats.ids, dtype=np.int64) + len(store)
            for key, stats in trainer.replay.tasks_.items()
            if stats.ids and task_workload(key) not in hidden
        ]
    weights = task_weights([task.operator for task, held in zip(store.tasks, held_out, strict=True) if not held])
    return PretrainingData(source, tasks[False], weights, replayed, tasks[True])
