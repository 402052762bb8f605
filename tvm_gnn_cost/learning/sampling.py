"""Which records go into a mini-batch.

A batch holds several records of each of its tasks, because the losses compare inside tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import IntArray

RECORDS_PER_TASK = 16


class BatchSampler:
    """Draws mini-batches from three pools of record ids, each given as one int64 array per task.

    Half of a batch comes from the tasks at hand (of that, half from the new records, half from earlier ones of the same
    tasks), the other half from other tasks, so that what was learned of them is kept. Where a pool is empty or small
    the others fill in. A pool of many tasks is drawn from by task, `RECORDS_PER_TASK` records of each.
    """

    def __init__(
        self,
        new: Sequence[IntArray],
        earlier: Sequence[IntArray],
        others: Sequence[IntArray],
        batch_size: int,
        generator: np.random.Generator,
    ) -> None:
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
        of_new = self._take(self.new, room - len(of_earlier))
        return np.concatenate([of_new, of_earlier, of_others])

    def _take(self, pool: Sequence[IntArray], count: int) -> IntArray:
        if not pool or not count:
            return np.zeros(0, dtype=np.int64)
        per_task = max(RECORDS_PER_TASK, -(-count // len(pool)))
        wanted_tasks = min(len(pool), -(-count // per_task))
        if len(pool) > wanted_tasks:
            # Tasks with few records would leave the batch short: draw some more, cut off below.
            order = self.generator.permutation(len(pool))
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
