"""Schedules drawn from a design space, and changed, outside a search: for pools, and to be looked at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.search import design_spaces, make_context
from tvm_gnn_cost.meta_schedule.tasks import TuningTask

logger = logging.getLogger("tvm_gnn_cost")

_TRIES = 4
"""For each schedule that is wanted: some are refused by a postprocessor, or cannot be replayed."""


class Sampler:
    """Draws postprocessed schedules of one task, as MetaSchedule's search does.

    Source: TVM, src/meta_schedule/search_strategy/evolutionary_search.cc (`SampleInitPopulation`), trace_apply.cc.

    Args:
        task: what is scheduled.
        seed: of all drawing: the same seed gives the same samples. Mutants differ, as MetaSchedule's mutators take no
            seed.

    Attributes:
        context: the TuneContext.

    Raises WorkloadError where MetaSchedule cannot schedule the task.
    """

    def __init__(self, task: TuningTask, seed: int) -> None:
        self.context = make_context(task)
        self._spaces = design_spaces(self.context, task)
        self._generator = np.random.default_rng(seed)

    def sample(self, count: int) -> list[Any]:
        """So many MeasureCandidates, decided at random; fewer where postprocessors refuse them."""

        def undecided() -> Any:
            trace = self._spaces[self._generator.integers(len(self._spaces))].trace
            return type(trace)(trace.insts, {})

        return self._drawn(count, undecided)

    def mutate(self, parents: Sequence[Any], count: int) -> list[Any]:
        """At most so many MeasureCandidates that are one of these with one decision changed.

        The mutators are MetaSchedule's own, drawn by its own weights.
        """
        weighted: dict[Any, Any] = dict(self.context.space_generator.mutator_probs or {})
        mutators = list(weighted)
        if not mutators or not parents:
            return []
        weights = np.array([float(getattr(weight, "value", weight)) for weight in weighted.values()])

        def mutated() -> Any:
            parent = parents[int(self._generator.integers(len(parents)))]
            mutator = mutators[self._generator.choice(len(mutators), p=weights / weights.sum())]
            return mutator.apply(parent.sch.trace.simplified(True))

        return self._drawn(count, mutated)

    def _drawn(self, count: int, draw: Any) -> list[Any]:
        """So many of the traces that `draw` gives (None: none this time), as candidates."""
        found: list[Any] = []
        for _ in range(_TRIES * count):
            if len(found) == count:
                break
            try:
                trace = draw()
                schedule = None if trace is None else self._applied(trace)
            except Exception as error:  # what cannot be replayed
                logger.debug("a schedule is left out: %s", last_line(error))
                continue
            if schedule is not None:
                arguments = ms.arg_info.ArgInfo.from_entry_func(schedule.mod, remove_preproc=True)
                found.append(ms.MeasureCandidate(schedule, arguments))
        return found

    def _applied(self, trace: Any) -> Any | None:
        """The schedule of a trace, postprocessed; None where a postprocessor refuses it."""
        seed = int(self._generator.integers(1, 2**31 - 1))
        schedule = type(self._spaces[0])(self.context.mod, seed=seed, error_render_level="none")
        trace.apply_to_schedule(schedule, remove_postproc=True)
        schedule.enter_postproc()
        accepted = all(postprocessor.apply(schedule) for postprocessor in self.context.space_generator.postprocs or ())
        return schedule if accepted else None
