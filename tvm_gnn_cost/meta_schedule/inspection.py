"""One of MetaSchedule's candidates made visible: its loop nests, what flows between its stages, and what the cost model
makes of them.

The adapter between TIR and the plain views that `report` writes and draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError, last_line
from tvm_gnn_cost.graphs.schedule_view import ScheduleView, view_schedule
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel
from tvm_gnn_cost.meta_schedule.sampling import Sampler
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.tir.program import Program
from tvm_gnn_cost.meta_schedule.tir.stages import Stages

_SAMPLED = 4


def inspect_candidate(
    mod: Any, target: Any, candidate: Any, model: GNNCostModel, *, title: str, notes: Sequence[str] = ()
) -> ScheduleView:
    """The view of one candidate; stages are scored if the model is warm.

    Args:
        mod: the task's module, as it is before any schedule.
        target: what for.
        candidate: a MeasureCandidate.
        model: says what it makes of it.
        title: of the view.
        notes: go below the title, before what the model says.

    Raises InvalidArgumentError for a candidate that cannot be read.
    """
    try:
        program, stages, nest = make_source(mod, target).read(candidate)
    except ValueError as error:
        raise InvalidArgumentError(f"the schedule cannot be read: {last_line(error)}") from error
    context = ms.TuneContext(mod=mod, target=target)
    score = float(model.predict(context, [candidate])[0])  # before is_warm: the first task chooses the network
    time_shares = model.time_shares(context, candidate) if model.is_warm else None
    names = loop_names(program, stages, [len(nest.loops[stage]) for stage in range(len(nest.loops))])
    return view_schedule(
        nest,
        names,
        list(stages.dtypes),
        title=title,
        notes=[*notes, model.describe_score(score)],
        score=score if model.is_warm else None,
        time_shares=time_shares,
    )


def sample_candidate(task: TuningTask, seed: int, model: GNNCostModel) -> Any:
    """A schedule from MetaSchedule's sampling, the first that the target can run (else the first). The same for the
    same seed.

    Raises InvalidArgumentError where MetaSchedule finds none, WorkloadError where it cannot schedule the task.
    """
    sampler = Sampler(task, seed)
    candidates = sampler.sample(_SAMPLED)
    if not candidates:
        raise InvalidArgumentError(f"MetaSchedule samples no schedule of {task.name} for {task.target}")
    scores = model.predict(sampler.context, candidates)
    runs = (candidate for candidate, score in zip(candidates, scores, strict=True) if math.isfinite(score))
    return next(runs, candidates[0])


def loop_names(program: Program, stages: Stages, counts: Sequence[int]) -> list[list[str]]:
    """The names of each stage's own loops, as the script of the module has them.

    Args:
        counts: of each stage's loops: those that follow the `For`s around its block are inside its body, and have none.
    """
    owners: dict[int, int] = {}
    for number, stage in enumerate(stages.blocks):
        owners.update(dict.fromkeys((loop.number for loop in program.blocks[stage.block].loops), number))
    names: list[list[str]] = [[] for _ in range(stages.first)]
    for number, stage in enumerate(stages.blocks):
        loops = program.blocks[stage.block].loops
        names.append([loop.name for loop in loops if owners[loop.number] == number])
    for own, count in zip(names, counts, strict=True):
        own += [f"inside_{k}" for k in range(count - len(own))]
    return names
