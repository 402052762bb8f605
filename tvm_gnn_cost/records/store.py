"""Many record logs as stage graphs on disk: what pre-training reads when its records are more than memory holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch, row_ranges
from tvm_gnn_cost.records.shards import Shard
from tvm_gnn_cost.records.source import as_ids
from tvm_gnn_cost.records.task import StoredTask

_MAPPED_SHARDS = 128
"""Shards whose arrays are mapped at a time: each takes three open files."""


class GraphStore:
    """The records of shards end to end, as a `RecordSource`. Graphs are read from disk, and only those asked for.

    Several shards may hold records of the same task; the first says what is known of it. In memory a record takes some
    tens of bytes, whatever its graph takes.

    Args:
        shards: in this order; the ids of the records count through all of them.

    Attributes:
        tasks: those of all shards.
        task_index: int32 (n,): each record's task, an index into `tasks`.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        if not any(len(shard) for shard in shards):
            raise InvalidArgumentError("a GraphStore needs at least one record")
        self.shards = tuple(shard for shard in shards if len(shard))
        known: dict[str, int] = {}
        self.tasks: list[StoredTask] = []
        task_index = []
        for shard in self.shards:
            for task in shard.tasks:
                if task.key not in known:
                    known[task.key] = len(self.tasks)
                    self.tasks.append(task)
            task_index.append(np.array([known[task.key] for task in shard.tasks], dtype=np.int32)[shard.task])
        self.task_index: NDArray[np.int32] = np.concatenate(task_index)
        self._flop = np.array([task.flop for task in self.tasks])
        self._latency = np.concatenate([shard.latency for shard in self.shards])
        self._seconds = np.concatenate([shard.seconds for shard in self.shards])
        self._begin = np.cumsum([0, *(len(shard) for shard in self.shards)])
        self._num_nodes = np.concatenate([np.diff(shard.node_ptr) for shard in self.shards])
        self._num_edges = np.concatenate([np.diff(shard.edge_ptr) for shard in self.shards])
        self._graphs = lru_cache(_MAPPED_SHARDS)(lambda shard: self.shards[shard].map_graphs())

    def __len__(self) -> int:
        return len(self._latency)

    @property
    def digest(self) -> str:
        """Of the logs that the records come from, whatever their order."""
        return hashlib.sha256("".join(sorted(shard.source.digest for shard in self.shards)).encode()).hexdigest()

    def gather(self, slots: Iterable[int] | IntArray, /) -> StageGraphBatch:
        """The graphs of the given records, packed in that order (a record may repeat)."""
        ids = as_ids(slots)
        if not len(ids):
            raise InvalidArgumentError("gather needs at least one record")
        node_ptr, edge_ptr = (
            np.concatenate([[0], np.cumsum(counts[ids])]).astype(np.int64)
            for counts in (self._num_nodes, self._num_edges)
        )
        owner = np.searchsorted(self._begin, ids, side="right") - 1
        first = self._graphs(int(owner[0]))
        node_features = np.empty((node_ptr[-1], first.node_features.shape[1]), np.float32)
        edge_features = np.empty((edge_ptr[-1], first.edge_features.shape[1]), np.float32)
        edges = np.empty((edge_ptr[-1], 2), np.int64)
        for number in np.unique(owner):
            shard, graphs = self.shards[number], self._graphs(int(number))
            ours = np.flatnonzero(owner == number)
            local = ids[ours] - self._begin[number]
            node_features[row_ranges(node_ptr, ours)[0]] = graphs.node_features[row_ranges(shard.node_ptr, local)[0]]
            rows, places = row_ranges(shard.edge_ptr, local)[0], row_ranges(edge_ptr, ours)[0]
            edge_features[places], edges[places] = graphs.edge_features[rows], graphs.edge_index[rows]
        edge_index = np.ascontiguousarray(edges.T) + np.repeat(node_ptr[:-1], np.diff(edge_ptr))
        return StageGraphBatch(node_features, edge_index, edge_features, node_ptr, edge_ptr)

    def latency(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        """Seconds, inf for failed records."""
        latency: NDArray[np.float64] = self._latency[as_ids(slots)]
        return latency

    def seconds(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        """What building and measuring each record took, in seconds; nan where that is not known."""
        seconds: NDArray[np.float64] = self._seconds[as_ids(slots)]
        return seconds

    def flop(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        """Floating-point operations of the records."""
        flop: NDArray[np.float64] = self._flop[self.task_index[as_ids(slots)]]
        return flop

    def task(self, slots: Iterable[int] | IntArray, /) -> list[str]:
        """Task keys of the records."""
        return [self.tasks[i].key for i in self.task_index[as_ids(slots)]]

    def ids_by_task(self) -> list[IntArray]:
        """The records of each of `tasks`, ascending."""
        order = np.argsort(self.task_index, kind="stable")
        counts = np.bincount(self.task_index, minlength=len(self.tasks))
        return np.split(order, np.cumsum(counts)[:-1])
