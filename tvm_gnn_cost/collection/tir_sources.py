"""Where MetaSchedule's schedules of a task come from: its design space, its search, a model that learns the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.collection.options import CollectOptions
from tvm_gnn_cost.collection.wing import PoolRecord
from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.sampling import Sampler
from tvm_gnn_cost.meta_schedule.search import TaskMemory, TaskSearch
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.toolchain import Candidate


class TIRSources:
    """See `wing.Sources`: candidates are `Candidate`s.

    Args:
        task: what is scheduled.
        options: of the collection: its model and its population.
        seed: of all drawing.

    Raises WorkloadError where MetaSchedule cannot schedule the task.
    """

    def __init__(self, task: TuningTask, options: CollectOptions, seed: Sequence[int]) -> None:
        self._task = task
        self._options = options
        self._model = GNNCostModel(pretrained=options.pretrained, seed=options.seed, device=options.device)
        first, self._seed = (int(s) for s in np.random.default_rng(list(seed)).integers(1, 2**30, size=2))
        self._sampler = Sampler(task, first)
        self._memory = TaskMemory(task)
        self._search: TaskSearch | None = None
        # a model that picks its pretrained network by target does so, and is warm, when it first meets a task
        self._model.predict(self._sampler.context, self._sampler.sample(1))

    @property
    def is_warm(self) -> bool:
        return self._model.is_warm

    def random(self, count: int) -> list[Any]:
        return self._ours(self._sampler.sample(count))

    def evolved(self, count: int) -> list[Any]:
        if self._search is None:
            self._search = TaskSearch(
                self._task,
                self._model,
                self._memory.database,
                seed=self._seed,
                population=self._options.population,
                batch=self._options.batch,
            )
        return self._ours(self._search.next_batch(count))

    def mutated(self, parents: Sequence[Any], count: int) -> list[Any]:
        return self._ours(self._sampler.mutate([parent.candidate for parent in parents], 2 * count))

    def key(self, candidate: Any) -> str:
        return str(NAMES.structural_hash(candidate.candidate.sch.mod))

    def keep(self, records: Sequence[PoolRecord]) -> None:
        for record in records:
            self._memory.add(record.candidate, record.readings)

    def learn(self, records: Sequence[PoolRecord]) -> None:
        candidates = [record.candidate.candidate for record in records]
        self._model.update(self._sampler.context, candidates, [record.result.as_result() for record in records])

    def _ours(self, candidates: Sequence[Any]) -> list[Any]:
        return [Candidate(self._task.target, candidate) for candidate in candidates]
