"""Which schedules to measure next, so that a pool holds bad, middling and near-best ones, none of them twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.collection.options import Mix
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.interrupts import passing_on_interrupts

logger = logging.getLogger("tvm_gnn_cost")

ORIGINS = ("random", "evolved", "mutated")
PARENTS = 8
"""The best measured schedules that are mutated, and that evolution starts from besides its samples."""

_SAMPLES = 64
_GENERATION = 64  # of mutants


class Explorer:
    """Draws schedules of one task.

    Args:
        task: the task.
        model: scores candidates; `predict` gives -inf for what cannot run, and `is_warm` says whether it knows any.
        mix: the shares that the whole pool is to have.
        population: of the evolution.
        seed: of all drawing.
        counts: schedules by origin that the pool already holds.
    """

    def __init__(
        self, task: Any, model: Any, mix: Mix, population: int, seed: Sequence[int], counts: dict[str, int]
    ) -> None:
        auto_scheduler = require_auto_scheduler()
        self._task = task
        self._model = model
        self._mix = mix
        self._counts = {origin: counts.get(origin, 0) for origin in ORIGINS}
        self._seen: set[str] = set()
        self._measured: list[tuple[float, Any]] = []
        self._generator = np.random.default_rng(list(seed))
        small = {
            "evolutionary_search_population": _GENERATION,
            "evolutionary_search_num_iters": 1,
            "sample_init_min_population": _SAMPLES // 2,
        }
        large = {"evolutionary_search_population": population}
        first, second = (int(s) for s in self._generator.integers(1, 2**30, size=2))
        self._drift = auto_scheduler.SketchPolicy(
            task, _make_random_scores(model, self._generator), params=small, seed=first, verbose=0
        )
        self._evolution = auto_scheduler.SketchPolicy(task, model, params=large, seed=second, verbose=0)
        # a model that picks its pretrained network by target does so, and is warm, when it first meets a task
        model.predict(task, [task.compute_dag.infer_bound_from_state(task.compute_dag.get_init_state())])

    def add_measured(self, states: Iterable[Any], latencies: Iterable[float | None]) -> None:
        """Schedules, bounds inferred, that the pool holds, with seconds (None: failed)."""
        for state, latency in zip(states, latencies, strict=True):
            self._seen.add(str(state))
            if latency is not None:
                self._measured.append((latency, state))
        self._measured = sorted(self._measured, key=lambda pair: pair[0])[:PARENTS]

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
        return bool(self._measured) if origin == "mutated" else bool(self._model.is_warm)

    def _take(self, origin: str, count: int) -> list[tuple[str, Any]]:
        sources: dict[str, Callable[[int], Any]] = {
            "random": self._random,
            "evolved": self._evolved,
            "mutated": self._mutated,
        }
        taken: list[tuple[str, Any]] = []
        for _ in range(3):
            if len(taken) == count or (origin != "random" and not self._can(origin)):
                break
            for state in sources[origin](count):
                if len(taken) < count and self._is_new(state):
                    taken.append((origin, state))
        self._counts[origin] += len(taken)
        return taken

    def _is_new(self, state: Any) -> bool:
        text = str(state)
        if text in self._seen:
            return False
        self._seen.add(text)
        return True

    def _random(self, count: int) -> list[Any]:
        states: list[Any] = []
        while len(states) < count:
            sampled = self._complete(self._drift.sample_initial_population())
            states += sampled
            if not sampled:
                break
        return [states[i] for i in self._generator.permutation(len(states))]

    def _evolved(self, count: int) -> list[Any]:
        start = [*self._drift.sample_initial_population(), *self._parents()]
        if not start:  # TVM would crash
            return []
        # the best of all generations, the best first; more than asked for, as some may be in the pool
        found = self._evolution.evolutionary_search(start, count + len(self._seen))
        return self._complete(found)

    def _mutated(self, count: int) -> list[Any]:
        found = self._complete(self._drift.evolutionary_search(self._parents(), _GENERATION))
        return [found[i] for i in self._generator.permutation(len(found))]

    def _parents(self) -> list[Any]:
        return [state for _, state in self._measured]

    def _complete(self, states: Iterable[Any]) -> list[Any]:
        infer = self._task.compute_dag.infer_bound_from_state
        complete = []
        for state in states:
            try:
                complete.append(infer(state))
            except Exception as error:  # TVM's search now and then proposes what it cannot lower
                logger.debug("a schedule is left out: %s", error)
        return complete


def _make_random_scores(model: Any, generator: np.random.Generator) -> Any:
    """A cost model that scores at random, but -inf what `model` says cannot run."""
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel

    class RandomScores(PythonBasedModel):  # type: ignore[misc]
        def predict(self, task: Any, states: Any) -> Any:
            with passing_on_interrupts("while schedules were sampled"):
                can_run = np.isfinite(model.predict(task, states))
            return np.where(can_run, generator.uniform(0.5, 1.0, len(states)), -np.inf)

    return RandomScores()
