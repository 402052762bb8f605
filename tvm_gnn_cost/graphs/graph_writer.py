"""From a finished loop nest to its stage graph: all features put together, whichever scheduler made the nest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.computation import Computation
from tvm_gnn_cost.graphs.dynamic_features import dynamic_features
from tvm_gnn_cost.graphs.gpu_demand import resources
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, NestLoop
from tvm_gnn_cost.graphs.stage_graph import StageGraph, StageGraphBatch
from tvm_gnn_cost.graphs.static_features import static_edge_features, static_node_features


class GraphWriter:
    """Writes the graphs of one task's loop nests; the readable specification of the native one."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self._hardware_features = hardware.features()
        self._static: dict[Computation, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def graph(self, nest: LoopNest) -> StageGraph:
        """The stage graph of a nest."""
        computation = nest.computation
        static_nodes, static_edges = self.static_features(computation)
        nodes, edges = dynamic_features(nest, self.hardware)
        hardware = np.tile(self._hardware_features, (len(nodes), 1))
        return StageGraph(
            tuple(stage.name for stage in computation.stages),
            np.concatenate([static_nodes, nodes, hardware], axis=1).astype(np.float32),
            np.array(computation.edges, dtype=np.int64).reshape(-1, 2).T.copy(),
            np.concatenate([static_edges, edges], axis=1).astype(np.float32),
        )

    def built(self, nest: LoopNest) -> BuiltGraphs:
        """The graph of a nest as that of one candidate, with all that is known of it."""
        graph = self.graph(nest)
        batch = StageGraphBatch(
            graph.node_features,
            graph.edge_index,
            graph.edge_features,
            np.array([0, len(graph.node_features)]),
            np.array([0, graph.edge_index.shape[1]]),
        )
        scored = np.array([not (s.is_placeholder or s.is_inlined) for s in nest.computation.stages])
        doubtful = any(_is_doubtful(loop) for loops in nest.loops for loop in loops)
        return BuiltGraphs(batch, np.array([True]), scored, resources(nest)[None], np.array([doubtful]))

    def build(
        self, candidates: Sequence[Any], loop_nest: Callable[[Any], LoopNest]
    ) -> tuple[BuiltGraphs, list[tuple[int, Exception]]]:
        """The graphs of the candidates whose nest can be read, and which have none, with what reading them raised."""
        parts = [BuiltGraphs.unreadable(0)]
        failures: list[tuple[int, Exception]] = []
        for i, candidate in enumerate(candidates):
            try:
                parts.append(self.built(loop_nest(candidate)))
            except Exception as error:  # one bad candidate must not end the search
                failures.append((i, error))
                parts.append(BuiltGraphs.unreadable(1))
        return BuiltGraphs.of(parts), failures

    def static_features(self, computation: Computation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The features of nodes and edges that all schedules of a computation share."""
        known = self._static.get(computation)
        if known is None:
            known = static_node_features(computation), static_edge_features(computation)
            self._static[computation] = known
        return known


def _is_doubtful(loop: NestLoop) -> bool:
    """See `BuiltGraphs.doubtful`."""
    return not loop.exact or (loop.annotation == Annotation.VECTORIZE and len(loop.parts) > 1)
