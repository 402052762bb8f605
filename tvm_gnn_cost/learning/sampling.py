"""Which records go into a mini-batch.

A batch holds several records of each of its tasks, because the losses compare inside tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import IntArray

RECORDS_PER_TASK = 16

_CROWDING = 0.25
"""How much less a task counts among many of its operator (docs/experiments.md, "Breadth")."""


def task_weights(operators: Sequence[str]) -> list[float]:
    """How likely tasks should be in a batch, relative to each other, by their operators: n^-1/4 for one of n tasks.

    So what there is much of, such as generated programs, teaches without crowding out the rest.
    """
    counts = Counter(operators)
    return [counts[operator] ** -_CROWDING for operator in operators]


class BatchSampler:
    """Draws mini-batches from three pools of record ids, each given as one int64 array per task.

    Half of a batch comes from the tasks at hand (of that, half from the new records, half from earlier ones of the same
    tasks), the other half from other tasks, so that what was learned of them is kept. Where a pool is empty or small
    the others fill in. A pool of many tasks is drawn from by task, `RECORDS_PER_TASK` records of each.

    Args:
        new, earlier, others: the pools.
        batch_size: records in a batch, at most.
        generator: what the draw depends on.
        weights: how likely each task of `new` is, relative to the others; None: all are equally likely.
    """

    def __init__(
        self,
        new: Sequence[IntArray],
        earlier: Sequence[IntArray],
        others: Sequence[IntArray],
        batch_size: int,
        generator: np.random.Generator,
        weights: Sequence[float] | None = None,
    ) -> None:
        self._weights = None if weights is None else [w for w, ids in zip(weights, new, strict=True) if len(ids)]
        self.new, self.earlier, self.others = ([ids for ids in pool if len(ids)] for pool in (new, earlier, others))
        self.batch_size, self.generator = batch_size, generator

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.new or self.earlier or self.others)

    def draw(self) -> IntArray:
        """The ids of one batch, int64 (<= batch_size,), without repeats."""
        of_others = self._take(self.others, self.batch_size // 2 if self.new or self.earlier else self.batch_size)
        room = self.batch_size - len(of_others)
        of_earlier = self._take(self.earlier, room // 2 if self.new else room)
        of_new = self._take(self.new, room - len(of_earlier), self._weights)
        return np.concatenate([of_new, of_earlier, of_others])

    def _take(self, pool: Sequence[IntArray], count: int, weights: Sequence[float] | None = None) -> IntArray:
        if not pool or not count:
            return np.zeros(0, dtype=np.int64)
        per_task = max(RECORDS_PER_TASK, -(-count // len(pool)))
        wanted_tasks = min(len(pool), -(-count // per_task))
        if len(pool) > wanted_tasks:
            # Tasks with few records would leave the batch short: draw some more, cut off below.
            order = self._shuffle(len(pool), weights)
        else:
            order = np.arange(len(pool))
        chosen: list[IntArray] = []
        left = count
        for position in order:
            ids = pool[int(position)]
            n = min(len(ids), per_task, left)
            chosen.append(ids if n == len(ids) else self.generator.choice(ids, n, replace=False))
            left -= n
            if not left:
                break
        return np.concatenate(chosen)

    def _shuffle(self, count: int, weights: Sequence[float] | None) -> IntArray:
        """The positions 0 to `count` as they would be drawn one by one, with these probabilities (Efraimidis and
        Spirakis, 2006)."""
        if weights is None:
            return self.generator.permutation(count)
        order: IntArray = np.argsort(self.generator.exponential(size=count) / np.asarray(weights))
        return order


def hold_out(
    ids_by_task: Sequence[IntArray],
    best: Sequence[int],
    fraction: float,
    minimum: int,
    generator: np.random.Generator,
) -> tuple[list[IntArray], list[IntArray]]:
    """Splits each task's ids into (training, validation). `best[i]`, task i's best record, is always trained on.

    Tasks with fewer than `minimum` ids are not split: there a held-out record costs more than it tells.
    """
    train: list[IntArray] = []
    held: list[IntArray] = []
    for ids, best_id in zip(ids_by_task, best, strict=True):
        count = max(4, round(fraction * len(ids))) if fraction > 0 and len(ids) >= minimum else 0
        candidates = ids[ids != best_id]
        chosen = generator.choice(candidates, min(count, len(candidates)), replace=False) if count else ids[:0]
        held.append(np.sort(chosen))
        train.append(np.setdiff1d(ids, chosen))
    return train, held


def spread(count: int, number: int) -> IntArray:
    """The positions of at most `number` of `count` items, evenly spaced and ascending: int64 (min(number, count),)."""
    positions: IntArray = np.linspace(0, count - 1, min(number, count)).round().astype(np.int64)
    return positions


def thin_out(ids_by_task: Sequence[IntArray], latencies: Sequence[NDArray[np.float64]], number: int) -> list[IntArray]:
    """At most `number` of the ids, int64 arrays, one a task: even shares, spread evenly over each task's latencies.

    Every share that is not empty holds its task's best record. Tasks with less than an even share leave the rest to the
    others.

    Args:
        ids_by_task: n arrays.
        latencies: those of the ids, in seconds; inf marks a failed record.
        number: how many to keep in all.
    """
    kept: list[IntArray] = [np.zeros(0, dtype=np.int64)] * len(ids_by_task)
    left = number
    smallest_first = sorted(range(len(ids_by_task)), key=lambda i: len(ids_by_task[i]))
    for position, i in enumerate(smallest_first):
        ids = ids_by_task[i]
        share = min(len(ids), left // (len(smallest_first) - position))
        fastest_first = np.argsort(latencies[i], kind="stable")
        places = spread(len(ids), share)
        kept[i] = np.sort(ids[fastest_first[places]])
        left -= share
    return kept
