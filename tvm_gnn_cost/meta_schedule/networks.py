"""The tasks of a network: what MetaSchedule extracts from it, each once, with how often it occurs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.meta_schedule.api import ms, normalized_module
from tvm_gnn_cost.meta_schedule.tasks import TuningTask, with_cores
from tvm_gnn_cost.meta_schedule.workload_names import module_hash
from tvm_gnn_cost.networks import without_downloads, without_remarks
from tvm_gnn_cost.system.find_tvm import has_relay

if TYPE_CHECKING:
    from tvm.target import Target

    from tvm_gnn_cost.networks import Network


def network_tasks(network: Network, target: Target) -> tuple[list[TuningTask], list[float]]:
    """The tasks of a network, a Relay program up to TVM 0.19 and a Relax program since, and how often each occurs.

    Raises WorkloadError where MetaSchedule finds nothing to tune.
    """
    made_for = with_cores(target)
    try:
        extracted = _extracted(network, made_for)
    except Exception as error:  # of TVM's passes, of many kinds
        raise WorkloadError(f"MetaSchedule cannot extract the tasks of {network.name}: {last_line(error)}") from error
    tasks = [_task(found, made_for) for found in extracted]
    if not tasks:
        raise WorkloadError(f"MetaSchedule finds nothing to tune in {network.name}")
    return tasks, [float(found.weight) for found in extracted]


def _extracted(network: Network, target: Target) -> list[Any]:
    """MetaSchedule's ExtractedTasks."""
    if not has_relay():
        return list(ms.relax_integration.extract_tasks(network.mod, target, network.params))
    with without_downloads(), without_remarks():
        return list(ms.relay_integration.extract_tasks(network.mod, target, network.params))


def _task(found: Any, target: Target) -> TuningTask:
    """The task of an ExtractedTask. What it computes has no name but the module's hash."""
    module = normalized_module(found.dispatched[0])
    return TuningTask(str(found.task_name), module, target, json.dumps([f"tir {module_hash(module)}"]))
