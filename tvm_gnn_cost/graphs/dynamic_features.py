"""Features of how a schedule runs its stages (`schema.DYNAMIC_*`): the readable specification of the native code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.arithmetic import log2p, product, ratio, total
from tvm_gnn_cost.graphs.edge_features import access_quantities, accumulate, finish
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loop_levels import LoopLevels
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.node_features import NodeFeatures
from tvm_gnn_cost.graphs.schema import DYNAMIC_EDGE_FEATURES, DYNAMIC_NODE_FEATURES


def dynamic_features(nest: LoopNest, hardware: Hardware) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Float64 (stages, len(DYNAMIC_NODE_FEATURES)) and (edges, len(DYNAMIC_EDGE_FEATURES))."""
    nodes: list[dict[str, float]] = [{} for _ in nest.computation.stages]
    edges: list[dict[str, float]] = [{} for _ in nest.computation.edges]
    iterations, work, moved = ([0.0] * len(nodes) for _ in range(3))
    for i, stage in enumerate(nest.computation.stages):
        if stage.runs:
            levels = LoopLevels(nest, hardware, i)
            node = NodeFeatures(levels)
            nodes[i] = node.values()
            iterations[i], work[i], moved[i] = levels.iterations, node.iterations_per_core(), levels.traffic("l1")
            for access, quantities in access_quantities(levels):
                accumulate(edges[access.edge], quantities)
    _share(nodes, work, moved)
    for host, i, count in nest.computation.evaluations:
        iterations[i] += count * iterations[host]
    for i, stage in enumerate(nest.computation.stages):
        if stage.is_inlined and iterations[i]:
            domain = product(stage.axis_extents) * product(stage.reduce_extents)
            nodes[i] = {"iterations": log2p(iterations[i]), "recomputation": log2p(ratio(iterations[i], domain))}
    for edge in edges:
        finish(edge)
    return (
        _table(nodes, [f.name for f in DYNAMIC_NODE_FEATURES]),
        _table(edges, [f.name for f in DYNAMIC_EDGE_FEATURES]),
    )


def _share(nodes: Sequence[dict[str, float]], work: Sequence[float], moved: Sequence[float]) -> None:
    """What part of the schedule's work and traffic each stage has."""
    all_work, all_moved = total(work), total(moved)
    for i, values in enumerate(nodes):
        if values:
            values["work_share"] = work[i] / all_work
            values["is_heaviest"] = float(work[i] == max(work))
            values["traffic_share"] = ratio(moved[i], all_moved)


def _table(rows: Sequence[dict[str, float]], names: Sequence[str]) -> NDArray[np.float64]:
    table = np.zeros((len(rows), len(names)))
    for row, values in zip(table, rows, strict=True):
        if values:
            row[:] = [values.get(name, 0.0) for name in names]
    return table
