"""The machine a task is compiled for: TVM's `HardwareParams`, and what the target's name tells of the processor."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.target_hardware import TargetLimits, target_hardware


def hardware_of(task: Any) -> Hardware:
    """The hardware of a `SearchTask`."""
    params, target = task.hardware_params, task.target
    limits = TargetLimits(**{field.name: int(getattr(params, field.name)) for field in fields(TargetLimits)})
    return target_hardware(limits, int(target.get_target_device_type()), target.attrs)
