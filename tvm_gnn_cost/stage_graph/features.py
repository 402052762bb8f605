"""Features of how a schedule runs its stages (`schema.DYNAMIC_*`): the readable specification of the native code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.stage_graph.arithmetic import log2p, product, total
from tvm_gnn_cost.stage_graph.hardware import Hardware
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest
from tvm_gnn_cost.stage_graph.schema import DYNAMIC_EDGE_FEATURES, DYNAMIC_NODE_FEATURES, NUM_GROUPS
from tvm_gnn_cost.stage_graph.stage_view import StageView, Values


def dynamic_features(nest: LoopNest, hardware: Hardware) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Float64 (stages, len(DYNAMIC_NODE_FEATURES)) and (edges, len(DYNAMIC_EDGE_FEATURES))."""
    nodes: list[Values] = [{} for _ in nest.computation.stages]
    edges: list[Values] = [{} for _ in nest.computation.edges]
    iterations, work, moved = ([0.0] * len(nodes) for _ in range(3))
    for i, stage in enumerate(nest.computation.stages):
        if not stage.is_placeholder and not stage.is_inlined:
            view = StageView(nest, hardware, i)
            nodes[i] = view.node()
            iterations[i], work[i], moved[i] = view.iterations, view.iterations_per_core(), view.traffic("l1")
            for access, values in view.edges():
                _accumulate(edges[access.edge], values)
    _share(nodes, work, moved)
    for host, i, count in nest.computation.evaluations:
        iterations[i] += count * iterations[host]
    for i, stage in enumerate(nest.computation.stages):
        if stage.is_inlined and iterations[i]:
            domain = product(stage.axis_extents) * product(stage.reduce_extents)
            nodes[i] = {"iterations": log2p(iterations[i]), "recomputation": log2p(iterations[i] / domain)}
    for values in edges:
        _finish_edge(values)
    return (
        _table(nodes, [f.name for f in DYNAMIC_NODE_FEATURES]),
        _table(edges, [f.name for f in DYNAMIC_EDGE_FEATURES]),
    )


def _share(nodes: Sequence[Values], work: Sequence[float], moved: Sequence[float]) -> None:
    """What part of the schedule's work and traffic each stage has."""
    all_work, all_moved = total(work), total(moved)
    for i, values in enumerate(nodes):
        if values:
            values["work_share"] = work[i] / all_work
            values["is_heaviest"] = float(work[i] == max(work))
            values["traffic_share"] = moved[i] / all_moved


def _table(rows: Sequence[Values], names: Sequence[str]) -> NDArray[np.float64]:
    table = np.zeros((len(rows), len(names)))
    for row, values in zip(table, rows, strict=True):
        if values:
            row[:] = [values.get(name, 0.0) for name in names]
    return table


_LARGEST = frozenset(
    {
        "edge_attached",
        "edge_tile_bytes",
        "edge_flow",
        "edge_lane_stride",
        "edge_contiguous",
        "edge_invariant",
        "edge_vector_stride",
        "edge_thread_stride",
    }
)
_PLAIN = frozenset({"edge_attached", "edge_contiguous", "edge_invariant"})


def _accumulate(edge: Values, values: Values) -> None:
    """Several accesses may use one edge: amounts add up, of the rest the largest counts."""
    for name, value in values.items():
        before = edge.get(name, 0.0)
        edge[name] = max(before, value) if name in _LARGEST else before + value


def _finish_edge(edge: Values) -> None:
    if edge:
        distinct = edge.pop("distinct")
        edge["edge_reuse"] = edge["edge_loads"] / distinct
        for g in range(NUM_GROUPS):
            edge[f"edge_group{g}_reuse"] /= edge.pop(f"distinct{g}")
        for name, value in edge.items():
            if name not in _PLAIN:
                edge[name] = log2p(value)
