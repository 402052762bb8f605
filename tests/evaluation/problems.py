"""Pools with a planted cost: what a test needs of a recorded one, without TVM."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM, NODE_FEATURES
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.records.pool import Pool

_COLUMNS = {feature.name: column for column, feature in enumerate(NODE_FEATURES)}
_VARIED = ("traffic_l2", "vector", "flop", "parallel", "unroll", "allocation")


def make_pool(
    name: str = "matmul-8x8x8",
    latency: Sequence[float] | NDArray[np.float64] | None = None,
    *,
    count: int = 48,
    seed: int = 0,
    operator: str | None = None,
    workload: str | None = None,
    target: str = "llvm",
    readings: Sequence[Sequence[float]] | None = None,
    gpu: bool = False,
) -> Pool:
    """Records of two stages each. Without latencies, two features decide them; every eighth failed."""
    generator = np.random.default_rng(seed)
    n = count if latency is None else len(latency)
    nodes = np.zeros((2 * n, NODE_DIM), np.float32)
    for varied in _VARIED:
        nodes[:, _COLUMNS[varied]] = generator.uniform(0.0, 4.0, 2 * n)
    nodes[:, _COLUMNS["is_gpu"]] = gpu
    nodes[:, _COLUMNS["is_heaviest"]] = np.tile([0, 1], n)
    if latency is None:
        octaves = nodes[1::2, _COLUMNS["traffic_l2"]] - nodes[1::2, _COLUMNS["vector"]]
        latency = 1e-3 * np.exp2(octaves.astype(np.float64))
        latency[::8] = np.inf
    graphs = StageGraphBatch(
        nodes,
        np.arange(2 * n).reshape(n, 2).T.astype(np.int64),
        generator.uniform(0.0, 4.0, (n, EDGE_DIM)).astype(np.float32),
        2 * np.arange(n + 1),
        np.arange(n + 1),
    )
    values = np.asarray(latency, dtype=np.float64)
    operator = operator or name.partition("-")[0]
    key = workload or json.dumps([operator, name.partition("-")[2]])
    taken = readings if readings is not None else [[v, v] if np.isfinite(v) else [] for v in values]
    return Pool(
        name, graphs, values, json.dumps([key, target]), 1e9, key, operator, target, tuple(map(np.array, taken)), gpu
    )


def make_problem(pool: Pool, remeasured: Sequence[Sequence[float]] = ()) -> Problem:
    """The pool as it is read where no model needs stock's features."""
    digest = f"{pool.name} {pool.target} {len(pool)}"
    return Problem(pool, None, digest, np.array(remeasured, dtype=np.float64).reshape(-1, 2))
