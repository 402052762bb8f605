"""How a network learns from records, step by step: what online updates and pre-training share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tvm_gnn_cost.graphs.stage_graph import FloatArray, IntArray, StageGraphBatch
from tvm_gnn_cost.learning.calibration import log_throughput
from tvm_gnn_cost.learning.losses import get_loss
from tvm_gnn_cost.learning.optimisation import Optimisation, learning_rate_share
from tvm_gnn_cost.learning.parallel import Processes
from tvm_gnn_cost.learning.sampling import BatchSampler, spread
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.records.source import GraphSource, RecordSource

MAX_NODES_PER_STEP = 2048
"""A step's cost follows the nodes: large graphs go in smaller batches."""

_SCALED_RECORDS, _SCORED_RECORDS = 4096, 1024
"""Records that are read at a time."""

Labels = tuple[Tensor, Tensor, Tensor]
"""log_throughput, log_best and group of n records, each (n,), as the losses take them."""


@dataclass(frozen=True)
class HeldOut:
    """Records that a network is judged by: n graphs, their latencies (n,) in seconds, task keys and labels."""

    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    task: list[str]
    labels: Labels


class Fitting:
    """A network on its way through a training: makes steps, and judges it on records held out.

    Args:
        scorer: its network's parameters change in place; its scalers stay.
        source: of the records.
        sampler: draws the batches; what the network drops is drawn from its generator too.
        best_latency: of a task, in seconds.
        optimisation: of the network.
        loss: a name that `get_loss` takes.
        processes: that share each batch; None: this one alone.

    Attributes:
        steps: made so far.
    """

    def __init__(
        self,
        scorer: Scorer,
        source: RecordSource,
        sampler: BatchSampler,
        best_latency: Callable[[str], float],
        optimisation: Optimisation,
        loss: str,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes
        self.scorer, self.source, self.sampler, self.best_latency = scorer, source, sampler, best_latency
        self.optimisation, self.loss = optimisation, get_loss(loss)
        self.steps = 0

    def step(self, progress: float) -> float:
        """One step on a batch, when this share of the training is done.

        Returns the loss; nan where it or its gradient is not finite, and then the network has not changed.
        """
        network = self.scorer.network
        ids, graphs = gather_within(self.source, self.sampler.draw(), MAX_NODES_PER_STEP)
        with randomness(network, self.sampler.generator):
            if self.processes is None:
                score, _ = network(*self.scorer.tensors(graphs))
            else:
                score = self.processes.scores(self.scorer, graphs)
        loss = self.loss(score, *self.labels(ids))
        together = None if self.processes is None else self.processes.sum_gradients
        value = self.optimisation.step(loss, learning_rate_share(self.steps, progress), together)
        if not math.isnan(value):
            self.steps += 1
        return value

    def held_out(self, ids: IntArray) -> HeldOut:
        """These records, to `judge` the network by."""
        source = self.source
        return HeldOut(source.gather(ids), source.latency(ids), source.task(ids), self.labels(ids))

    def judge(self, held: HeldOut) -> tuple[float, FloatArray]:
        """The loss on records held out, and their scores, float32 (n,)."""
        score, _ = self.scorer(held.graphs)
        return float(self.loss(torch.from_numpy(score).to(self.scorer.device), *held.labels)), score

    def labels(self, ids: IntArray) -> Labels:
        """What the losses take of these records."""
        flop, tasks = self.source.flop(ids), self.source.task(ids)
        best = np.array([self.best_latency(name) for name in tasks], dtype=np.float64)
        index = {name: i for i, name in enumerate(dict.fromkeys(tasks))}
        device = self.scorer.device
        group = torch.tensor([index[name] for name in tasks], dtype=torch.int64, device=device)
        measured, top = (
            torch.from_numpy(log_throughput(flop, latency).astype(np.float32)).to(device)
            for latency in (self.source.latency(ids), best)
        )
        return measured, top, group


def fit_scalers(scorer: Scorer, source: GraphSource, ids: IntArray) -> None:
    """Widens the scalers by the features of these records, read some at a time.

    Raises InvalidArgumentError for a feature that is not finite.
    """
    for begin in range(0, len(ids), _SCALED_RECORDS):
        graphs = source.gather(ids[begin : begin + _SCALED_RECORDS])
        scorer.node_scaler.partial_fit(graphs.node_features)
        scorer.edge_scaler.partial_fit(graphs.edge_features)


def score_records(scorer: Scorer, source: GraphSource, ids: IntArray) -> FloatArray:
    """Scores float32 (n,) of the records, gathered some at a time."""
    parts = [
        scorer(source.gather(ids[begin : begin + _SCORED_RECORDS]))[0] for begin in range(0, len(ids), _SCORED_RECORDS)
    ]
    return np.concatenate(parts)


def gather_within(source: GraphSource, ids: IntArray, max_nodes: int) -> tuple[IntArray, StageGraphBatch]:
    """The graphs of a batch, fewer of them where they have more than so many nodes together; and which they are."""
    graphs = source.gather(ids)
    if len(graphs.node_features) <= max_nodes:
        return ids, graphs
    # Evenly, so that new and replayed records keep their shares.
    fitting = max(2, len(ids) * max_nodes // len(graphs.node_features))
    chosen = spread(len(ids), fitting)
    return ids[chosen], graphs.select(chosen)


@contextmanager
def randomness(network: nn.Module, generator: np.random.Generator) -> Iterator[None]:
    """Inside, the network trains: what it drops is drawn from `generator`. torch's own generators stay as they were."""
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(generator.integers(2**63)))
        network.train()
        try:
            yield
        finally:
            network.eval()
