"""The cost model without a scheduler: candidates of a source go in, scores come out, measurements are learnt.

A scheduler's front owns a `CostModelCore` and hands it sources (`graphs.source`). When the search calls which method,
with what, and what it does with the answer, is the front's affair; so is what a candidate is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.source import StageGraphSource
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.learning.config import TrainerConfig
from tvm_gnn_cost.learning.out_of_memory import is_out_of_memory
from tvm_gnn_cost.learning.reports import FitReport
from tvm_gnn_cost.learning.starting import (
    continue_trainer,
    load_trainer,
    new_trainer,
    save_trainer,
    shipped_checkpoint,
)
from tvm_gnn_cost.learning.trainer import Trainer
from tvm_gnn_cost.records.measured import MeasuredGraphs

logger = logging.getLogger(__name__)

_SMALLEST_EXPLORING_SCORE = 1e-3
_PRICE = 0.25
"""Of time: a trial that takes ten times the usual must promise 1.5 times the throughput."""
_WAIT_S = 0.5
"""Seconds that a trial takes whatever is built."""
_USUAL_S = 0.5
"""Where nothing of a task was measured yet."""
_USUAL_RECORDS = 256
_PRICED = 512
"""Candidates of a call that are looked at, the best; a search measures far fewer."""
_MODEL = "GNNCostModel"
"""What checkpoints call the model, whichever front saved them: one opens in the other."""


@dataclass(frozen=True, kw_only=True)
class UpdateReport:
    """What one `update` did.

    Attributes:
        new_records: measurements learnt from, the failed ones included.
        failed_records: those of them that failed.
        skipped_records: measurements left out (no usable cost, or a state that cannot be read).
        total_records: measurements learnt from so far.
        prequential_accuracy: pairwise accuracy, on the new records, of the scores the model gave *before* it learnt
            them; mean over tasks; nan for a cold model or where there are no pairs.
        fit: the learner's report.
    """

    new_records: int
    failed_records: int
    skipped_records: int
    total_records: int
    prequential_accuracy: float
    fit: FitReport

    def __str__(self) -> str:
        ranked = "cold" if math.isnan(self.prequential_accuracy) else f"{self.prequential_accuracy:.3f}"
        return (
            f"{self.new_records} new records ({self.failed_records} failed, {self.skipped_records} skipped), "
            f"{self.total_records} in all; pairwise accuracy before learning: {ranked}; "
            f"{self.fit.steps} steps in {self.fit.seconds:.1f} s"
        )


UpdateCallback = Callable[[UpdateReport], None]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the model says of a task's candidates.

    Attributes:
        scores: float64 (candidates,): relative throughput, or -inf for one that cannot run.
        latency: float64 (graphs,), seconds; nan while the model is cold.
        time_shares: float64 (nodes,), the stages' shares of the time; nan while the model is cold.
        built: the graphs of the candidates that could be read.
    """

    scores: NDArray[np.float64]
    latency: NDArray[np.float64]
    time_shares: NDArray[np.float64]
    built: BuiltGraphs

    @property
    def candidate_latency(self) -> NDArray[np.float64]:
        """Seconds, float64 (candidates,); nan for one that cannot run or has no graph, and while the model is cold."""
        latency = np.full(len(self.scores), np.nan)
        latency[self.built.readable] = self.latency
        latency[~np.isfinite(self.scores)] = np.nan
        return latency


