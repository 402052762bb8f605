"""A bounded memory of measured records, for training on earlier tasks and rounds while new ones come in."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import FloatArray, IntArray, StageGraphBatch


@dataclass(frozen=True)
class _Record:
    """One measured graph. Edge ids are the graph's own and narrow: stage graphs have some tens of nodes."""

    node_features: FloatArray
    edge_index: NDArray[np.int32]
    edge_features: FloatArray
    latency: float
    flop: float
    task: str


@dataclass
class TaskStats:
    """What is remembered of a task even when its records are gone.

    Attributes:
        seen: records offered so far.
        best_latency: seconds, inf if none was measured.
        flop: floating-point operations of the latest record.
        ids: slots of the records held, ascending.
        best_id: slot of the best record held, -1 if none.
    """

    seen: int = 0
    best_latency: float = float("inf")
    flop: float = 1.0
    ids: list[int] = field(default_factory=list)
    best_id: int = -1


class ReplayBuffer:
    """Holds at most `max_records` records (graph, latency in seconds, task, flop).

    While there is room everything is kept. Then every task has an equal share: a task at or above its share keeps a
    uniform sample of what it was shown (reservoir sampling, Vitter 1985), a task below it takes a slot from the task
    that holds most. The best record of a task is never evicted; if every slot holds the best of some task, records of
    further tasks are not stored. `tasks_` remembers each task's best latency in every case.

    Slots are stable: `add` returns the slot of each record, and a slot changes only by eviction.
    """

    def __init__(self, max_records: int = 20_000, seed: int | np.random.SeedSequence = 0) -> None:
        if max_records < 1:
            raise InvalidArgumentError(f"max_records must be at least 1, got {max_records}")
        self.max_records = max_records
        self.tasks_: dict[str, TaskStats] = {}
        self.generator = np.random.default_rng(seed)
        self._records: list[_Record] = []

    def __len__(self) -> int:
        return len(self._records)

    def add(
        self, graphs: StageGraphBatch, latency: NDArray[np.float64], task: Sequence[str], flop: NDArray[np.float64]
    ) -> IntArray:
        """Offers records; int64 (n,) slots, -1 for a record that was not kept. A later record may evict an earlier."""
        slots = np.full(len(graphs), -1, dtype=np.int64)
        for i in range(len(graphs)):
            nodes = slice(int(graphs.node_ptr[i]), int(graphs.node_ptr[i + 1]))
            edges = slice(int(graphs.edge_ptr[i]), int(graphs.edge_ptr[i + 1]))
            record = _Record(
                # Copies: a view would keep the whole batch alive.
                graphs.node_features[nodes].copy(),
                (graphs.edge_index[:, edges] - nodes.start).astype(np.int32),
                graphs.edge_features[edges].copy(),
                float(latency[i]),
                float(flop[i]),
                str(task[i]),
            )
            slot = self._offer(record)
            slots[slots == slot] = -1
            slots[i] = slot
        return slots

    def gather(self, slots: Iterable[int] | IntArray) -> StageGraphBatch:
        """The graphs in the given slots, packed in that order (a slot may repeat)."""
        records = [self._records[int(i)] for i in slots]
        if not records:
            raise InvalidArgumentError("gather needs at least one slot")
        node_ptr = np.cumsum([0] + [len(r.node_features) for r in records]).astype(np.int64)
        edge_ptr = np.cumsum([0] + [len(r.edge_features) for r in records]).astype(np.int64)
        return StageGraphBatch(
            np.concatenate([r.node_features for r in records]),
            np.concatenate([r.edge_index for r in records], axis=1).astype(np.int64)
            + np.repeat(node_ptr[:-1], np.diff(edge_ptr)),
            np.concatenate([r.edge_features for r in records]),
            node_ptr,
            edge_ptr,
        )

    def latency(self, slots: Iterable[int] | IntArray) -> NDArray[np.float64]:
        """Seconds, inf for failed records."""
        return np.array([self._records[int(i)].latency for i in slots], dtype=np.float64)

    def flop(self, slots: Iterable[int] | IntArray) -> NDArray[np.float64]:
        """Floating-point operations of the records: for all of a task those of its latest."""
        return np.array([self.tasks_[self._records[int(i)].task].flop for i in slots], dtype=np.float64)

    def task(self, slots: Iterable[int] | IntArray) -> list[str]:
        """Task keys of the records."""
        return [self._records[int(i)].task for i in slots]

    def rename(self, former: str, name: str) -> None:
        """Gives a task another name; the order of the tasks stays."""
        self.tasks_ = {name if known == former else known: stats for known, stats in self.tasks_.items()}
        for slot in self.tasks_[name].ids:
            self._records[slot] = replace(self._records[slot], task=name)

    @property
    def nbytes(self) -> int:
        """Bytes held by the graphs' arrays."""
        return sum(r.node_features.nbytes + r.edge_index.nbytes + r.edge_features.nbytes for r in self._records)

    def restore(
        self, graphs: StageGraphBatch | None, latency: NDArray[np.float64], task: Sequence[str],
        flop: NDArray[np.float64], stats: dict[str, TaskStats],
    ) -> None:  # fmt: skip
        """Replaces the content by saved records (in slot order) and task statistics (without `ids` and `best_id`)."""
        self._records = []
        self.tasks_ = {name: TaskStats() for name in stats}  # first, to keep the order of the tasks
        state = self.generator.bit_generator.state
        if graphs is not None and len(graphs):
            self.add(graphs, latency, task, flop)
        self.generator.bit_generator.state = state
        for name, saved in stats.items():
            held = self.tasks_[name]
            held.seen, held.flop = saved.seen, saved.flop
            held.best_latency = min(held.best_latency, saved.best_latency)

    def _offer(self, record: _Record) -> int:
        stats = self.tasks_.setdefault(record.task, TaskStats())
        stats.seen += 1
        stats.flop = record.flop
        # Against the best record held, not the best known: after a restore without records those differ.
        held_best = self._records[stats.best_id].latency if stats.best_id >= 0 else float("inf")
        is_best = record.latency < held_best
        stats.best_latency = min(stats.best_latency, record.latency)
        slot = self._slot_for(stats, is_best)
        if slot < 0:
            return -1
        if slot == len(self._records):
            self._records.append(record)
        else:
            ids = self.tasks_[self._records[slot].task].ids
            del ids[bisect_left(ids, slot)]
            self._records[slot] = record
        insort(stats.ids, slot)
        if is_best:
            stats.best_id = slot
        return slot

    def _slot_for(self, stats: TaskStats, is_best: bool) -> int:
        """The slot that a new record takes, -1 to drop the record."""
        if len(self._records) < self.max_records:
            return len(self._records)
        share = max(1, self.max_records // len(self.tasks_))
        if len(stats.ids) >= share:
            place = int(self.generator.integers(stats.seen))
            if place >= len(stats.ids) and not is_best:
                return -1
            return self._victim(stats, may_evict_best=is_best)
        # The `max` is over tasks, not records; ties go to the earliest task, so that runs repeat.
        largest = max(self.tasks_.values(), key=lambda s: len(s.ids) - (s.best_id >= 0))
        return self._victim(largest, may_evict_best=False)

    def _victim(self, stats: TaskStats, *, may_evict_best: bool) -> int:
        """A random record of the task other than its best; -1 if there is none.

        With `may_evict_best` a task that holds its best alone gives that up, for a better one.
        """
        place = bisect_left(stats.ids, stats.best_id)  # of the best, which is skipped
        holds_best = place < len(stats.ids) and stats.ids[place] == stats.best_id
        others = len(stats.ids) - holds_best
        if not others:
            return stats.best_id if may_evict_best else -1
        chosen = int(self.generator.integers(others))
        return stats.ids[chosen + (holds_best and chosen >= place)]
