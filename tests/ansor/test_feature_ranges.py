"""Rules that the features of every schedule keep."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES
from tvm_gnn_cost.testing.schedules import WORKLOADS, make_task, sample_states


@pytest.mark.parametrize("target", ["llvm -num-cores=4", "cuda"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_ranges(name: str, target: str) -> None:
    """Every feature is finite and within its range, and edges point forward."""
    task = make_task(name, target)
    builder = StageGraphBuilder(task)
    low, high = np.array([(f.low, f.high) for f in NODE_FEATURES]).T
    edge_low, edge_high = np.array([(f.low, f.high) for f in EDGE_FEATURES]).T
    for state in sample_states(task, 8):
        graph = builder.graph(state)
        assert np.isfinite(graph.node_features).all() and np.isfinite(graph.edge_features).all()
        assert (graph.node_features >= low).all() and (graph.node_features <= high).all()
        assert (graph.edge_features >= edge_low).all() and (graph.edge_features <= edge_high).all()
        assert (graph.edge_index[0] < graph.edge_index[1]).all()
