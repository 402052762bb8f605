"""From scores to absolute throughput: one offset per task, fitted in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.learning.replay_buffer import ReplayBuffer
from tvm_gnn_cost.learning.sampling import spread
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.records.source import group_ids

LOG_REFERENCE = 30.0  # log2 throughput is counted from 2**30 flop/s, about 1 Gflop/s, which keeps targets near 0
_TASK_RECORDS = 256  # of a task, to fit its offset on
_CENTRING_RECORDS = 1024  # of all tasks, to fit the centre on
_SHRINKAGE = 0.1  # the centre weighs as much as a tenth of a best record, so that one record already calibrates


@dataclass
class Calibration:
    """Offsets b with log2 throughput = score + b, in octaves above 2**30 flop/s.

    Attributes:
        offset: of each calibrated task.
        fresh: tasks whose offset belongs to the present weights; others are calibrated anew when they are asked for.
        centre: the mean offset of the tasks, used for an unseen task.
        best_score: the mean over tasks of the score of their best record; stands in for an unseen task's best.
    """

    offset: dict[str, float] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    centre: float = 0.0
    best_score: float = 0.0

    def log_best(self, task: str, replay: ReplayBuffer) -> float:
        """Octaves above 2**30 flop/s of the task's best record; the typical value for a task without one."""
        stats = replay.tasks_.get(task)
        if stats is None or not math.isfinite(stats.best_latency):
            return self.best_score + self.centre
        return math.log2(stats.flop) - math.log2(stats.best_latency) - LOG_REFERENCE

    def shift(self, task: str, octaves: float) -> None:
        """Moves the offset of a task whose throughput counts so much more from now on."""
        if task in self.offset:
            self.offset[task] += octaves

    def offset_of(self, task: str, replay: ReplayBuffer, scorer: Scorer) -> float:
        """The task's offset for the present weights, fitted now on its remembered records if it is out of date."""
        if task not in self.fresh and task in replay.tasks_:
            stats = replay.tasks_[task]
            if stats.ids and math.isfinite(stats.best_latency):
                sample = np.array(stats.ids)[spread(len(stats.ids), _TASK_RECORDS)]
                ids = np.unique(np.append(sample, stats.best_id))
                ids = ids[ids >= 0]
                score, _ = scorer(replay.gather(ids))
                measured = log_throughput(replay.flop(ids), replay.latency(ids))
                best = self.log_best(task, replay)
                self.offset[task] = fit_offset(score.astype(np.float64), measured, best, self.centre)
            self.fresh.add(task)
        return self.offset.get(task, self.centre)

    def rename(self, former: str, name: str) -> None:
        """Gives a task another name."""
        if former in self.offset:
            self.offset[name] = self.offset.pop(former)
        if former in self.fresh:
            self.fresh.remove(former)
            self.fresh.add(name)

    def fit_centre(self, replay: ReplayBuffer, scorer: Scorer) -> None:
        """Fits the unseen task's offset on an even sample of all remembered records; every offset is out of date."""
        self.fresh.clear()
        if not len(replay):
            return
        ids = spread(len(replay), _CENTRING_RECORDS)
        score, _ = scorer(replay.gather(ids))
        measured = log_throughput(replay.flop(ids), replay.latency(ids))
        tasks = replay.task(ids)
        offsets, best_scores = [], []
        for group in group_ids(tasks, np.arange(len(ids))):
            if np.isfinite(measured[group]).any():
                top = self.log_best(tasks[int(group[0])], replay)
                raw = fit_offset(score[group].astype(np.float64), measured[group], top, self.centre)
                offsets.append(raw)
                best_scores.append(top - raw)
        if offsets:
            self.centre, self.best_score = float(np.mean(offsets)), float(np.mean(best_scores))


def fit_offset(score: NDArray[np.float64], log_throughput: NDArray[np.float64], log_best: float, prior: float) -> float:
    """Weighted mean of log_throughput - score over measured records, shrunk towards `prior`.

    The weight is the normalised throughput (with a floor of 0.05): what the search asks for is right near the best.

    Shapes: (n,), (n,) -> float. All in octaves; -inf marks a failed record. `prior` where none was measured.
    """
    measured = np.isfinite(log_throughput)
    if not measured.any():
        return prior
    weight = np.exp2(np.minimum(log_throughput[measured] - log_best, 0.0)) + 0.05
    residual = log_throughput[measured] - score[measured]
    return float((weight @ residual + _SHRINKAGE * prior) / (weight.sum() + _SHRINKAGE))


def log_throughput(flop: NDArray[np.float64], latency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Octaves above 2**30 flop/s; -inf where latency is inf.

    Shapes: (n,), (n,) -> (n,).
    """
    result = np.full(len(latency), -np.inf)
    measured = np.isfinite(latency)
    result[measured] = np.log2(flop[measured]) - np.log2(latency[measured]) - LOG_REFERENCE
    return result
