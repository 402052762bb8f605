"""Which schedules to measure next, so that a pool holds bad, middling and near-best ones, none of them twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.collection.options import Mix
from tvm_gnn_cost.collection.wing import PoolRecord, Sources

ORIGINS = ("random", "evolved", "mutated")
PARENTS = 8
"""The best measured schedules that are mutated, and that evolution starts from besides its samples."""


class Explorer:
    """Draws schedules of one task.

    Args:
        sources: where they come from.
        mix: the shares that the whole pool is to have.
        seed: of the order in which they are drawn.
        counts: schedules by origin that the pool already holds.
    """

    def __init__(self, sources: Sources, mix: Mix, seed: Sequence[int], counts: Mapping[str, int]) -> None:
        self._sources = sources
        self._mix = mix
        self._counts = {origin: counts.get(origin, 0) for origin in ORIGINS}
        self._seen: set[str] = set()
        self._measured: list[tuple[float, Any]] = []
        self._generator = np.random.default_rng(list(seed))

    def add_measured(self, records: Sequence[PoolRecord]) -> None:
        """Schedules that the pool holds."""
        for record in records:
            self._seen.add(self._sources.key(record.candidate))
            if record.latency_s is not None:
                self._measured.append((record.latency_s, record.candidate))
        self._measured = sorted(self._measured, key=lambda pair: pair[0])[:PARENTS]
        self._sources.keep(records)

    def draw(self, count: int) -> list[tuple[str, Any]]:
        """At most `count` new schedules with their origins, in random order; fewer where no more are found."""
        wanted = self._wanted(count)
        drawn: list[tuple[str, Any]] = []
        for origin in ("evolved", "mutated", "random"):
            drawn += self._take(origin, wanted[origin])
        for origin in ORIGINS:  # what one source lacked, another may have
            if len(drawn) < count and (origin == "random" or self._mix.share(origin) > 0):
                drawn += self._take(origin, count - len(drawn))
        order = self._generator.permutation(len(drawn))
        return [drawn[i] for i in order]

    def _wanted(self, count: int) -> dict[str, int]:
        """How many of each origin bring the pool closest to its mix."""
        wanted = dict.fromkeys(ORIGINS, 0)
        usable = [o for o in ORIGINS if o == "random" or self._can(o)]
        total = sum(self._counts.values())
        for _ in range(count):
            total += 1
            lack = {o: self._mix.share(o) * total - self._counts[o] - wanted[o] for o in usable}
            wanted[max(usable, key=lambda o: lack[o])] += 1
        return wanted

    def _can(self, origin: str) -> bool:
        if self._mix.share(origin) <= 0:
            return False
        return bool(self._measured) if origin == "mutated" else self._sources.is_warm

    def _take(self, origin: str, count: int) -> list[tuple[str, Any]]:
        find: dict[str, Callable[[int], list[Any]]] = {
            "random": self._sources.random,
            "evolved": self._sources.evolved,
            "mutated": lambda few: self._sources.mutated([parent for _, parent in self._measured], few),
        }
        taken: list[tuple[str, Any]] = []
        for _ in range(3):
            if len(taken) == count or (origin != "random" and not self._can(origin)):
                break
            found = find[origin](count)
            if origin != "evolved":  # those are the best first
                found = [found[i] for i in self._generator.permutation(len(found))]
            for candidate in found:
                if len(taken) < count and self._is_new(candidate):
                    taken.append((origin, candidate))
        self._counts[origin] += len(taken)
        return taken

    def _is_new(self, candidate: Any) -> bool:
        key = self._sources.key(candidate)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True
