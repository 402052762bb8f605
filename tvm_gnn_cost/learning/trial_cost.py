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

from tvm_gnn_cost.errors import CheckpointError
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.learning.archive import Tensors
from tvm_gnn_cost.learning.fitting import MAX_NODES_PER_STEP, randomness
from tvm_gnn_cost.learning.networks.families import make_network
from tvm_gnn_cost.learning.optimisation import Optimisation, learning_rate_share
from tvm_gnn_cost.learning.sampling import spread
from tvm_gnn_cost.learning.scaling import FeatureScaler
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.learning.threads import single_threaded

_HIDDEN, _LAYERS, _DROPOUT = 32, 1, 0.1
_STEPS, _BATCH, _RATE, _DECAY = 3000, 128, 2e-3, 1e-2
_LEAST_RECORDS = 256
_SHORTEST, _LONGEST = 0.01, 600.0
"""Seconds: what is less or more counts as that."""
_SCALED_RECORDS = 4096
_PACE_RECORDS = 256
_PACE_PRIOR = 8
"""Trials that the pace of the records that were learnt weighs as much as."""


class TimedRecords(Protocol):
    """Records that say how long their measurement took, such as a `GraphStore`."""

    def gather(self, slots: Iterable[int] | IntArray, /) -> StageGraphBatch: ...
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
        known = np.isfinite(seconds) & (seconds > 0)
        if not known.any():
            return None
        errors = [
            np.abs(_octaves_of(seconds[known][begin : begin + _SCALED_RECORDS]) - self._octaves(records.gather(some)))
            for begin in range(0, int(known.sum()), _SCALED_RECORDS)
            if len(some := ids[known][begin : begin + _SCALED_RECORDS])
        ]
        return float(np.median(np.concatenate(errors)))

    def adapt(self, graphs: StageGraphBatch, seconds: NDArray[np.float64]) -> None:
        """Corrects the pace by n trials; nan: not known."""
        known = np.flatnonzero(np.isfinite(seconds) & (seconds > 0))
        if len(known):
            predicted = self._octaves(graphs.select(known))
            self._residuals += (_octaves_of(seconds[known]) - predicted).tolist()
            del self._residuals[:-_PACE_RECORDS]

    @single_threaded()
    def fit(self, records: TimedRecords, ids: IntArray) -> bool:
        """Learns these records from new; those whose seconds are not known (nan) are left out.

        Returns whether there were enough of them; nothing has changed if not.
        """
        seconds = records.seconds(ids)
        known = np.isfinite(seconds) & (seconds > 0)
        ids, wanted = ids[known], _octaves_of(seconds[known]).astype(np.float32)
        if len(ids) < _LEAST_RECORDS:
            return False
        for begin in range(0, len(ids), _SCALED_RECORDS):
            graphs = records.gather(ids[begin : begin + _SCALED_RECORDS])
            self.scorer.node_scaler.partial_fit(graphs.node_features)
            self.scorer.edge_scaler.partial_fit(graphs.edge_features)
        generator = np.random.default_rng(self._seed)
        network = self.scorer.network
        optimisation = Optimisation(network, _RATE, _DECAY)
        for step in range(_STEPS):
            chosen = generator.choice(len(ids), min(_BATCH, len(ids)), replace=False)
            graphs = records.gather(ids[chosen])
            if len(graphs.node_features) > MAX_NODES_PER_STEP:
                fitting = spread(len(chosen), max(2, len(chosen) * MAX_NODES_PER_STEP // len(graphs.node_features)))
                chosen, graphs = chosen[fitting], graphs.select(fitting)
            with randomness(network, generator):
                score, _ = network(*self.scorer.tensors(graphs))
            loss = smooth_l1_loss(-score, torch.from_numpy(wanted[chosen]).to(score.device))
            optimisation.step(loss, learning_rate_share(step, step / _STEPS))
        optimisation.finish()
        return True

    def tensors(self) -> Tensors:
        """What it has learnt, but for the pace: `load` takes it."""
        tensors: Tensors = {
            f"network.{name}": np.ascontiguousarray(value.cpu().numpy())
            for name, value in self.scorer.network.state_dict().items()
        }
        for name, scaler in (("node", self.scorer.node_scaler), ("edge", self.scorer.edge_scaler)):
            tensors[f"scaler.{name}.mean"] = np.ascontiguousarray(scaler.mean_)
            tensors[f"scaler.{name}.variance"] = np.ascontiguousarray(scaler.variance_)
            tensors[f"scaler.{name}.count"] = np.array([scaler.count_], np.int64)
        return tensors

    def load(self, tensors: Tensors) -> None:
        """Takes over what `tensors` gave. Raises CheckpointError where they are not those of such a network."""
        own = self.tensors()
        if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
            raise CheckpointError("the tensors of what a trial costs are not those of this release's network")
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise CheckpointError("the tensors of what a trial costs hold NaN or infinity")
        prefix = "network."
        state = {n.removeprefix(prefix): torch.from_numpy(v.copy()) for n, v in tensors.items() if n.startswith(prefix)}
        self.scorer.network.load_state_dict(state)
        for name, scaler in (("node", self.scorer.node_scaler), ("edge", self.scorer.edge_scaler)):
            scaler.mean_ = tensors[f"scaler.{name}.mean"].astype(np.float64)
            scaler.variance_ = tensors[f"scaler.{name}.variance"].astype(np.float64)
            scaler.count_ = int(tensors[f"scaler.{name}.count"][0])

    def _octaves(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """Octaves above a second, at the pace of the records that were learnt."""
        return -self.scorer(graphs)[0].astype(np.float64)


def _octaves_of(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves: NDArray[np.float64] = np.log2(np.clip(seconds, _SHORTEST, _LONGEST))
    return octaves
