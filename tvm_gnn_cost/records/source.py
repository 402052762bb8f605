"""Measured records as a `Trainer` takes them: checks, grouping by task, and where training reads them from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch


class GraphSource(Protocol):
    """Where the graphs of records are read from."""

    def gather(self, slots: Iterable[int] | IntArray, /) -> StageGraphBatch: ...


class RecordSource(GraphSource, Protocol):
    """Where training reads records from: a `ReplayBuffer`, a `GraphStore`, or the arguments of `fit`."""

    def latency(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]: ...
    def flop(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]: ...
    def task(self, slots: Iterable[int] | IntArray, /) -> list[str]: ...


class GivenRecords:
    """The arguments of `fit` as a `RecordSource`."""

    def __init__(
        self, graphs: StageGraphBatch, latency: NDArray[np.float64], task: list[str], flop: NDArray[np.float64]
    ) -> None:
        self._graphs, self._latency, self._task, self._flop = graphs, latency, task, flop

    def gather(self, slots: Iterable[int] | IntArray, /) -> StageGraphBatch:
        return self._graphs.select(np.asarray(slots))

    def latency(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        latency: NDArray[np.float64] = self._latency[np.asarray(slots)]
        return latency

    def flop(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        flop: NDArray[np.float64] = self._flop[np.asarray(slots)]
        return flop

    def task(self, slots: Iterable[int] | IntArray, /) -> list[str]:
        return [self._task[int(i)] for i in slots]


class JoinedRecords:
    """Two sources as one `RecordSource`: the ids of the second follow the `size` ids of the first."""

    def __init__(self, first: RecordSource, size: int, second: RecordSource) -> None:
        self._first, self._size, self._second = first, size, second

    def gather(self, slots: Iterable[int] | IntArray, /) -> StageGraphBatch:
        ids, ours = self._split(slots)
        parts = []
        if ours.any():
            parts.append(self._first.gather(ids[ours]))
        if not ours.all():
            parts.append(self._second.gather(ids[~ours] - self._size))
        if len(parts) == 1:
            return parts[0]
        order = np.concatenate([np.flatnonzero(ours), np.flatnonzero(~ours)])
        return StageGraphBatch.concatenate(parts).select(np.argsort(order))

    def latency(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        return self._numbers(slots, lambda source, ids: source.latency(ids))

    def flop(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        return self._numbers(slots, lambda source, ids: source.flop(ids))

    def task(self, slots: Iterable[int] | IntArray, /) -> list[str]:
        ids, ours = self._split(slots)
        first, second = iter(self._first.task(ids[ours])), iter(self._second.task(ids[~ours] - self._size))
        return [next(first) if of_first else next(second) for of_first in ours]

    def _numbers(
        self, slots: Iterable[int] | IntArray, read: Callable[[RecordSource, IntArray], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        ids, ours = self._split(slots)
        values = np.empty(len(ids))
        values[ours] = read(self._first, ids[ours])
        values[~ours] = read(self._second, ids[~ours] - self._size)
        return values

    def _split(self, slots: Iterable[int] | IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        ids = as_ids(slots)
        return ids, ids < self._size


def as_ids(slots: Iterable[int] | IntArray) -> IntArray:
    """Record ids as int64 (n,)."""
    return np.asarray(slots if isinstance(slots, np.ndarray) else list(slots), dtype=np.int64)


def check_records(
    count: int, latency: ArrayLike, task: str | Sequence[str], flop: ArrayLike
) -> tuple[NDArray[np.float64], list[str], NDArray[np.float64]]:
    """Latencies, task keys and flops of `count` records, each (count,). Raises InvalidArgumentError (see `Trainer`)."""
    latencies = np.asarray(latency, dtype=np.float64)
    if latencies.shape != (count,):
        raise InvalidArgumentError(f"latency must have shape ({count},), one per graph; got {latencies.shape}")
    bad = np.flatnonzero(np.isnan(latencies) | (latencies <= 0))
    if len(bad):
        raise InvalidArgumentError(
            f"latency[{bad[0]}] is {latencies[bad[0]]}: it must be > 0 seconds, or inf for a failed measurement"
        )
    flops = np.asarray(flop, dtype=np.float64)
    if flops.shape not in ((), (count,)):
        raise InvalidArgumentError(f"flop must be one number or have shape ({count},); got {flops.shape}")
    flops = np.broadcast_to(flops, (count,))
    bad = np.flatnonzero(~(np.isfinite(flops) & (flops > 0)))
    if len(bad):
        raise InvalidArgumentError(f"flop[{bad[0]}] is {flops[bad[0]]}: it must be finite and > 0")
    return latencies, task_list(task, count), flops


def task_list(task: str | Sequence[str], count: int) -> list[str]:
    """One key for each of `count` graphs, from one key or `count` keys."""
    tasks = [task] * count if isinstance(task, str) else [str(name) for name in task]
    if len(tasks) != count:
        raise InvalidArgumentError(f"task must be one key or {count} keys, one per graph; got {len(tasks)}")
    return tasks


def group_ids(tasks: Sequence[str], ids: IntArray) -> list[IntArray]:
    """The ids of each task, tasks in order of appearance."""
    groups: dict[str, list[int]] = {}
    for name, i in zip(tasks, ids, strict=True):
        groups.setdefault(name, []).append(int(i))
    return [np.array(group, dtype=np.int64) for group in groups.values()]
