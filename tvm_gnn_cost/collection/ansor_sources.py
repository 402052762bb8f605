"""Where auto_scheduler's schedules of a task come from: its sketches, its evolution, a model that learns the pool."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.ansor.cost_model import GNNCostModel
from tvm_gnn_cost.collection.exploration import PARENTS
from tvm_gnn_cost.collection.options import CollectOptions
from tvm_gnn_cost.collection.wing import PoolRecord
from tvm_gnn_cost.errors import TuningInterrupted, WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

logger = logging.getLogger("tvm_gnn_cost")

_SAMPLES = 64
_GENERATION = 64  # of mutants


class AnsorSources:
    """See `wing.Sources`: candidates are MeasureInputs.

    Args:
        task: the SearchTask.
        options: of the collection: its model and its population.
        seed: of all drawing.
    """

    def __init__(self, task: Any, options: CollectOptions, seed: Sequence[int]) -> None:
        auto_scheduler = require_auto_scheduler()
        self._task = task
        self._model = GNNCostModel(pretrained=options.pretrained, seed=options.seed, device=options.device)
        self._measured: list[tuple[float, Any]] = []
        self._num_known = 0
        generator = np.random.default_rng(list(seed))
        small = {
            "evolutionary_search_population": _GENERATION,
            "evolutionary_search_num_iters": 1,
            "sample_init_min_population": _SAMPLES // 2,
        }
        large = {"evolutionary_search_population": options.population}
        first, second = (int(s) for s in generator.integers(1, 2**30, size=2))
        self._drift = auto_scheduler.SketchPolicy(
            task, _make_random_scores(self._model, generator), params=small, seed=first, verbose=0
        )
        self._evolution = auto_scheduler.SketchPolicy(task, self._model, params=large, seed=second, verbose=0)
        # a model that picks its pretrained network by target does so, and is warm, when it first meets a task
        self._model.predict(task, [task.compute_dag.infer_bound_from_state(task.compute_dag.get_init_state())])

    @property
    def is_warm(self) -> bool:
        return self._model.is_warm

    def random(self, count: int) -> list[Any]:
        states: list[Any] = []
        while len(states) < count:
            sampled = self._complete(self._sampled())
            states += sampled
            if not sampled:
                break
        return states

    def evolved(self, count: int) -> list[Any]:
        start = [*self._sampled(), *(state for _, state in self._measured)]
        if not start:  # TVM would crash
            return []
        # the best of all generations, the best first; more than asked for, as some may be in the pool
        return self._complete(self._evolution.evolutionary_search(start, count + self._num_known))

    def mutated(self, parents: Sequence[Any], count: int) -> list[Any]:
        return self._complete(self._drift.evolutionary_search([inp.state for inp in parents], _GENERATION))

    def key(self, candidate: Any) -> str:
        return str(candidate.state)

    def keep(self, records: Sequence[PoolRecord]) -> None:
        self._num_known += len(records)
        self._measured += [(r.latency_s, r.candidate.state) for r in records if r.latency_s is not None]
        self._measured = sorted(self._measured, key=lambda pair: pair[0])[:PARENTS]

    def learn(self, records: Sequence[PoolRecord]) -> None:
        self._model.update([r.candidate for r in records], [r.result for r in records])

    def _sampled(self) -> list[Any]:
        """Raises WorkloadError where TVM cannot sample its own sketches."""
        from tvm import TVMError

        try:
            return list(self._drift.sample_initial_population())
        except TVMError as error:
            raise WorkloadError(f"TVM's search of it fails: {last_line(error)}") from error

    def _complete(self, states: Iterable[Any]) -> list[Any]:
        """MeasureInputs of the states that TVM can lower, bounds inferred."""
        measure_input = require_auto_scheduler().MeasureInput
        infer = self._task.compute_dag.infer_bound_from_state
        complete = []
        for state in states:
            try:
                complete.append(measure_input(self._task, infer(state)))
            except Exception as error:  # TVM's search now and then proposes what it cannot lower
                logger.debug("a schedule is left out: %s", error)
        return complete


def _make_random_scores(model: Any, generator: np.random.Generator) -> Any:
    """A cost model that scores at random, but -inf what `model` says cannot run."""
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel

    class RandomScores(PythonBasedModel):  # type: ignore[misc]
        def predict(self, task: Any, states: Any) -> Any:
            try:
                can_run = np.isfinite(model.predict(task, states))
            except KeyboardInterrupt as interrupt:  # TVM swallows it, but not this one
                raise TuningInterrupted("interrupted by Ctrl-C while schedules were sampled") from interrupt
            return np.where(can_run, generator.uniform(0.5, 1.0, len(states)), -np.inf)

    return RandomScores()
