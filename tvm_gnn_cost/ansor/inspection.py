"""One schedule made visible: its loop nests, what flows between its stages, and what the cost model makes of them.

The adapter between TVM's states and the plain views that `report` writes and draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.ansor.cost_model import GNNCostModel
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.errors import InvalidArgumentError, last_line
from tvm_gnn_cost.graphs.schedule_view import ScheduleView, view_schedule
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

_SAMPLED = 4


def inspect_state(task: Any, state: Any, model: GNNCostModel, *, title: str, notes: Sequence[str] = ()) -> ScheduleView:
    """The view of one state of `task`; stages are scored if the model is warm.

    `notes` go below the title, before what the model says. Raises InvalidArgumentError for a state that cannot be read.
    """
    try:
        inferred = task.compute_dag.infer_bound_from_state(state)
        nest = make_builder(task).loop_nest(inferred)
    except Exception as error:  # whatever TVM trips over when it replays the steps
        raise InvalidArgumentError(f"the schedule cannot be read: {last_line(error)}") from error
    score = float(model.predict(task, [inferred])[0])  # before is_warm: the first task chooses the network
    time_shares = model.time_shares(task, inferred) if model.is_warm else None
    stages = inferred.state_object.stages
    return view_schedule(
        nest,
        [[str(loop.name) for loop in stage.iters] for stage in stages],
        [", ".join(str(stage.op.output(i).dtype) for i in range(stage.op.num_outputs)) for stage in stages],
        title=title,
        notes=[*notes, model.describe_score(score)],
        score=score if model.is_warm else None,
        time_shares=time_shares,
    )


def sample_state(task: Any, seed: int, model: GNNCostModel) -> Any:
    """A schedule from TVM's sampling, the first that the target can run (else the first). The same for the same seed.

    Raises InvalidArgumentError where TVM finds none.
    """
    auto_scheduler = require_auto_scheduler()
    params = {"sample_init_min_population": _SAMPLED, "evolutionary_search_population": 4 * _SAMPLED}
    policy = auto_scheduler.SketchPolicy(task, verbose=0, seed=seed + 1, params=params)  # a seed of 0 means random
    states = list(policy.sample_initial_population())[:_SAMPLED]
    if not states:
        raise InvalidArgumentError(f"TVM samples no schedule of {task.desc or task.workload_key} for {task.target}")
    scores = model.predict(task, states)
    return next((state for state, score in zip(states, scores, strict=True) if math.isfinite(score)), states[0])
