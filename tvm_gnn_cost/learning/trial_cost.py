"""How many seconds a trial takes: building a schedule and measuring it.

A stage graph says it as it says how fast a schedule is: a body that is unrolled into thousands of statements takes LLVM
seconds, and the sum over the stages is what is waited for. So a small network of the same kind learns it, from the
seconds that every record of auto_scheduler says its measurement took. It is the same for all tasks, without an offset
of their own; a machine's pace is one number, which a tuning run corrects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import smooth_l1_loss

from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.learning.archive import Tensors
from tvm_gnn_cost.learning.fitting import MAX_NODES_PER_STEP, fit_scalers, gather_within, randomness, score_records
from tvm_gnn_cost.learning.networks.families import make_network
from tvm_gnn_cost.learning.optimisation import Optimisation, learning_rate_share
from tvm_gnn_cost.learning.scaling import FeatureScaler
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.learning.threads import single_threaded
from tvm_gnn_cost.learning.weights import load_weights, scaler_counts, weight_tensors
from tvm_gnn_cost.records.source import GraphSource

_HIDDEN, _LAYERS, _DROPOUT = 32, 1, 0.1
_STEPS, _BATCH, _RATE, _DECAY = 3000, 128, 2e-3, 1e-2
_LEAST_RECORDS = 256
_SHORTEST, _LONGEST = 0.01, 600.0
"""Seconds: what is less or more counts as that."""
_COUNT = "scaler.{}.count"
_PACE_RECORDS = 256
_PACE_PRIOR = 8
"""Trials that the pace of the records that were learnt weighs as much as."""


class TimedRecords(GraphSource, Protocol):
    """Records that say how long their measurement took, such as a `GraphStore`."""

    def seconds(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]: ...


class TrialCost:
    """Predicts the seconds of a trial.

    Args:
        node_dim, edge_dim: feature columns.
        seed: of parameters and batches.
        device: of the network.
    """

    def __init__(self, node_dim: int, edge_dim: int, *, seed: int, device: torch.device) -> None:
        network = make_network("gcn", node_dim, edge_dim, _HIDDEN, _LAYERS, dropout=_DROPOUT, seed=seed)
        self.scorer = Scorer(network.to(device).eval(), FeatureScaler(node_dim), FeatureScaler(edge_dim), device)
        self._seed = seed
        self._residuals: list[float] = []

    def predict(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """Seconds, float64 (n,), of n schedules."""
        octaves = self._octaves(graphs) + self.pace
        return np.exp2(np.clip(octaves, math.log2(_SHORTEST), math.log2(_LONGEST)))

    @property
    def pace(self) -> float:
        """Octaves by which trials here take longer than those that were learnt."""
        total = len(self._residuals)
        return float(np.median(self._residuals)) * total / (total + _PACE_PRIOR) if total else 0.0

    def error(self, records: TimedRecords, ids: IntArray) -> float | None:
        """By how many octaves it is off in the median, on these records; None where none says its seconds."""
        seconds = records.seconds(ids)
        known = _are_known(seconds)
        if not known.any():
            return None
        octaves = -score_records(self.scorer, records, ids[known]).astype(np.float64)
        return float(np.median(np.abs(_octaves_of(seconds[known]) - octaves)))

    def adapt(self, graphs: StageGraphBatch, seconds: NDArray[np.float64]) -> None:
        """Corrects the pace by n trials; nan: not known."""
        known = np.flatnonzero(_are_known(seconds))
        if len(known):
            predicted = self._octaves(graphs.select(known))
            self._residuals += (_octaves_of(seconds[known]) - predicted).tolist()
            del self._residuals[:-_PACE_RECORDS]

    @single_threaded()
    def fit(self, records: TimedRecords, ids: IntArray) -> bool:
        """Learns these records from new; those whose seconds are not known (nan) are left out.

        Returns whether there were enough of them; nothing has changed if not.
        """
        ids = ids[_are_known(records.seconds(ids))]
        if len(ids) < _LEAST_RECORDS:
            return False
        fit_scalers(self.scorer, records, ids)
        generator = np.random.default_rng(self._seed)
        network = self.scorer.network
        optimisation = Optimisation(network, _RATE, _DECAY)
        for step in range(_STEPS):
            drawn = generator.choice(len(ids), min(_BATCH, len(ids)), replace=False)
            chosen, graphs = gather_within(records, ids[drawn], MAX_NODES_PER_STEP)
            wanted = _octaves_of(records.seconds(chosen)).astype(np.float32)
            with randomness(network, generator):
                score, _ = network(*self.scorer.tensors(graphs))
            loss = smooth_l1_loss(-score, torch.from_numpy(wanted).to(score.device))
            optimisation.step(loss, learning_rate_share(step, step / _STEPS))
        optimisation.finish()
        return True

    def tensors(self) -> Tensors:
        """What it has learnt, but for the pace: `load` takes it."""
        counts = {_COUNT.format(name): np.array([n], np.int64) for name, n in scaler_counts(self.scorer).items()}
        return weight_tensors(self.scorer) | counts

    def load(self, tensors: Tensors) -> None:
        """Takes over what `tensors` gave. Raises CheckpointError where they are not those of such a network."""
        counts = {name: int(tensors[_COUNT.format(name)][0]) for name in scaler_counts(self.scorer)}
        weights = {name: value for name, value in tensors.items() if name not in map(_COUNT.format, counts)}
        load_weights("what a trial costs", self.scorer, weights, counts)

    def _octaves(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """Octaves above a second, at the pace of the records that were learnt."""
        return -self.scorer(graphs)[0].astype(np.float64)


def _are_known(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isfinite(seconds) & (seconds > 0)
    return known


def _octaves_of(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves: NDArray[np.float64] = np.log2(np.clip(seconds, _SHORTEST, _LONGEST))
    return octaves
