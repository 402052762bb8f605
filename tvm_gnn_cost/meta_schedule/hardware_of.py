"""The machine that candidates are compiled for: MetaSchedule has no hardware parameters, the target alone tells."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.target_hardware import (
    TargetLimits,
    assumed_gpu_limits,
    cpu_limits,
    is_gpu_device,
    stated_gpu_limits,
    target_hardware,
)
from tvm_gnn_cost.system.find_tvm import require_tvm


def hardware_of(target: Any) -> Hardware:
    """The hardware of a `Target`: the same that auto_scheduler's tasks on it have.

    A CPU that names no `num-cores` has as many as TVM uses here; a GPU that states no limits has those that GPUs have
    in common.
    """
    device_type = int(target.get_target_device_type())
    return target_hardware(_limits(target, device_type), device_type, target.attrs)


def _limits(target: Any, device_type: int) -> TargetLimits:
    attributes = target.attrs
    if is_gpu_device(device_type):
        return stated_gpu_limits(attributes) or assumed_gpu_limits(str(target.kind.name))
    return cpu_limits(int(attributes.get("num-cores") or 0) or int(require_tvm().runtime.num_threads()))
