"""Synthetic stage graphs with a planted cost: what a test needs of a measured task. Neither TVM nor torch is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch

NODE_DIM, EDGE_DIM = 12, 5


@dataclass(frozen=True)
class ToyTask:
    """n graphs of one task: latency in seconds, flop of the task."""

    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    flop: float


def random_graphs(count: int, seed: int = 0, *, low: int = 3, high: int = 8) -> StageGraphBatch:
    """Chains of `low` to `high` stages with a skip edge, normal features."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(low, high + 1, count)
    node_ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    edges, edge_ptr = [], [0]
    for start, size in zip(node_ptr[:-1], sizes, strict=True):
        chain = np.stack([np.arange(size - 1), np.arange(1, size)])
        if size > 2:
            chain = np.concatenate([chain, [[0], [size - 1]]], axis=1)
        edges.append(chain + start)
        edge_ptr.append(edge_ptr[-1] + chain.shape[1])
    return StageGraphBatch(
        rng.normal(size=(int(node_ptr[-1]), NODE_DIM)).astype(np.float32),
        np.concatenate(edges, axis=1).astype(np.int64),
        rng.normal(size=(edge_ptr[-1], EDGE_DIM)).astype(np.float32),
        node_ptr,
        np.array(edge_ptr, dtype=np.int64),
    )


def toy_task(count: int, seed: int = 0, *, scale: float = 1e-3, size: int = 5) -> ToyTask:
    """A task whose latency is the sum of times that node and edge features make; `scale` is a typical time."""
    graphs = random_graphs(count, seed, low=size, high=size)
    x, e = graphs.node_features, graphs.edge_features
    node_cost = 0.8 * x[:, 0] - 0.6 * x[:, 1] + 0.5 * np.abs(x[:, 2])
    edge_cost = 0.5 * e[:, 0] + 0.4 * x[graphs.edge_index[0], 3]
    octaves = node_cost + np.bincount(graphs.edge_index[1], edge_cost, minlength=len(x))
    return ToyTask(graphs, scale * np.add.reduceat(np.exp2(octaves), graphs.node_ptr[:-1]), 1e9 * scale)


def one_graph(nodes: int, edges: list[tuple[int, int]], seed: int = 0) -> StageGraphBatch:
    """A single graph with the given edges."""
    rng = np.random.default_rng(seed)
    return StageGraphBatch(
        rng.normal(size=(nodes, NODE_DIM)).astype(np.float32),
        np.array(edges, dtype=np.int64).reshape(-1, 2).T,
        rng.normal(size=(len(edges), EDGE_DIM)).astype(np.float32),
        np.array([0, nodes], dtype=np.int64),
        np.array([0, len(edges)], dtype=np.int64),
    )
