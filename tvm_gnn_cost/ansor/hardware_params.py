"""What the search should assume of a target's hardware."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from tvm_gnn_cost.graphs.target_hardware import TargetLimits, assumed_gpu_limits, stated_gpu_limits
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm

if TYPE_CHECKING:
    from tvm.auto_scheduler import HardwareParams
    from tvm.target import Target

logger = logging.getLogger(__name__)


def hardware_params_for(target: Target) -> HardwareParams | None:
    """What the search should assume of `target`: a CPU's `-num-cores`, a GPU's limits where the target states them.

    None leaves it to TVM, which asks the device and so needs one for a GPU.
    """
    auto_scheduler = require_auto_scheduler()
    attributes = target.attrs
    if target.kind.name == "llvm" and attributes.get("num-cores"):
        return auto_scheduler.HardwareParams(num_cores=int(attributes["num-cores"]), target=target)
    limits = stated_gpu_limits(attributes) if target.kind.name in ("cuda", "rocm") else None
    return None if limits is None else _params(limits)


def hardware_params_or_assumed(target: Target) -> HardwareParams | None:
    """As `hardware_params_for`, but where neither target nor device states a GPU's limits: those that GPUs have in
    common. Good for looking at schedules, not for tuning."""
    known = hardware_params_for(target)
    if known is not None or target.kind.name not in ("cuda", "rocm"):
        return known
    if require_tvm().device(target.kind.name).exist:
        return None
    logger.info("no %s device: 48 KiB of shared memory and 1024 threads a block are assumed", target.kind.name)
    return _params(assumed_gpu_limits(target.kind.name))


def _params(limits: TargetLimits) -> HardwareParams:
    return require_auto_scheduler().HardwareParams(**asdict(limits))
