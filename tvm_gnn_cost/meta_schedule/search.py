"""The search of one task: MetaSchedule's own evolutionary strategy, asked for one batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.toolchain import Candidate
from tvm_gnn_cost.records.databases import FAILED_S
from tvm_gnn_cost.system.machine import num_cores

EPS_GREEDY = 0.05
"""TVM's own: the share of a batch that is sampled at random."""
_WITHOUT_END = 2**30
"""The run's book counts trials, not the strategy."""
_EMPTY_BATCHES = 5
"""As MetaSchedule: after so many batches without a new schedule there is none left."""


def make_context(task: TuningTask, strategy: Any = None, seed: int = 1) -> Any:
    """A TuneContext with MetaSchedule's default design space for the target.

    Raises WorkloadError where MetaSchedule has no rules for the target, or cannot apply them.
    """
    try:
        return ms.TuneContext(
            mod=task.mod,
            target=task.target,
            space_generator="post-order-apply",
            search_strategy=strategy,
            task_name=task.name,
            rand_state=seed,
            num_threads=num_cores(),
        )
    except Exception as error:  # a target without rules, or one that lacks an attribute that the rules ask for
        raise WorkloadError(f"MetaSchedule cannot tune {task.name} for {task.target}: {last_line(error)}") from error


def make_strategy(population: int) -> Any:
    """MetaSchedule's evolutionary search, with its own defaults but for the size of a generation."""
    return ms.search_strategy.EvolutionarySearch(
        population_size=population, init_min_unmeasured=min(50, population), eps_greedy=EPS_GREEDY
    )


def make_record(candidate: Candidate, workload: Any, readings: Sequence[float]) -> Any:
    """MetaSchedule's TuningRecord of a measurement; no readings: it failed."""
    schedule, arguments = candidate.candidate.sch, candidate.candidate.args_info
    return ms.database.TuningRecord(schedule.trace, workload, list(readings) or [FAILED_S], candidate.target, arguments)


def design_spaces(context: Any, task: TuningTask) -> list[Any]:
    """The schedules, decisions open, that candidates are made from. Raises WorkloadError where there are none."""
    try:
        spaces = list(context.generate_design_space())
    except Exception as error:  # a module that no rule can read
        raise WorkloadError(f"MetaSchedule cannot schedule {task.name}: {last_line(error)}") from error
    if not spaces:
        raise WorkloadError(
            f"MetaSchedule finds no schedule of {task.name} for {task.target}: its design space is empty"
        )
    return spaces


class TaskMemory:
    """The records of one task, for its search alone.

    MetaSchedule's databases give the best records of a module whatever target they are for, and its search ends the run
    at a trace that the target's postprocessors refuse.

    Attributes:
        database: a MemoryDatabase.
    """

    def __init__(self, task: TuningTask) -> None:
        self.database: Any = ms.database.MemoryDatabase()
        self._workload = self.database.commit_workload(task.mod)

    def add(self, candidate: Candidate, readings: Sequence[float]) -> None:
        """A measurement, in seconds; none: it failed."""
        self.database.commit_tuning_record(make_record(candidate, self._workload, readings))


class TaskSearch:
    """Gives the candidates to be measured, none of them twice.

    Args:
        task: what is scheduled.
        model: the cost model.
        database: of this task alone, see `TaskMemory`; the best of its records are where the search starts from.
        seed: of the search.
        population: schedules in a generation.
        batch: the most candidates at a time.
        known: modules that were measured before.

    Raises WorkloadError where MetaSchedule cannot schedule the task.
    """

    def __init__(
        self,
        task: TuningTask,
        model: Any,
        database: Any,
        *,
        seed: int,
        population: int,
        batch: int,
        known: Iterable[Any] = (),
    ) -> None:
        self._known = {NAMES.structural_hash(module) for module in known}
        self._context = make_context(task, make_strategy(population), seed)
        self._context.pre_tuning(_WITHOUT_END, batch, design_spaces(self._context, task), database, model)

    @property
    def context(self) -> Any:
        """The TuneContext."""
        return self._context

    def next_batch(self, count: int) -> list[Any]:
        """At most `count` MeasureCandidates that were not measured yet; none where there are no more."""
        for _ in range(_EMPTY_BATCHES):
            found = self._context.generate_measure_candidates()
            if found is None:
                return []
            new = [candidate for candidate in found if self._is_new(candidate)]
            if new:
                return _within(new, count)
        return []

    def measured(self, candidates: list[Any], results: list[Any]) -> None:
        """Tell the strategy what became of a batch, as RunnerResults."""
        self._context.notify_runner_results(candidates, results)

    def end(self) -> None:
        """Let go of what the search holds."""
        self._context.post_tuning()

    def _is_new(self, candidate: Any) -> bool:
        """MetaSchedule knows what it chose itself, but not what a database holds."""
        found = NAMES.structural_hash(candidate.sch.mod)
        is_new = found not in self._known
        self._known.add(found)
        return is_new


def _within(candidates: list[Any], count: int) -> list[Any]:
    """The first of the best, and the same share of the random ones, which come last."""
    if len(candidates) <= count:
        return candidates
    random = int(count * EPS_GREEDY)
    return candidates[: count - random] + candidates[len(candidates) - random :]
