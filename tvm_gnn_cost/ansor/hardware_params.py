"""What the search should assume of a target's hardware."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

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
    shared, threads = (attributes.get(f"max_{what}_per_block") for what in ("shared_memory", "threads"))
    if target.kind.name in ("cuda", "rocm") and shared is not None and threads is not None:
        return _gpu_params(int(shared), int(threads), int(attributes.get("thread_warp_size") or 32))
    return None


def hardware_params_or_assumed(target: Target) -> HardwareParams | None:
    """As `hardware_params_for`, but where neither target nor device states a GPU's limits: those that GPUs have in
    common. Good for looking at schedules, not for tuning."""
    known = hardware_params_for(target)
    if known is not None or target.kind.name not in ("cuda", "rocm"):
        return known
    if require_tvm().device(target.kind.name).exist:
        return None
    logger.info("no %s device: 48 KiB of shared memory and 1024 threads a block are assumed", target.kind.name)
    return _gpu_params(49152, 1024, 32 if target.kind.name == "cuda" else 64)


def _gpu_params(shared_bytes: int, threads: int, warp: int) -> HardwareParams:
    return require_auto_scheduler().HardwareParams(
        num_cores=-1,
        vector_unit_bytes=16,
        cache_line_bytes=64,
        max_shared_memory_per_block=shared_bytes,
        max_local_memory_per_block=2**31 - 1,  # as TVM: CUDA states no limit
        max_threads_per_block=threads,
        max_vthread_extent=warp // 4,
        warp_size=warp,
    )
