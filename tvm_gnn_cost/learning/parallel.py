"""One network trained by several processes, each on a part of every batch: what `torchrun` starts.

All draw the same batches. Each scores its part of the graphs; the scores are put together, so the loss is that of the
whole batch; the gradients are summed. What the network drops is drawn for the whole batch, so that the result is that
of one process, up to rounding. Processes talk by gloo on CPUs and by nccl on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributed, nn

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.learning.scoring import Scorer


@dataclass(frozen=True)
class Processes:
    """The processes of a training.

    Attributes:
        rank: which of them this is, from 0. The first alone writes files.
        size: how many there are.
        device: of this one.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def scores(self, scorer: Scorer, graphs: StageGraphBatch) -> Tensor:
        """Scores (n,) of a batch, of which this process's own have a gradient."""
        bounds = shares(graphs.node_ptr, self.size)
        begin, end = bounds[self.rank], bounds[self.rank + 1]
        network = scorer.network
        nodes, edges = (
            (int(pointers[begin]), int(pointers[end]), int(pointers[-1]))
            for pointers in (graphs.node_ptr, graphs.edge_ptr)
        )
        with network.part_of_batch(nodes, edges):
            own, _ = network(*scorer.tensors(graphs.slice(begin, end)))
        counts = np.diff(bounds)
        padded = own.new_zeros(int(counts.max()))
        padded[: len(own)] = own.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        others = [part[:count] for part, count in zip(parts, counts, strict=True)]
        return torch.cat([*others[: self.rank], own, *others[self.rank + 1 :]])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gives every process the sum of all processes' gradients."""
        known = list(parameters)
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in known])
        distributed.all_reduce(flat)
        begin = 0
        for parameter in known:
            parameter.grad = flat[begin : begin + parameter.numel()].view_as(parameter).clone()
            begin += parameter.numel()

    def agree(self, stop: bool, seconds: float) -> tuple[bool, float]:
        """Whether any process is to stop, and the first one's clock."""
        flags = torch.tensor([float(stop), seconds if self.is_first else 0.0], dtype=torch.float64, device=self.device)
        distributed.all_reduce(flags)
        return bool(flags[0] > 0), float(flags[1])

    def wait(self) -> None:
        """Until all are here."""
        distributed.barrier()


@contextmanager
def launched_processes(device: str) -> Iterator[Processes | None]:
    """The processes that `torchrun` has started, this one among them; None without it.

    Raises InvalidArgumentError for a GPU by number: each process has its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "MASTER_ADDR" not in os.environ:
        yield None
        return
    if device.startswith("cuda:"):
        raise InvalidArgumentError(f"device {device!r}: under torchrun each process takes a GPU of its own; say cuda")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), own)
    finally:
        distributed.destroy_process_group()


def shares(node_ptr: IntArray, size: int) -> list[int]:
    """Where each process's part of a batch begins, and the end: about as many nodes each, and at least one graph.

    Raises InvalidArgumentError for fewer graphs than processes.
    """
    count = len(node_ptr) - 1
    if count < size:
        raise InvalidArgumentError(f"a batch of {count} graphs has no part for each of {size} processes")
    wanted = np.searchsorted(node_ptr, node_ptr[-1] * np.arange(1, size) / size).tolist()
    bounds = [0]
    for place, begin in enumerate(wanted, start=1):
        bounds.append(min(max(begin, bounds[-1] + 1), count - (size - place)))
    return [*bounds, count]
