"""Stage graphs as plain arrays: the neutral interface between TVM's schedules and the learner.

A schedule is a graph: one node per stage (placeholders, inlined, cache and rfactor stages included), one edge from each
producer to each of its consumers. Nothing here knows TVM or torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class StageGraph:
    """The stage graph of one schedule.

    Attributes:
        stage_names: the N stages in TVM's (topological) order.
        node_features: float32 (N, F); the columns are `schema.NODE_FEATURES`.
        edge_index: int64 (2, E); row 0 producers, row 1 consumers.
        edge_features: float32 (E, G); the columns are `schema.EDGE_FEATURES`.
    """

    stage_names: tuple[str, ...]
    node_features: FloatArray
    edge_index: IntArray
    edge_features: FloatArray


@dataclass(frozen=True)
class StageGraphBatch:
    """The stage graphs of many schedules, packed end to end. Graph i owns nodes node_ptr[i]:node_ptr[i+1].

    Attributes:
        node_features: float32 (num_nodes, F).
        edge_index: int64 (2, num_edges); ids count through the whole batch; row 0 producers, row 1 consumers.
        edge_features: float32 (num_edges, G).
        node_ptr: int64 (num_graphs + 1,).
        edge_ptr: int64 (num_graphs + 1,).
    """

    node_features: FloatArray
    edge_index: IntArray
    edge_features: FloatArray
    node_ptr: IntArray
    edge_ptr: IntArray

    def __len__(self) -> int:
        return len(self.node_ptr) - 1

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return sum(
            a.nbytes for a in (self.node_features, self.edge_index, self.edge_features, self.node_ptr, self.edge_ptr)
        )

    @property
    def node_graph(self) -> IntArray:
        """int64 (num_nodes,): the graph that owns each node (PyG's `batch` vector)."""
        return np.repeat(np.arange(len(self)), np.diff(self.node_ptr))

    def select(self, graphs: Sequence[int] | IntArray) -> StageGraphBatch:
        """The batch of the given graphs, in the given order (an index may repeat)."""
        ids = np.asarray(graphs, dtype=np.int64)
        nodes, node_ptr = row_ranges(self.node_ptr, ids)
        edges, edge_ptr = row_ranges(self.edge_ptr, ids)
        shift = np.repeat(node_ptr[:-1] - self.node_ptr[ids], np.diff(edge_ptr))
        return StageGraphBatch(
            self.node_features[nodes], self.edge_index[:, edges] + shift, self.edge_features[edges], node_ptr, edge_ptr
        )

    def slice(self, begin: int, end: int) -> StageGraphBatch:
        """The batch of graphs begin:end; its feature arrays are views."""
        nodes = slice(int(self.node_ptr[begin]), int(self.node_ptr[end]))
        edges = slice(int(self.edge_ptr[begin]), int(self.edge_ptr[end]))
        return StageGraphBatch(
            self.node_features[nodes],
            self.edge_index[:, edges] - nodes.start,
            self.edge_features[edges],
            self.node_ptr[begin : end + 1] - nodes.start,
            self.edge_ptr[begin : end + 1] - edges.start,
        )

    @staticmethod
    def concatenate(batches: Sequence[StageGraphBatch]) -> StageGraphBatch:
        """One batch of all graphs of `batches`, in order. Raises ValueError for an empty sequence."""
        if not batches:
            raise ValueError("concatenate needs at least one batch")
        node_offset = np.cumsum([0] + [len(b.node_features) for b in batches])
        edge_offset = np.cumsum([0] + [b.edge_index.shape[1] for b in batches])
        return StageGraphBatch(
            np.concatenate([b.node_features for b in batches]),
            np.concatenate([b.edge_index + o for b, o in zip(batches, node_offset, strict=False)], axis=1),
            np.concatenate([b.edge_features for b in batches]),
            np.concatenate(
                [b.node_ptr[:-1] + o for b, o in zip(batches, node_offset, strict=False)] + [node_offset[-1:]]
            ),
            np.concatenate(
                [b.edge_ptr[:-1] + o for b, o in zip(batches, edge_offset, strict=False)] + [edge_offset[-1:]]
            ),
        )


def row_ranges(ptr: IntArray, ids: IntArray) -> tuple[IntArray, IntArray]:
    """The concatenated ranges ptr[i]:ptr[i+1] of `ids`, and the pointer array over them."""
    counts = ptr[ids + 1] - ptr[ids]
    new_ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    positions = np.arange(new_ptr[-1]) + np.repeat(ptr[ids] - new_ptr[:-1], counts)
    return positions, new_ptr
