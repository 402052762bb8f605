"""Schedules drawn from a design space, and changed, outside a search: for pools, and to be looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.search import design_spaces, make_context, make_strategy
from tvm_gnn_cost.meta_schedule.tasks import TuningTask

logger = logging.getLogger("tvm_gnn_cost")


def sample_candidates(task: TuningTask, count: int, seed: int) -> list[Any]:
    """So many MeasureCandidates sampled at random, postprocessed; fewer where MetaSchedule finds fewer.

    Raises WorkloadError where it cannot schedule the task.
    """
    return Sampler(task, seed, num_threads=1).sample(count)


class Sampler:
    """Draws postprocessed schedules of one task.

    Args:
        task: what is scheduled.
        seed: of all drawing; the same schedules in the same order where `num_threads` is 1.
        num_threads: of MetaSchedule; None: those of the machine.

    Raises WorkloadError where MetaSchedule cannot schedule the task.
    """

    def __init__(self, task: TuningTask, seed: int, num_threads: int | None = None) -> None:
        self._strategy = make_strategy(8)
        self.context = make_context(task, self._strategy, seed % (2**31 - 2) + 1, num_threads)
        spaces = design_spaces(self.context, task)
        memory = ms.database.MemoryDatabase()
        self.context.pre_tuning(2**30, 1, spaces, memory, ms.cost_model.RandomModel(seed=seed))
        self._generator = np.random.default_rng(seed)

    def sample(self, count: int) -> list[Any]:
        """So many MeasureCandidates; fewer where sampling fails."""
        return as_candidates(sampled(self._strategy, count))

    def mutate(self, parents: Sequence[Any], count: int) -> list[Any]:
        """At most so many schedules that are one of these MeasureCandidates with one decision changed.

        The mutators are MetaSchedule's own, drawn by its own weights.
        """
        mutators, weights = self._mutators()
        if not mutators or not parents:
            return []
        found: list[Any] = []
        for _ in range(4 * count):
            if len(found) == count:
                break
            parent = parents[self._generator.integers(len(parents))]
            mutator = mutators[self._generator.choice(len(mutators), p=weights)]
            changed = self._mutated(parent, mutator)
            if changed is not None:
                found.append(changed)
        return as_candidates(found)

    def _mutators(self) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.float64]]]:
        probabilities = self.context.space_generator.mutator_probs or {}
        mutators = list(probabilities.keys())
        weights = np.array([float(getattr(p, "value", p)) for p in probabilities.values()])
        return mutators, weights / weights.sum() if len(weights) else weights

    def _mutated(self, parent: Any, mutator: Any) -> Any | None:
        try:
            trace = mutator.apply(parent.sch.trace.simplified(True))
            return None if trace is None else self.applied(trace)
        except Exception as error:  # what cannot be replayed with the new decision
            logger.debug("a mutant is left out: %s", last_line(error))
            return None

    def applied(self, trace: Any) -> Any | None:
        """The schedule of a trace without postprocessing, postprocessed; None where a postprocessor refuses it."""
        seed = int(self._generator.integers(1, 2**31 - 2))
        schedule = new_schedule(self.context.mod, seed)
        trace.apply_to_schedule(schedule, remove_postproc=True)
        schedule.enter_postproc()
        if all(postprocessor.apply(schedule) for postprocessor in self.context.space_generator.postprocs or ()):
            return schedule
        return None
