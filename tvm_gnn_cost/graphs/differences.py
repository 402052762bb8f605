"""Where two readings of the same candidates differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES


def graph_difference(native: BuiltGraphs, python: BuiltGraphs) -> str | None:
    """Which array differs, or None."""
    pairs = {
        "readable": (native.readable, python.readable),
        "node_ptr": (native.graphs.node_ptr, python.graphs.node_ptr),
        "edge_ptr": (native.graphs.edge_ptr, python.graphs.edge_ptr),
        "edge_index": (native.graphs.edge_index, python.graphs.edge_index),
        "scored_nodes": (native.scored_nodes, python.scored_nodes),
        "resources": (native.resources, python.resources),
        "doubtful": (native.doubtful, python.doubtful),
        "node_features": (native.graphs.node_features, python.graphs.node_features),
        "edge_features": (native.graphs.edge_features, python.graphs.edge_features),
    }
    for name, (ours, theirs) in pairs.items():
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return f"{name} is {ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        if not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
            return f"{name} differs: {_where(name, ours, theirs)}"
    return None


def _where(name: str, ours: NDArray[Any], theirs: NDArray[Any]) -> str:
    place = tuple(int(i) for i in np.argwhere(~((ours == theirs) | ((ours != ours) & (theirs != theirs))))[0])
    columns = {"node_features": NODE_FEATURES, "edge_features": EDGE_FEATURES}.get(name)
    column = f" ({columns[place[-1]].name})" if columns else ""
    return f"{ours[place]!r} at {place}{column}, not {theirs[place]!r}"
