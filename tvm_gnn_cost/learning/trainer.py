"""The learner: trains a network online on measured stage graphs and predicts relative throughput and latency."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import FloatArray, IntArray, StageGraphBatch
from tvm_gnn_cost.learning.calibration import LOG_REFERENCE, Calibration
from tvm_gnn_cost.learning.config import TrainerConfig
from tvm_gnn_cost.learning.fitting import Fitting, HeldOut
from tvm_gnn_cost.learning.metrics import pairwise_accuracy
from tvm_gnn_cost.learning.networks.families import make_network
from tvm_gnn_cost.learning.optimisation import Optimisation
from tvm_gnn_cost.learning.own_records import TaskProcesses, summaries
from tvm_gnn_cost.learning.replay_buffer import ReplayBuffer, TaskStats
from tvm_gnn_cost.learning.reports import FitReport, Prediction
from tvm_gnn_cost.learning.sampling import BatchSampler, hold_out
from tvm_gnn_cost.learning.scaling import FeatureScaler
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.learning.threads import single_threaded
from tvm_gnn_cost.learning.trial_cost import TrialCost, TrialRecords
from tvm_gnn_cost.records.source import GivenRecords, RecordSource, check_records, group_ids, task_list
from tvm_gnn_cost.records.task import former_key

logger = logging.getLogger(__name__)

_CHECKS = 20  # validations per update or fit
_MAX_VALIDATION = 1024  # records


@dataclass(frozen=True)
class _Budget:
    """What a training may take: so many steps, and seconds since `started`, a time of the monotonic clock."""

    steps: int
    seconds: float
    started: float


class Trainer:
    """Learns the throughput of schedules from their stage graphs, online.

    The network's score is log2 throughput up to one offset per task. After each update the tasks' offsets are fitted in
    closed form on their remembered records, so scores become relative throughput and latency. An update continues from
    the present weights:

    1. New records enter the scalers and the replay buffer; of `min_validation_records` or more new ones of a
       task some are held out. What is held out now is trained on in later updates.
    2. `max_steps_per_update` AdamW steps on batches of new and replayed records, with early stopping.
    3. Calibration. The cost of all three is bounded, whatever the number of records so far.

    A prediction is that of the network; with `own_records` more and more that of the task's own records as well.

    The same seed and calls give the same predictions bit for bit on one CPU machine: one torch thread is used.
    Global random states are neither read nor changed.

    Args:
        config: see `TrainerConfig`.
        node_dim: node feature columns.
        edge_dim: edge feature columns.
        seed: of parameters, batches, splits and eviction.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".
    """

    def __init__(
        self,
        config: TrainerConfig | None = None,
        *,
        node_dim: int,
        edge_dim: int,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise InvalidArgumentError(f"seed must be an int >= 0, got {seed!r}")
        self.config = config or TrainerConfig()
        self.node_dim, self.edge_dim, self.seed = node_dim, edge_dim, int(seed)
        self.device = resolve_device(device)
        self._reset()

    def _reset(self) -> None:
        init, batches, replay = np.random.SeedSequence(self.seed).spawn(3)
        first = int(init.generate_state(1, np.uint64)[0] >> 1)
        options = self.config
        network = make_network(
            options.network, self.node_dim, self.edge_dim, options.hidden_dim, options.num_layers,
            dropout=options.dropout, seed=first,
        )  # fmt: skip
        self.network = network.to(self.device).eval()
        self.node_scaler = FeatureScaler(self.node_dim)
        self.edge_scaler = FeatureScaler(self.edge_dim)
        self.replay = ReplayBuffer(options.replay_size, replay)
        self.calibration = Calibration()
        self.processes = TaskProcesses()
        self.trial_cost: TrialCost | None = None
        self.generator = np.random.default_rng(batches)
        self.records_seen_ = 0

    @single_threaded()
    def fit(
        self,
        graphs: StageGraphBatch,
        latency: ArrayLike,
        task: str | Sequence[str],
        flop: ArrayLike,
        weights: Mapping[str, float] | None = None,
    ) -> FitReport:
        """Forgets everything and trains on all the records, `fit_epochs` passes, without a time bound.

        Arguments and errors are those of `partial_fit`; `weights` says how likely each task, by its key, is in a batch,
        relative to the others. None: all are equally likely.
        """
        started = time.monotonic()
        latencies, tasks, flops = self._checked(graphs, latency, task, flop)
        self._reset()
        if not len(graphs):
            return _nothing_done(started)
        self._remember(graphs, latencies, tasks, flops)
        by_task = group_ids(tasks, np.arange(len(graphs)))
        best = [int(ids[np.argmin(latencies[ids])]) for ids in by_task]
        train, held = self._hold_out(by_task, best)
        steps = max(
            self.config.max_steps_per_update, math.ceil(self.config.fit_epochs * len(graphs) / self.config.batch_size)
        )
        of_tasks = None if weights is None else [weights[tasks[int(ids[0])]] for ids in by_task]
        sampler = BatchSampler(train, [], [], self.config.batch_size, self.generator, of_tasks)
        source = GivenRecords(graphs, latencies, tasks, flops)
        return self._train(source, sampler, np.concatenate(held), _Budget(steps, math.inf, started), len(graphs))

    @single_threaded()
    def partial_fit(
        self, graphs: StageGraphBatch, latency: ArrayLike, task: str | Sequence[str], flop: ArrayLike
    ) -> FitReport:
        """Learns from new records, starting from what is known. No records: nothing changes.

        Args:
            graphs: n graphs.
            latency: (n,) seconds; inf marks a failed measurement.
            task: one key for all, or n keys.
            flop: floating-point operations, one number for all or (n,); records of a task share it.

        Raises:
            InvalidArgumentError: lengths differ, a latency is NaN or <= 0, a flop is not finite and > 0, or a feature
                is not finite. Nothing has changed then.
        """
        started = time.monotonic()
        latencies, tasks, flops = self._checked(graphs, latency, task, flop)
        if not len(graphs):
            return _nothing_done(started)
        for name in dict.fromkeys(tasks):
            self.recognise(name)
        count = min(len(graphs), _MAX_VALIDATION)
        first = graphs if count == len(graphs) else graphs.slice(0, count)
        # offsets order no schedules of a task, so without own records the network alone tells
        ranked = self._octaves(first, tasks[:count])[0] if self.config.own_records else self.scorer(first)[0]
        before = _accuracy(ranked, latencies, tasks)
        slots = self._remember(graphs, latencies, tasks, flops)
        kept = slots[slots >= 0]
        stats = self.replay.tasks_
        new = group_ids(self.replay.task(kept), kept)
        best = [stats[self.replay.task(ids[:1])[0]].best_id for ids in new]
        train, held = self._hold_out(new, best)
        current = dict.fromkeys(tasks)  # a set that keeps its order, so that runs repeat
        earlier = [np.setdiff1d(np.array(stats[name].ids, dtype=np.int64), kept) for name in current]
        others = [np.array(s.ids, dtype=np.int64) for name, s in stats.items() if name not in current]
        sampler = BatchSampler(train, earlier, others, self.config.batch_size, self.generator)
        validation = np.concatenate(held) if held else np.zeros(0, dtype=np.int64)
        budget = _Budget(self.config.max_steps_per_update, self.config.max_seconds_per_update, started)
        report = self._train(self.replay, sampler, validation, budget, len(graphs))
        report = replace(report, accuracy_before=before)
        logger.debug("partial_fit: %s", report)
        return report

    @single_threaded()
    def predict(self, graphs: StageGraphBatch, task: str | Sequence[str], flop: ArrayLike | None = None) -> Prediction:
        """Predictions for n graphs; see `Prediction`.

        Args:
            graphs: n graphs.
            task: one key for all, or n keys.
            flop: floating-point operations, one number or (n,); used only for the latency of unseen tasks.
        """
        count = len(graphs)
        tasks = task_list(task, count)
        for name in dict.fromkeys(tasks):
            self.recognise(name)
        octaves, score, time_shares = self._octaves(graphs, tasks)
        log_best, flops = np.zeros(count), np.full(count, np.nan)
        if flop is not None:
            flops[:] = np.asarray(flop, dtype=np.float64)
        for ids in group_ids(tasks, np.arange(count)):
            name = tasks[int(ids[0])]
            log_best[ids] = self.calibration.log_best(name, self.replay)
            if name in self.replay.tasks_:  # its offset counts these, whatever is counted today
                flops[ids] = self.replay.tasks_[name].flop
        octaves = np.clip(octaves, -100.0, 100.0)
        relative = np.clip(np.exp2(octaves - log_best), 1e-6, 1e3)
        return Prediction(
            relative_throughput=relative,
            latency=flops / np.exp2(octaves + LOG_REFERENCE),
            score=score,
            time_shares=time_shares,
        )

    def _octaves(self, graphs: StageGraphBatch, tasks: list[str]) -> tuple[NDArray[np.float64], FloatArray, FloatArray]:
        """Throughput as it is predicted, in octaves above 2**30 flop/s; the network's scores; its time shares."""
        scorer = self.scorer
        score, time_shares = scorer(graphs)
        octaves = score.astype(np.float64)
        summary: NDArray[np.float64] | None = None
        for ids in group_ids(tasks, np.arange(len(graphs))):
            name = tasks[int(ids[0])]
            octaves[ids] += self.calibration.offset_of(name, self.replay, scorer)
            process = self.processes.of(name, self.replay, scorer) if self.config.own_records else None
            if process is not None:
                summary = summaries(graphs, time_shares) if summary is None else summary
                octaves[ids] += process.weight * (process.predict(summary[ids]) - octaves[ids])
        return octaves, score, time_shares

    def learn_trial_cost(self, records: TrialRecords, ids: IntArray) -> None:
        """Learns what a trial costs from these records, from new; keeps what it knows where they say too little."""
        cost = TrialCost(self.node_dim, self.edge_dim, seed=self.seed, device=self.device)
        if cost.fit(records, ids):
            self.trial_cost = cost

    @single_threaded()
    def calibrate(self) -> None:
        """Brings the offsets of all tasks up to date; `predict` does it for the tasks that it is asked for."""
        for name in self.replay.tasks_:
            self.calibration.offset_of(name, self.replay, self.scorer)

    @single_threaded()
    def replace_records(
        self, graphs: StageGraphBatch, latency: NDArray[np.float64], task: Sequence[str], flop: NDArray[np.float64],
        stats: dict[str, TaskStats],
    ) -> None:  # fmt: skip
        """Remembers these records and tasks in place of those it held, and calibrates on them.

        It is how the training of the network elsewhere ends: the records seen are those that `stats` counts.

        Args:
            graphs: n graphs.
            latency: (n,) seconds; inf marks a failed measurement.
            task: n keys, all of them in `stats`.
            flop: (n,) floating-point operations.
            stats: by task, `ids` and `best_id` unused.
        """
        self.replay = ReplayBuffer(self.config.replay_size, np.random.SeedSequence(self.seed).spawn(3)[2])
        self.replay.restore(graphs, latency, task, flop, stats)
        self.records_seen_ = sum(one.seen for one in stats.values())
        self.processes.clear()
        self.calibration = Calibration()
        self.calibration.fit_centre(self.replay, self.scorer)
        self.calibrate()

    def recognise(self, name: str, former: str | None = None) -> None:
        """What an earlier release knew of a task goes to the first task that it fits, unless that is known itself.

        Args:
            name: the task's key.
            former: its key then; None: see `former_key`.
        """
        if name in self.replay.tasks_:
            return
        former = former_key(name) if former is None else former
        if former in self.replay.tasks_:
            self.replay.rename(former, name)
            self.calibration.rename(former, name)
            self.processes.clear()

    def forget_records(self) -> None:
        """Drops the records it remembers; what it knows of their tasks (best latency, offset) stays."""
        none = np.zeros(0)
        self.processes.clear()
        self.replay.restore(None, none, [], none, {name: replace(stats) for name, stats in self.replay.tasks_.items()})

    @property
    def scorer(self) -> Scorer:
        """The network with its scalers."""
        return Scorer(self.network, self.node_scaler, self.edge_scaler, self.device)

    def _checked(
        self, graphs: StageGraphBatch, latency: ArrayLike, task: str | Sequence[str], flop: ArrayLike
    ) -> tuple[NDArray[np.float64], list[str], NDArray[np.float64]]:
        checked = check_records(len(graphs), latency, task, flop)
        self.node_scaler.check(graphs.node_features)
        self.edge_scaler.check(graphs.edge_features)
        return checked

    def _remember(
        self, graphs: StageGraphBatch, latency: NDArray[np.float64], task: list[str], flop: NDArray[np.float64]
    ) -> IntArray:
        self.node_scaler.partial_fit(graphs.node_features)
        self.edge_scaler.partial_fit(graphs.edge_features)
        self.records_seen_ += len(graphs)
        for name, number in dict(zip(task, flop.tolist(), strict=True)).items():
            known = self.replay.tasks_.get(name)
            if known is not None and known.flop != number:  # counted anew
                self.calibration.shift(name, math.log2(number) - math.log2(known.flop))
        return self.replay.add(graphs, latency, task, flop)

    def _train(
        self, source: RecordSource, sampler: BatchSampler, validation: IntArray, budget: _Budget, records: int
    ) -> FitReport:
        """Trains on what the sampler draws, within the budget; `records` is for the report."""
        if len(validation) > _MAX_VALIDATION:
            validation = np.sort(self.generator.choice(validation, _MAX_VALIDATION, replace=False))
        fitting = self._fitting(source, sampler)
        held = fitting.held_out(validation) if len(validation) else None
        losses, stopped_by = self._make_steps(fitting, held, budget)
        best_loss, accuracy = fitting.optimisation.best_loss, math.nan
        if held is not None and math.isfinite(best_loss):
            score, _ = self.scorer(held.graphs)
            accuracy = _accuracy(score, held.latency, held.task)
        self.calibration.fit_centre(self.replay, self.scorer)
        self.processes.clear()
        last = losses[-10:]
        return FitReport(
            records=records,
            steps=len(losses),
            seconds=time.monotonic() - budget.started,
            train_loss=sum(last) / len(last) if last else math.nan,
            validation_loss=best_loss if math.isfinite(best_loss) else math.nan,
            validation_pairwise_accuracy=accuracy,
            stopped_by=stopped_by,
        )

    def _fitting(self, source: RecordSource, sampler: BatchSampler) -> Fitting:
        options = self.config
        return Fitting(
            self.scorer,
            source,
            sampler,
            lambda name: self.replay.tasks_[name].best_latency,
            Optimisation(self.network, options.learning_rate, options.weight_decay),
            options.loss,
        )

    def _make_steps(self, fitting: Fitting, held: HeldOut | None, budget: _Budget) -> tuple[list[float], str]:
        """Leaves the network with the best weights; returns the losses of the steps and what stopped them."""
        optimisation = fitting.optimisation
        check_every = max(1, budget.steps // _CHECKS)
        losses: list[float] = []
        stopped_by = "steps"
        if fitting.sampler.is_empty:  # nothing was kept: a full buffer, or all new records were dropped
            return losses, stopped_by
        for step in range(1, budget.steps + 1):
            value = fitting.step((step - 1) / budget.steps)
            if math.isnan(value):
                logger.warning("loss or gradient is not finite at step %d: the update was rolled back", step)
                optimisation.restore_best()
                return losses, "non-finite loss"
            losses.append(value)
            if held is not None and (step % check_every == 0 or step == budget.steps):
                with optimisation.averaged():
                    loss, _ = fitting.judge(held)
                optimisation.consider(loss)
                if optimisation.checks_since_best >= self.config.patience:
                    stopped_by = "patience"
                    break
            if time.monotonic() - budget.started > budget.seconds:
                stopped_by = "seconds"
                break
        optimisation.finish()
        return losses, stopped_by

    def _hold_out(self, ids: list[IntArray], best: list[int]) -> tuple[list[IntArray], list[IntArray]]:
        options = self.config
        return hold_out(ids, best, options.validation_fraction, options.min_validation_records, self.generator)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network!r}, records={self.records_seen_}, device={str(self.device)!r})"


def resolve_device(device: str) -> torch.device:
    """The torch device of a name. Raises InvalidArgumentError if it is unknown or not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}") from error
    if resolved.type not in ("cpu", "cuda"):
        raise InvalidArgumentError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise InvalidArgumentError(f"device {device!r} is not there; use device='auto' or 'cpu'")
    return resolved


def _accuracy(score: NDArray[np.floating], latency: NDArray[np.float64], tasks: Sequence[str]) -> float:
    """Pairwise accuracy of the first records, as many as have scores, mean over tasks; nan where no pair counts."""
    groups = group_ids(tasks[: len(score)], np.arange(len(score)))
    values = np.array([pairwise_accuracy(score[g], latency[g]) for g in groups])
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def _nothing_done(started: float) -> FitReport:
    return FitReport(
        records=0,
        steps=0,
        seconds=time.monotonic() - started,
        train_loss=math.nan,
        validation_loss=math.nan,
        validation_pairwise_accuracy=math.nan,
        stopped_by="no records",
    )
