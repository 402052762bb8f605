"""The tuning tasks of a Relay network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.fused_functions import FusedFunction
from tvm_gnn_cost.ansor.hardware_params import hardware_params_for
from tvm_gnn_cost.ansor.layout_rewrite import can_be_rewritten, layout_free_inputs, rewrites_layouts
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.target import Target


def tuning_tasks(functions: Sequence[FusedFunction], target: Target) -> tuple[list[SearchTask], list[int]]:
    """A task for each workload among the functions that is worth tuning, and how often the network runs it.

    A task's weights are packed ("layout rewrite") where TVM can do it, and where it costs the network nothing: the
    weights are constants, so they are packed once, when the network is compiled.
    """
    by_key: dict[str, list[FusedFunction]] = {}
    for function in functions:
        if function.is_complex and function.workload_key is not None:
            by_key.setdefault(function.workload_key, []).append(function)
    tasks = [_make_task(key, same, target) for key, same in by_key.items()]
    return tasks, [sum(function.uses for function in same) for same in by_key.values()]


def _make_task(key: str, functions: Sequence[FusedFunction], target: Target) -> SearchTask:
    auto_scheduler = require_auto_scheduler()
    options = auto_scheduler.LayoutRewriteOption
    dag = auto_scheduler.ComputeDAG(key)
    arguments: dict[str, Any] = {
        "workload_key": key,
        "compute_dag": dag,
        "target": target,
        "hardware_params": hardware_params_for(target),
        "task_inputs": list(auto_scheduler.measure.prepare_input_map(list(dag.tensors), key).values()) or None,
        "task_inputs_save_to_file": True,
        "desc": ",".join(function.name for function in functions),
    }
    task = auto_scheduler.SearchTask(layout_rewrite_option=options.get_target_default(target, True), **arguments)
    if not rewrites_layouts(target) or not layout_free_inputs(list(dag.tensors)):
        return task
    if all(function.free_is_constant for function in functions) and can_be_rewritten(task):
        return task
    return auto_scheduler.SearchTask(layout_rewrite_option=options.NO_REWRITE, **arguments)
