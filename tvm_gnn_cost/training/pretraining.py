"""Pre-training: a network learns from the records of many tasks, for minutes or hours, and can be stopped at any step.

1. The scalers learn the features, in one pass over the records.
2. Steps on batches of several records from each of several tasks, in proportion to their weights. A network that was
   trained before also gets records that it learnt then, half of each batch, so that it does not forget them.
3. Now and then a check: the tasks of held-out workloads are ranked, and the weights that order the most pairs of their
   schedules as measured are remembered.
4. In the end the best weights are taken, a thin sample of the records is kept for replay, and scores are calibrated on
   it.

Everything that the next step depends on can be saved, and on one CPU machine a training that was stopped and continued
ends with the very weights of one that was not. (A training bounded by minutes depends on the clock.)
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import IntArray
from tvm_gnn_cost.learning.archive import read_archive, write_archive
from tvm_gnn_cost.learning.fitting import Fitting, fit_scalers
from tvm_gnn_cost.learning.metrics import MIN_RANKED, pairwise_accuracy
from tvm_gnn_cost.learning.optimisation import Optimisation
from tvm_gnn_cost.learning.parallel import Processes
from tvm_gnn_cost.learning.replay_buffer import TaskStats
from tvm_gnn_cost.learning.sampling import BatchSampler, spread, thin_out
from tvm_gnn_cost.learning.threads import single_threaded
from tvm_gnn_cost.learning.trainer import Trainer
from tvm_gnn_cost.learning.weights import load_weights, scaler_counts, weight_tensors
from tvm_gnn_cost.records.source import RecordSource
from tvm_gnn_cost.system.progress import Observer, Progress, unobserved

logger = logging.getLogger(__name__)

KEPT_RECORDS = 2000
"""Records that a trained network keeps, for replay and calibration."""

FORMAT = "tvm-gnn-cost pre-training"
FORMAT_VERSION = 3

_SAVE_SECONDS = 30.0
_BEGIN_ANEW = "begin anew (`restart`)"
_LEAST_STEPS_PER_EPOCH = 20  # few records: more than one pass is an epoch
_STEPS_PER_CHECK = 500  # at most: of many records there are several checks an epoch
_DECIDING_TASKS = 3  # the ranking of fewer held-out tasks is reported, and decides nothing
_CHECKED_TASKS, _CHECKED_RECORDS = 128, 256  # at most, and of each of them


@dataclass(frozen=True)
class PretrainOptions:
    """How long and how fast to learn. Options that online updates share are in `TrainerConfig`.

    Attributes:
        epochs: passes over the records; None if `minutes` says how long.
        minutes: of training, those before a stop included; None if `epochs` says how long.
        learning_rate: AdamW's peak rate; it warms up over 10 steps and falls to a tenth along a cosine.
        patience: share of the training without a better check after which it stops early, in (0, 1].
        seed: of the batches.
    """

    epochs: int | None = 30
    minutes: float | None = None
    learning_rate: float = 2e-3
    patience: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise InvalidArgumentError("either epochs or minutes says how long to train, not both")
        if self.epochs is not None and (isinstance(self.epochs, bool) or not 1 <= self.epochs <= 1_000_000):
            raise InvalidArgumentError(f"epochs is {self.epochs!r}; it must be an integer from 1 to 1,000,000")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InvalidArgumentError(f"minutes is {self.minutes!r}; it must be above 0")
        if not 1e-8 <= self.learning_rate <= 1.0:
            raise InvalidArgumentError(f"learning_rate is {self.learning_rate!r}; it must be in [1e-8, 1]")
        if not 0 < self.patience <= 1:
            raise InvalidArgumentError(f"patience is {self.patience!r}; it must be in (0, 1]")


@dataclass(frozen=True)
class PretrainingData:
    """What is learnt, and what it is checked on. Each array holds the records of one task, int64.

    Attributes:
        source: of all the records.
        learnt: the tasks to learn.
        weights: how likely each of them is in a batch, relative to the others.
        replayed: tasks that the network learnt before; empty for a new one.
        held_out: the tasks of the held-out workloads; those of a few records are not looked at until the end. Where
            fewer than three are left, their ranking decides nothing: no early stop, and the last weights are taken.
    """

    source: RecordSource
    learnt: Sequence[IntArray]
    weights: Sequence[float]
    replayed: Sequence[IntArray]
    held_out: Sequence[IntArray]

    @property
    def num_learnt(self) -> int:
        """Records to learn."""
        return sum(len(ids) for ids in self.learnt)


@dataclass(frozen=True)
class Check:
    """A moment of a training at which the held-out tasks, if any, were ranked.

    Attributes:
        step: optimiser steps made.
        epoch: passes over the records.
        seconds: spent training.
        loss: mean over the steps since the last check.
        held_out_loss: mean over the held-out tasks; None without.
        accuracy: mean pairwise accuracy on them; None where there are none, or no pair of theirs can be compared.
    """

    step: int
    epoch: float
    seconds: float
    loss: float
    held_out_loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class PretrainProgress(Progress):
    """A training after a step: its phase is "train", and `done` is the share of it, of a `total` of 1.

    Attributes:
        epoch: passes over the records.
        seconds: spent training.
        check: the last check; None before the first.
        is_checked: whether the check was made at this step.
    """

    epoch: float
    seconds: float
    check: Check | None
    is_checked: bool

    def metrics(self) -> tuple[int, dict[str, float]] | None:
        """Of a check, by optimiser steps."""
        if self.check is None or not self.is_checked:
            return None
        found = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "loss": self.check.loss,
            "held_out_loss": self.check.held_out_loss,
            "held_out_pairwise_accuracy": self.check.accuracy,
        }
        return self.check.step, {name: value for name, value in found.items() if value is not None}


class Pretraining:
    """One training, new or continued.

    Args:
        trainer: its network and scalers learn.
        data: what it learns.
        options: how.
        identity: JSON values, by name, that tell this training from others; `restore` refuses a state in which one
            differs.
        processes: that train together; each makes the same calls. None: this one alone.

    Attributes:
        checks: all so far.
        stopped_by: "epochs", "minutes", "patience" or "non-finite loss"; None until it is done.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: PretrainingData,
        options: PretrainOptions,
        identity: Mapping[str, Any],
        processes: Processes | None = None,
    ) -> None:
        self._processes = processes
        self.trainer, self.data, self.options, self.identity = trainer, data, options, dict(identity)
        self.checks: list[Check] = []
        self.stopped_by: str | None = None
        self.seconds_ = 0.0
        self._loss_sum, self._loss_steps = 0.0, 0
        self._best_at = 0.0  # share of the training at the best check
        self._optimisation = Optimisation(trainer.network, options.learning_rate, trainer.config.weight_decay)
        self._generator = np.random.default_rng(np.random.SeedSequence(options.seed).spawn(4)[3])
        self._best_latency = _best_latencies(data)
        self._fitting = Fitting(
            trainer.scorer,
            data.source,
            BatchSampler(data.learnt, [], data.replayed, trainer.config.batch_size, self._generator, data.weights),
            self._best_latency.__getitem__,
            self._optimisation,
            trainer.config.loss,
            processes,
        )
        ranked = [ids for ids in data.held_out if len(ids) >= MIN_RANKED]
        self._checked = [
            ranked[i][spread(len(ranked[i]), _CHECKED_RECORDS)] for i in spread(len(ranked), _CHECKED_TASKS)
        ]
        self.steps_per_epoch = max(_LEAST_STEPS_PER_EPOCH, math.ceil(data.num_learnt / trainer.config.batch_size))
        self._check_every = min(self.steps_per_epoch, _STEPS_PER_CHECK)

    @property
    def steps_(self) -> int:
        """Optimiser steps made so far."""
        return self._fitting.steps

    @property
    def done(self) -> float:
        """Share of the training, 1 at its end."""
        if self.options.minutes is not None:
            return min(1.0, self.seconds_ / (60.0 * self.options.minutes))
        assert self.options.epochs is not None
        return min(1.0, self.steps_ / (self.options.epochs * self.steps_per_epoch))

    @property
    def is_guided(self) -> bool:
        """Whether there are enough held-out tasks to choose the weights and to stop early."""
        return len(self._checked) >= _DECIDING_TASKS

    def fit_scalers(self) -> None:
        """Learns the range of the features in one pass; those of a network that was trained before are widened.

        Raises InvalidArgumentError for a feature that is not finite.
        """
        fit_scalers(self.trainer.scorer, self.data.source, np.sort(np.concatenate(self.data.learnt)))

    @single_threaded()
    def run(
        self,
        path: Path,
        observer: Observer[PretrainProgress] = unobserved,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Trains until it is done or `stop()`, asked before each step; returns whether it is done.

        The state is saved at `path` twice a minute and in the end. Raises CheckpointError where that fails.
        """
        last = saved = time.monotonic()
        while self.stopped_by is None and not self._is_to_stop(stop):
            self._step()
            now = time.monotonic()
            self.seconds_, last = self.seconds_ + now - last, now
            is_checked = False
            if self.stopped_by is None:
                if self.done >= 1.0:
                    self.stopped_by = "epochs" if self.options.minutes is None else "minutes"
                if self.stopped_by is not None or self.steps_ % self._check_every == 0:
                    self._check()
                    is_checked = True
            last_check = self.checks[-1] if self.checks else None
            observer(
                PretrainProgress(
                    phase="train",
                    done=self.done,
                    total=1.0,
                    epoch=self._epoch,
                    seconds=self.seconds_,
                    check=last_check,
                    is_checked=is_checked,
                )
            )
            if now - saved > _SAVE_SECONDS:
                self.save(path)
                saved = now
        self.save(path)
        return self.stopped_by is not None

    @single_threaded()
    def finish(self, kept_records: int) -> None:
        """Gives the trainer the best weights, calibrates it on a sample of the records, and leaves it some.

        Args:
            kept_records: how many of the records it remembers.
        """
        self._optimisation.finish()
        source, tasks = self.data.source, [*self.data.replayed, *self.data.learnt]
        kept = np.concatenate(thin_out(tasks, [source.latency(ids) for ids in tasks], kept_records or KEPT_RECORDS))
        stats = {
            name: TaskStats(known.seen, known.best_latency, known.flop)
            for name, known in self.trainer.replay.tasks_.items()
        }
        for ids in self.data.learnt:
            name = source.task(ids[:1])[0]
            seen = stats[name].seen if name in stats else 0
            stats[name] = TaskStats(seen + len(ids), self._best_latency[name], float(source.flop(ids[:1])[0]))
        self.trainer.replace_records(
            source.gather(kept), source.latency(kept), source.task(kept), source.flop(kept), stats
        )
        if not kept_records:
            self.trainer.forget_records()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all that the next step depends on, atomically; of several processes the first does.

        Raises CheckpointError where that fails.
        """
        if self._processes is not None and not self._processes.is_first:
            return
        moments, optimisation = self._optimisation.state()
        meta = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "identity": self.identity,
            "steps": self.steps_,
            "seconds": self.seconds_,
            "stopped_by": self.stopped_by,
            "checks": [asdict(check) for check in self.checks],
            "loss": [self._loss_sum, self._loss_steps],
            "best_at": self._best_at,
            "optimisation": optimisation,
            "scaler_count": scaler_counts(self.trainer),
            "generator": self._generator.bit_generator.state,
        }
        text = json.dumps(meta, indent=1, allow_nan=False)
        write_archive(path, text, {"weights": weight_tensors(self.trainer), "optimisation": moments})

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Goes on from what `save` wrote.

        Raises InvalidArgumentError where the identity differs, CheckpointError where the file cannot be used.
        """
        meta, members = read_archive(path, FORMAT, ["weights", "optimisation"], _BEGIN_ANEW)
        if meta.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(f"{path}: another release began it; {_BEGIN_ANEW}")
        try:
            check_identity(path, meta["identity"], self.identity)
            load_weights(path, self.trainer, members["weights"], meta["scaler_count"])
            self._optimisation.restore(members["optimisation"], meta["optimisation"])
            self._fitting.steps, self.seconds_ = int(meta["steps"]), float(meta["seconds"])
            self.stopped_by, self._best_at = meta["stopped_by"], float(meta["best_at"])
            self.checks = [Check(**check) for check in meta["checks"]]
            self._loss_sum, self._loss_steps = float(meta["loss"][0]), int(meta["loss"][1])
            self._generator.bit_generator.state = meta["generator"]
        except InvalidArgumentError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise CheckpointError(f"{path}: damaged ({error!r}); {_BEGIN_ANEW}") from error

    def _is_to_stop(self, stop: Callable[[], bool]) -> bool:
        """Asks all processes, which then have one clock."""
        if self._processes is None:
            return stop()
        is_to_stop, self.seconds_ = self._processes.agree(stop(), self.seconds_)
        return is_to_stop

    @property
    def _epoch(self) -> float:
        return self.steps_ / self.steps_per_epoch

    def _step(self) -> None:
        value = self._fitting.step(self.done)
        if math.isnan(value):
            logger.warning("loss or gradient is not finite at step %d: the training ends there", self.steps_)
            self.stopped_by = "non-finite loss"
            return
        self._loss_sum, self._loss_steps = self._loss_sum + value, self._loss_steps + 1

    def _check(self) -> None:
        """Ranks the held-out tasks, remembers the weights if they are the best so far, and may stop early."""
        loss = self._loss_sum / max(1, self._loss_steps)
        self._loss_sum, self._loss_steps = 0.0, 0
        with self._optimisation.averaged():
            held_out_loss, accuracy = self._rank_held_out() if self._checked else (None, None)
        self.checks.append(Check(self.steps_, self._epoch, self.seconds_, loss, held_out_loss, accuracy))
        criterion = held_out_loss if accuracy is None else 1.0 - accuracy
        if criterion is None or not self.is_guided:
            return
        if self._optimisation.consider(criterion):
            self._best_at = self.done
        elif self.stopped_by is None and self.done - self._best_at > self.options.patience:
            self.stopped_by = "patience"

    def _rank_held_out(self) -> tuple[float | None, float | None]:
        """Loss and pairwise accuracy, means over the held-out tasks; None where that is no number."""
        losses, accuracies = [], []
        for ids in self._checked:
            held = self._fitting.held_out(ids)
            loss, score = self._fitting.judge(held)
            losses.append(loss)
            accuracies.append(pairwise_accuracy(score, held.latency))
        return _finite_mean(losses), _finite_mean(accuracies)


def _best_latencies(data: PretrainingData) -> dict[str, float]:
    """The least latency of every task, in seconds."""
    least: dict[str, float] = {}
    for ids in (*data.replayed, *data.learnt, *data.held_out):
        name, best = data.source.task(ids[:1])[0], float(data.source.latency(ids).min())
        least[name] = min(best, least.get(name, math.inf))
    return least


def _finite_mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def check_identity(path: str | os.PathLike[str], saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    """Raises InvalidArgumentError where a saved training was made with other data or options."""
    differences = [
        f"{name} was {saved.get(name)!r}, now it is {present.get(name)!r}"
        for name in dict.fromkeys([*saved, *present])
        if saved.get(name) != present.get(name)
    ]
    if differences:
        raise InvalidArgumentError(
            f"{path} holds a training that cannot be continued: {'; '.join(differences)}. Give what it was begun with, "
            f"{_BEGIN_ANEW}, or name another output"
        )
