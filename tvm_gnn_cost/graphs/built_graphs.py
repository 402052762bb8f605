"""The graphs of many candidates, and which of the candidates they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.gpu_demand import RESOURCES
from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch, row_ranges


@dataclass(frozen=True)
class BuiltGraphs:
    """The graphs of the candidates that could be read, and which these were.

    Attributes:
        graphs: one graph for every True in `readable`, in order.
        readable: bool (number of candidates,).
        scored_nodes: bool (number of nodes,): stages neither placeholder nor inlined, which `predict_stages` scores.
        resources: float64 (number of graphs, len(RESOURCES)): what each asks of a GPU.
        doubtful: bool (number of graphs,): not every compiler can build it. Some loop that runs has an extent that TVM
            gave as an expression, or a vector runs over several axes at once.
    """

    graphs: StageGraphBatch
    readable: NDArray[np.bool_]
    scored_nodes: NDArray[np.bool_]
    resources: NDArray[np.float64]
    doubtful: NDArray[np.bool_]

    @staticmethod
    def of(parts: Sequence[BuiltGraphs]) -> BuiltGraphs:
        """The parts end to end. Raises ValueError for an empty sequence."""
        return BuiltGraphs(
            StageGraphBatch.concatenate([p.graphs for p in parts]),
            np.concatenate([p.readable for p in parts]),
            np.concatenate([p.scored_nodes for p in parts]),
            np.concatenate([p.resources for p in parts]),
            np.concatenate([p.doubtful for p in parts]),
        )

    def select(self, graphs: Sequence[int] | NDArray[np.int64], readable: NDArray[np.bool_]) -> BuiltGraphs:
        """The given graphs, in the given order, as those of other candidates."""
        ids = np.asarray(graphs, np.int64)
        nodes, _ = row_ranges(self.graphs.node_ptr, ids)
        return BuiltGraphs(
            self.graphs.select(ids), readable, self.scored_nodes[nodes], self.resources[ids], self.doubtful[ids]
        )

    @staticmethod
    def unreadable(count: int) -> BuiltGraphs:
        """No graphs, for so many states that cannot be read."""
        return BuiltGraphs(
            StageGraphBatch(
                np.zeros((0, NODE_DIM), np.float32),
                np.zeros((2, 0), np.int64),
                np.zeros((0, EDGE_DIM), np.float32),
                np.zeros(1, np.int64),
                np.zeros(1, np.int64),
            ),
            np.zeros(count, bool),
            np.zeros(0, bool),
            np.zeros((0, len(RESOURCES))),
            np.zeros(0, bool),
        )
