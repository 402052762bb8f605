"""What a trial costs: the seconds that building and measuring a schedule take, and the chance that it fails.

A stage graph says it as it says how fast a schedule is: a body that is unrolled into thousands of statements takes LLVM
seconds, and the sum over the stages is what is waited for. So two small networks of the same kind learn it from
records: the seconds that auto_scheduler's say their measurement took, and whether they failed. It is the same for all
tasks, without an offset of their own; how slow a machine is and how often trials fail on it are one number each, which
a tuning run corrects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from tvm_gnn_cost.errors import CheckpointError
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.learning.archive import Tensors
from tvm_gnn_cost.learning.fitting import MAX_NODES_PER_STEP, fit_scalers, gather_within, randomness, score_records
from tvm_gnn_cost.learning.metrics import pairwise_accuracy
from tvm_gnn_cost.learning.networks.families import make_network
from tvm_gnn_cost.learning.optimisation import Optimisation, learning_rate_share
from tvm_gnn_cost.learning.scaling import FeatureScaler
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.learning.threads import single_threaded
from tvm_gnn_cost.learning.weights import load_weights, scaler_counts, weight_tensors
from tvm_gnn_cost.records.source import GraphSource

_HIDDEN, _LAYERS, _DROPOUT = 32, 1, 0.1
_STEPS, _BATCH, _RATE, _DECAY = 3000, 128, 2e-3, 1e-2
_PASSES = 100
"""Over the records, at the most: few are learnt by heart in less than `_STEPS`."""
_FAILURE_STEPS = 300
"""Failures are few, and learnt by heart soon."""
_LEAST_RECORDS, _LEAST_FAILURES = 256, 32
_SHORTEST, _LONGEST = 0.01, 600.0
"""Seconds: what is less or more counts as that."""
_COUNT = "scaler.{}.count"
_FAILURE, _BASE = "failure.", "failure.base"
_REMEMBERED = 256
"""Trials of this machine that correct what was learnt."""
_PRIOR = 8
"""Trials that what was learnt weighs as much as."""
_DOUBT = 0.02
"""That a record failed, or ran, by chance: without it what is unlike all that was learnt is held for certain."""
_LIKELIEST = 0.98
"""Of failures; nothing is certain to fail."""


class TrialRecords(GraphSource, Protocol):
    """Records that say how long their measurement took and whether it failed, such as a `GraphStore`."""

    def seconds(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]: ...

    def latency(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]: ...


class TrialCost:
    """Predicts the seconds of a trial, and the chance that it fails.

    Args:
        node_dim, edge_dim: feature columns.
        seed: of parameters and batches.
        device: of the networks.

    Attributes:
        knows_failures: whether the records that were learnt had enough of them; the chance is 0 where not.
    """

    def __init__(self, node_dim: int, edge_dim: int, *, seed: int, device: torch.device) -> None:
        def scorer(seed: int) -> Scorer:
            network = make_network("gcn", node_dim, edge_dim, _HIDDEN, _LAYERS, dropout=_DROPOUT, seed=seed)
            return Scorer(network.to(device).eval(), FeatureScaler(node_dim), FeatureScaler(edge_dim), device)

        self.knows_failures = False
        self._time, self._failure = scorer(seed), scorer(seed + 1)
        self._failure_base = 0.0  # log-odds of a failure among the records that were learnt
        self._seed = seed
        self._late: list[float] = []  # of the last trials here: octaves that each took longer than was predicted
        self._chances: list[tuple[float, bool]] = []  # and the chance of a failure, and whether it was one

    def predict(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """Seconds, float64 (n,), of n schedules."""
        octaves = self._octaves(graphs) + self.pace
        return np.exp2(np.clip(octaves, math.log2(_SHORTEST), math.log2(_LONGEST)))

    def chance_of_failure(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """That a build or a run fails or takes too long: float64 (n,), from 0 to below 1, of n schedules."""
        if not self.knows_failures:
            return np.zeros(len(graphs))
        odds = np.exp(self._log_odds(graphs)) * self._failures_here
        return np.minimum(odds / (1.0 + odds), _LIKELIEST)

    @property
    def pace(self) -> float:
        """Octaves by which trials here take longer than those that were learnt."""
        total = len(self._late)
        return float(np.median(self._late)) * total / (total + _PRIOR) if total else 0.0

    @property
    def _failures_here(self) -> float:
        """How many times as often as predicted trials fail here."""
        expected, seen = (sum(values) for values in zip(*self._chances, strict=True)) if self._chances else (0.0, 0)
        return (1.0 + seen) / (1.0 + expected)

    def error(self, records: TrialRecords, ids: IntArray) -> float | None:
        """By how many octaves it is off in the median, on these records; None where none says its seconds."""
        seconds = records.seconds(ids)
        known = _are_known(seconds)
        if not known.any():
            return None
        octaves = -score_records(self._time, records, ids[known]).astype(np.float64)
        return float(np.median(np.abs(_octaves_of(seconds[known]) - octaves)))

    def told_apart(self, records: TrialRecords, ids: IntArray) -> float | None:
        """Of pairs of one schedule that fails and one that runs, the share in which the first is given the larger
        chance to fail; None without such pairs, or where failures were not learnt."""
        failed = np.isinf(records.latency(ids))
        if not self.knows_failures or failed.all() or not failed.any():
            return None
        return pairwise_accuracy(score_records(self._failure, records, ids), 1.0 + failed)

    def adapt(self, graphs: StageGraphBatch, seconds: NDArray[np.float64], failed: NDArray[np.bool_]) -> None:
        """Corrects pace and failures by n trials; seconds (n,), nan: not known."""
        known = np.flatnonzero(_are_known(seconds))
        if len(known):
            predicted = self._octaves(graphs.select(known))
            self._late += (_octaves_of(seconds[known]) - predicted).tolist()
            del self._late[:-_REMEMBERED]
        if self.knows_failures and len(graphs):
            chances = 1.0 / (1.0 + np.exp(-self._log_odds(graphs)))
            self._chances += zip(chances.tolist(), failed.tolist(), strict=True)
            del self._chances[:-_REMEMBERED]

    @single_threaded()
    def fit(self, records: TrialRecords, ids: IntArray) -> bool:
        """Learns these records from new; for the seconds, those that do not say them (nan) are left out.

        Returns whether there were enough of them; nothing has changed if not.
        """
        timed = ids[_are_known(records.seconds(ids))]
        if len(timed) < _LEAST_RECORDS:
            return False
        generator = np.random.default_rng(self._seed)
        fit_scalers(self._time, records, timed)

        def late(score: Tensor, chosen: IntArray) -> Tensor:
            wanted = _octaves_of(records.seconds(chosen)).astype(np.float32)
            return smooth_l1_loss(-score, torch.from_numpy(wanted).to(score.device))

        steps = min(_STEPS, _PASSES * len(timed) // _BATCH)
        self._fit(self._time, records, steps, lambda: _some(generator, timed, _BATCH), late, generator)
        failed = np.isinf(records.latency(ids))
        bad, good = ids[failed], ids[~failed]
        self.knows_failures = min(len(bad), len(good)) >= _LEAST_FAILURES
        if not self.knows_failures:
            return True
        self._failure_base = math.log(len(bad) / len(good))
        fit_scalers(self._failure, records, ids)

        def wrong(score: Tensor, chosen: IntArray) -> Tensor:
            wanted = np.where(np.isinf(records.latency(chosen)), 1.0 - _DOUBT, _DOUBT).astype(np.float32)
            return binary_cross_entropy_with_logits(-score, torch.from_numpy(wanted).to(score.device))

        def both() -> IntArray:  # as many of each: the base makes up for it
            half = min(_BATCH // 2, len(bad))
            return generator.permutation(np.concatenate([_some(generator, part, half) for part in (bad, good)]))

        self._fit(self._failure, records, _FAILURE_STEPS, both, wrong, generator)
        return True

    def _fit(
        self,
        scorer: Scorer,
        records: TrialRecords,
        steps: int,
        draw: Callable[[], IntArray],
        loss: Callable[[Tensor, IntArray], Tensor],
        generator: np.random.Generator,
    ) -> None:
        network = scorer.network
        optimisation = Optimisation(network, _RATE, _DECAY)
        for step in range(steps):
            chosen, graphs = gather_within(records, draw(), MAX_NODES_PER_STEP)
            with randomness(network, generator):
                score, _ = network(*scorer.tensors(graphs))
            optimisation.step(loss(score, chosen), learning_rate_share(step, step / steps))
        optimisation.finish()

    def tensors(self) -> Tensors:
        """What it has learnt, but for what it knows of this machine: `load` takes it."""
        tensors = _tensors_of(self._time)
        if self.knows_failures:
            tensors |= {_FAILURE + name: value for name, value in _tensors_of(self._failure).items()}
            tensors[_BASE] = np.array([self._failure_base])
        return tensors

    def load(self, tensors: Tensors) -> None:
        """Takes over what `tensors` gave. Raises CheckpointError where they are not those of such networks."""
        failure = {name.removeprefix(_FAILURE): v for name, v in tensors.items() if name.startswith(_FAILURE)}
        _load(self._time, {name: value for name, value in tensors.items() if not name.startswith(_FAILURE)})
        if failure:
            base = float(failure.pop(_BASE.removeprefix(_FAILURE))[0])
            if not math.isfinite(base):
                raise CheckpointError(f"what a trial costs: tensor {_BASE} is {base}; train anew")
            _load(self._failure, failure)
            self._failure_base = base
        self.knows_failures = bool(failure)

    def _octaves(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """Octaves above a second, at the pace of the records that were learnt."""
        return -self._time(graphs)[0].astype(np.float64)

    def _log_odds(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
        """Of a failure, as often as among the records that were learnt."""
        return self._failure_base - self._failure(graphs)[0].astype(np.float64)


def _tensors_of(scorer: Scorer) -> Tensors:
    counts = {_COUNT.format(name): np.array([n], np.int64) for name, n in scaler_counts(scorer).items()}
    return weight_tensors(scorer) | counts


def _load(scorer: Scorer, tensors: Tensors) -> None:
    counts = {name: int(tensors[_COUNT.format(name)][0]) for name in scaler_counts(scorer)}
    weights = {name: value for name, value in tensors.items() if name not in map(_COUNT.format, counts)}
    load_weights("what a trial costs", scorer, weights, counts)


def _some(generator: np.random.Generator, ids: IntArray, count: int) -> IntArray:
    return generator.choice(ids, min(count, len(ids)), replace=False)


def _are_known(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isfinite(seconds) & (seconds > 0)
    return known


def _octaves_of(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    octaves: NDArray[np.float64] = np.log2(np.clip(seconds, _SHORTEST, _LONGEST))
    return octaves
