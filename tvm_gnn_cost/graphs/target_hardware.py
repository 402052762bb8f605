"""What is assumed of the machine that a target names: the limits that TVM's auto_scheduler goes by, and the processor.

Plain values, as a target's attributes have them; both schedulers' sides come here, so that the same target is the same
hardware to the learner. The limits are those of `GetDefaultHardwareParams` (`src/auto_scheduler/search_task.cc`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.processors import processor

_GPU_DEVICE_TYPES = frozenset({2, 4, 7, 8, 10, 11})
"""DLPack's CUDA, OpenCL, Vulkan, Metal, ROCm and TVM's OpenGL."""


@dataclass(frozen=True)
class TargetLimits:
    """Sizes in bytes, limits for one thread block, named as in auto_scheduler's HardwareParams."""

    num_cores: int
    vector_unit_bytes: int
    cache_line_bytes: int
    max_shared_memory_per_block: int = 0
    max_local_memory_per_block: int = 0
    max_threads_per_block: int = 0
    max_vthread_extent: int = 0
    warp_size: int = 0


def cpu_limits(cores: int) -> TargetLimits:
    """Of a CPU."""
    return TargetLimits(cores, 64, 64)


def gpu_limits(shared_bytes: int, threads: int, warp: int) -> TargetLimits:
    """Of a GPU. It states no limit of local memory, as CUDA does not."""
    return TargetLimits(-1, 16, 64, shared_bytes, 2**31 - 1, threads, max(1, warp // 4), warp)


def stated_gpu_limits(attributes: Mapping[str, Any]) -> TargetLimits | None:
    """Those that a target's attributes state; None where they do not."""
    shared, threads = (attributes.get(f"max_{what}_per_block") for what in ("shared_memory", "threads"))
    if shared is None or threads is None:
        return None
    return gpu_limits(int(shared), int(threads), int(attributes.get("thread_warp_size") or 32))


def assumed_gpu_limits(kind: str) -> TargetLimits:
    """Those that GPUs of a kind of target have in common: 48 KiB of shared memory and 1024 threads a block."""
    return gpu_limits(49152, 1024, 64 if kind == "rocm" else 32)


def is_gpu_device(device_type: int) -> bool:
    """Whether a target's device is a GPU, as `IsGPUTask` decides it (`search_policy/utils.h`)."""
    return device_type in _GPU_DEVICE_TYPES


def target_hardware(limits: TargetLimits, device_type: int, attributes: Mapping[str, Any]) -> Hardware:
    """The hardware of a target with these limits; its attributes name the processor."""
    is_gpu = is_gpu_device(device_type)
    name = str(attributes.get("arch") or attributes.get("mcpu") or "")
    return Hardware(
        is_gpu=is_gpu,
        cores=max(1, limits.num_cores),
        vector_bytes=max(1, limits.vector_unit_bytes),
        cache_line_bytes=max(1, limits.cache_line_bytes),
        max_shared_bytes=max(0, limits.max_shared_memory_per_block) if is_gpu else 0,
        max_local_bytes=max(0, limits.max_local_memory_per_block) if is_gpu else 0,
        max_threads=max(0, limits.max_threads_per_block) if is_gpu else 0,
        max_vthread=max(0, limits.max_vthread_extent) if is_gpu else 0,
        warp_size=max(0, limits.warp_size) if is_gpu else 0,
        processor=processor(name, is_gpu),
    )
