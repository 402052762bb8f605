"""What a database of schedules knows of a task and of similar ones, as schedules of the task; and how to measure them.

The fastest schedules of the task itself and of similar ones are fitted to it and scored by the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.fitting import Fit, fitting_states
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm

if TYPE_CHECKING:
    from tvm.auto_scheduler import MeasureInput, MeasureResult, SearchTask
    from tvm.auto_scheduler.loop_state import StateObject
    from tvm.auto_scheduler.measure import ProgramMeasurer

Measure: TypeAlias = "Callable[[list[MeasureInput], ProgramMeasurer], list[MeasureResult]]"
"""Measures a batch, and tells whoever listens to the measurer."""

SEEDS = 4
"""Of a first round at least: what a short one has of them tells how fast a task is known to be already."""
_OWN = 4
"""Schedules of the task itself that are measured again, whatever the model says of them."""
_WORTH = 0.25
"""Of the best seed's score: one that promises less is not measured."""


def find_seeds(database: ScheduleDatabase, task: SearchTask, model: Any, count: int) -> list[StateObject]:
    """At most `count` states of a task that are worth measuring first, by what is known of it and of similar tasks."""
    own = fitting_states(task.compute_dag, [(known.steps, Fit.SIZES) for known in database.best(task, _OWN)])
    similar = fitting_states(task.compute_dag, [(known.steps, fit) for known in database.similar(task) for fit in Fit])
    near = [state for text, state in similar.items() if text not in own]
    scores = np.asarray(model.predict(task, near)) if near else np.zeros(0)
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] > max(0.0, _WORTH * scores.max())]
    return [*own.values(), *(near[i] for i in order)][:count]


def one_by_one(inputs: list[MeasureInput], measurer: ProgramMeasurer) -> list[MeasureResult]:
    """Measures by a ProgramMeasurer, which Python can hand no schedule but through a policy that has it for its first.

    `EmptyPolicy` measures the initial state of its task's DAG: each schedule gets a task of which it is that.
    """
    from tvm.auto_scheduler.search_policy import EmptyPolicy

    auto_scheduler, make_node = require_auto_scheduler(), require_tvm().ir.make_node
    results: list[MeasureResult] = []
    for inp in inputs:
        task, dag = inp.task, inp.task.compute_dag
        facts = {name: getattr(dag, name) for name in ("tensors", "ops", "flop_ct", "access_analyzer")}
        begun = auto_scheduler.SearchTask(
            compute_dag=make_node("auto_scheduler.ComputeDAG", init_state=inp.state, **facts),
            workload_key=task.workload_key,
            target=task.target,
            hardware_params=task.hardware_params,
            layout_rewrite_option=task.layout_rewrite_option,
            task_inputs=list(task.task_input_names) or None,
            desc=task.desc,
        )
        results += EmptyPolicy(begun).continue_search_one_round(1, measurer)[1]
    return results
