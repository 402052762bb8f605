"""Whether TVM may pack a task's weights to suit its schedules ("layout rewrite"), and can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

_SAMPLED = 4
"""Schedules on which a rewrite is tried."""


def rewrites_layouts(target: Any) -> bool:
    """Whether TVM packs weights for this target when it tunes a network."""
    option = require_auto_scheduler().LayoutRewriteOption
    return bool(option.get_target_default(target, True) != option.NO_REWRITE)


def layout_free_inputs(tensors: Sequence[Any]) -> list[Any]:
    """The tensors whose layout a schedule may choose, of all stages that `tensors` are computed by."""
    found: list[Any] = []
    seen: set[Any] = set()
    pending = [tensor.op for tensor in tensors]
    while pending:
        op = pending.pop()
        if op in seen:
            continue
        seen.add(op)
        found.extend(
            op.attrs["layout_free_placeholders"] if op.attrs and "layout_free_placeholders" in op.attrs else ()
        )
        pending.extend(tensor.op for tensor in op.input_tensors)
    return found


def can_be_rewritten(task: Any) -> bool:
    """Whether TVM can pack the task's weights: whether sampled schedules of it can be lowered with the rewrite.

    Raises nothing: TVM's own verdict on each schedule counts, and one that fails is enough for a no.
    """
    auto_scheduler = require_auto_scheduler()
    import tvm

    option = auto_scheduler.LayoutRewriteOption.REWRITE_FOR_PRE_TRANSFORMED
    free = layout_free_inputs(list(task.compute_dag.tensors))
    # TVM takes it for a placeholder without a look, and ends the process where it is none
    if not free or any(not isinstance(tensor.op, tvm.te.PlaceholderOp) for tensor in free):
        return False
    params = {"sample_init_min_population": _SAMPLED, "evolutionary_search_population": 16}
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=params, seed=1, verbose=0)
    try:
        for state in list(policy.sample_initial_population())[:_SAMPLED]:
            schedule, tensors = task.compute_dag.apply_steps_from_state(state, option)
            with task.target:
                tvm.driver.build_module.schedule_to_module(schedule, tensors)
    except Exception:  # TVM raises many kinds of error
        return False
    return True
