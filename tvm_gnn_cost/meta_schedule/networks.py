"""The tasks of a network: what MetaSchedule extracts from it, each once, with how often it occurs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.tasks import TuningTask, with_cores
from tvm_gnn_cost.meta_schedule.workload_names import module_hash

if TYPE_CHECKING:
    from tvm.target import Target

    from tvm_gnn_cost.networks import Network


def network_tasks(network: Network, target: Target) -> tuple[list[TuningTask], list[float]]:
    """The tasks of a Relay network, and how often each occurs.

    Raises WorkloadError where the TVM has no Relay, or MetaSchedule finds nothing to tune.
    """
    if not hasattr(ms, "relay_integration"):
        raise WorkloadError(
            f"{network.name} is a Relay program, and this TVM has no Relay: name a workload, or tune it with TVM 0.19"
        )
    made_for = with_cores(target)
    try:
        extracted = ms.relay_integration.extract_tasks(network.mod, made_for, network.params)
    except Exception as error:  # of TVM's passes, of many kinds
        raise WorkloadError(f"MetaSchedule cannot extract the tasks of {network.name}: {last_line(error)}") from error
    tasks = [_task(found) for found in extracted]
    if not tasks:
        raise WorkloadError(f"MetaSchedule finds nothing to tune in {network.name}")
    return tasks, [float(found.weight) for found in extracted]


def _task(found: Any) -> TuningTask:
    """The task of an ExtractedTask. Its name is not what it computes: that is the module."""
    module = found.dispatched[0]
    return TuningTask(str(found.task_name), module, found.target, json.dumps([f"tir {module_hash(module)}"]))