class CostModelCore:
    """Warm or cold, learning, reports, files: what every front of the cost model shares.

    Args:
        pretrained: "auto" starts from the network shipped for the kind of target of the first task, where there is
            one; a path from that checkpoint; None starts cold.
        seed: of everything random in the model.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".
        num_warmup_sample: a cold model scores at random until it has learnt from more measurements than this.
        config: options of the learner; default `TrainerConfig()`. Of a pretrained network the sizes stay.
        model_file: if given, the model is saved there after every update.
        callbacks: each is called with an `UpdateReport` after every update.
        cost_aware: of candidates that promise the same, a search is given those first that take less time to build.

    Attributes:
        last_update: what the last update did; None before the first.
        card: of the network that it started from; None without one.

    Raises:
        InvalidArgumentError: an option is wrong. CheckpointError: the checkpoint cannot be used.
    """

    def __init__(
        self,
        pretrained: str | PathLike[str] | None = "auto",
        seed: int = 0,
        *,
        device: str = "auto",
        num_warmup_sample: int = 0,
        config: TrainerConfig | None = None,
        model_file: str | PathLike[str] | None = None,
        callbacks: Sequence[UpdateCallback] = (),
        cost_aware: bool = True,
    ) -> None:
        if isinstance(num_warmup_sample, bool) or not isinstance(num_warmup_sample, int):
            raise InvalidArgumentError(f"num_warmup_sample must be an int, got {num_warmup_sample!r}")
        if config is not None and not isinstance(config, TrainerConfig):
            raise InvalidArgumentError(f"config must be a TrainerConfig, got {type(config).__name__}")
        if pretrained is not None and not isinstance(pretrained, str | PathLike):
            raise InvalidArgumentError(f"pretrained must be 'auto', a path or None, got {pretrained!r}")
        self.num_warmup_sample = num_warmup_sample
        self.model_file = model_file
        self.callbacks = tuple(callbacks)
        self.cost_aware = bool(cost_aware)
        self._usual_seconds: dict[str, list[float]] = {}  # of a task's trials, in a run
        self.last_update: UpdateReport | None = None
        self.card: dict[str, Any] | None = None
        self.trainer = new_trainer(config, seed=seed, device=device)
        self._config = config
        self._pretrained = False
        self._learnt_before = 0  # records that the pretrained network had learnt
        self._choose_pretrained = pretrained == "auto"  # by the target of the first task that comes
        self._generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        if pretrained is not None and not self._choose_pretrained:
            self._start_from(Path(pretrained))

    @property
    def is_warm(self) -> bool:
        """Whether scores come from a trained network; else they explore at random."""
        return self._pretrained or self.num_records > max(0, self.num_warmup_sample)

    @property
    def num_records(self) -> int:
        """Measurements learnt from so far; those of a pretrained network do not count."""
        return self.trainer.records_seen_ - self._learnt_before

    def meet(self, source: StageGraphSource) -> None:
        """A task comes up, to be scored or learnt: the first decides which shipped network the model starts from."""
        if not self._choose_pretrained:
            return
        self._choose_pretrained = False
        kind = "gpu" if source.hardware.is_gpu else "cpu"
        shipped = shipped_checkpoint(kind)
        if shipped is None:
            logger.info("%s: no pretrained network is shipped for %s targets; starting cold", _MODEL, kind)
        elif self.trainer.records_seen_ == 0:
            self._start_from(shipped)

    def score(self, source: StageGraphSource, candidates: Sequence[Any], *, for_search: bool = False) -> Scored:
        """What the model says of the candidates; never raises because of a bad one.

        For a search, whether one can run is looked at closely only where it may be chosen (`StageGraphSource.can_run`).

        One that can run but has no graph gets the median score of those that have: it is searched from like any other,
        and measured by the share of each round that is taken at random, since nothing speaks for it or against it.
        """
        built = source.build(candidates)
        count = len(built.graphs)
        time_shares = np.full(len(built.scored_nodes), np.nan)
        latency = np.full(count, np.nan)
        if self.is_warm and count:
            prediction = self.trainer.predict(built.graphs, source.key, source.flop)
            relative = np.nan_to_num(prediction.relative_throughput, nan=1e-6, posinf=1e3, neginf=1e-6)
            time_shares = prediction.time_shares.astype(np.float64)
            latency = prediction.latency
        else:
            relative = self._generator.uniform(_SMALLEST_EXPLORING_SCORE, 1.0, count)
        if for_search and self.is_warm and count:
            relative = self._worth(source.key, built.graphs, relative)
        can_run = source.can_run(candidates, built, relative if for_search else None)
        scores = np.full(len(candidates), -np.inf)
        scores[built.readable] = relative
        without_graph = can_run & ~built.readable
        if without_graph.any():
            scores[without_graph] = self._unknown(scores[can_run & built.readable], int(without_graph.sum()))
        scores[~can_run] = -np.inf
        return Scored(scores=scores, latency=latency, time_shares=time_shares, built=built)

    def _worth(self, task: str, graphs: StageGraphBatch, relative: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative throughput, less for what takes longer to try than the task's trials usually do, more for less.

        By `_PRICE`, as a power of the seconds: where a trial takes ten times as long, a candidate must promise so much
        more that it is ahead by more than what the network is usually wrong by. The seconds are those until a trial
        has run: one that fails every other time costs two.
        """
        cost = self.trainer.trial_cost
        if cost is None or not self.cost_aware:
            return relative
        best = np.sort(np.argsort(-relative, kind="stable")[:_PRICED])
        usual = float(np.median(self._usual_seconds.get(task) or [_USUAL_S]))
        considered = graphs.select(best)
        seconds = (_WAIT_S + cost.predict(considered)) / (1.0 - cost.chance_of_failure(considered))
        factor = ((_WAIT_S + usual) / seconds) ** _PRICE
        worth = relative * float(np.median(factor))
        worth[best] = relative[best] * factor
        return worth

    def _unknown(self, others: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """Scores, float64 (count,), for candidates of which nothing is known but that they run beside the others."""
        if self.is_warm and len(others):
            return np.full(count, np.median(others))
        return self._generator.uniform(_SMALLEST_EXPLORING_SCORE, 1.0, count)

    def learn(self, measured: MeasuredGraphs, skipped: int) -> None:
        """Learns from measurements; `skipped` more could not be used, and are counted in the report."""
        was_warm = self.is_warm
        try:
            fit = self.trainer.partial_fit(measured.graphs, measured.latency, measured.task, measured.flop)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            logger.error("no memory for the update, tuning goes on with what is known: %s", error)
            return
        self._learn_seconds(measured)
        self.last_update = UpdateReport(
            new_records=len(measured.latency),
            failed_records=int(np.isinf(measured.latency).sum()),
            skipped_records=skipped,
            total_records=self.num_records,
            prequential_accuracy=fit.accuracy_before if was_warm else math.nan,
            fit=fit,
        )
        logger.info("%s: %s", _MODEL, self.last_update)
        for callback in self.callbacks:
            callback(self.last_update)
        if self.model_file is not None:
            try:
                self.save(self.model_file)
            except CheckpointError as error:  # a full disk must not end the search
                logger.error("%s", error)

    def _learn_seconds(self, measured: MeasuredGraphs) -> None:
        """What these trials took."""
        if self.trainer.trial_cost is not None:
            failed = np.isinf(measured.latency)
            self.trainer.trial_cost.adapt(measured.graphs, measured.seconds, failed)
        for task, seconds in zip(measured.task, measured.seconds.tolist(), strict=True):
            if math.isfinite(seconds):
                usual = self._usual_seconds.setdefault(task, [])
                usual.append(seconds)
                del usual[:-_USUAL_RECORDS]

    def adopt(self, trainer: Trainer) -> None:
        """Takes over a trained learner: the model is warm from now on."""
        self.trainer, self._pretrained, self._choose_pretrained = trainer, True, False
        self._learnt_before = trainer.records_seen_

    def save(self, file_name: str | PathLike[str]) -> None:
        """Writes the model to one file, atomically; folders that are not there are made.

        Raises CheckpointError, and leaves what was there as it was.
        """
        try:
            Path(file_name).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot write checkpoint {file_name}: {error}") from error
        extra = {
            "model": _MODEL,
            "num_warmup_sample": self.num_warmup_sample,
            "pretrained": self._pretrained,
            "choose_pretrained": self._choose_pretrained,
            "learnt_before": self._learnt_before,
            "card": self.card,
            "generator": self._generator.bit_generator.state,
        }
        save_trainer(file_name, self.trainer, extra)

    def load(self, file_name: str | PathLike[str], device: str) -> None:
        """Takes over what `save` wrote. Raises CheckpointError where it cannot be used; nothing has changed then."""
        trainer, extra = load_trainer(file_name, device)
        generator = np.random.default_rng()
        try:
            num_warmup_sample, learnt_before = int(extra["num_warmup_sample"]), int(extra["learnt_before"])
            pretrained, choose_pretrained = bool(extra["pretrained"]), bool(extra["choose_pretrained"])
            generator.bit_generator.state = extra["generator"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file_name}: not the checkpoint of a cost model ({error!r})") from error
        self.trainer, self._config, self._generator = trainer, trainer.config, generator
        self.num_warmup_sample, self._learnt_before = num_warmup_sample, learnt_before
        self._pretrained, self._choose_pretrained = pretrained, choose_pretrained
        self.card = extra.get("card")
        self.last_update = None

    def _start_from(self, path: Path) -> None:
        """Takes over a checkpoint's network, what it knows of tasks, and (unless given) its options."""
        seed = self.trainer.seed
        trainer, card = continue_trainer(
            path,
            device=str(self.trainer.device),
            options=None if self._config is None else asdict(self._config),
            seed=seed,
            generator=np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[1]),
        )
        self.adopt(trainer)
        self.card = card
