"""The machine a task is compiled for: TVM's `HardwareParams`, and what the target's name tells of the processor."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.processors import processor

_GPU_DEVICE_TYPES = frozenset({2, 4, 7, 8, 10, 11})
"""DLPack's CUDA, OpenCL, Vulkan, Metal, ROCm and TVM's OpenGL."""


def hardware_of(task: Any) -> Hardware:
    """The hardware of a `SearchTask`. TVM decides what is a GPU as `IsGPUTask` does (search_policy/utils.h)."""
    p = task.hardware_params
    is_gpu = int(task.target.get_target_device_type()) in _GPU_DEVICE_TYPES
    return Hardware(
        is_gpu=is_gpu,
        cores=max(1, int(p.num_cores)),
        vector_bytes=max(1, int(p.vector_unit_bytes)),
        cache_line_bytes=max(1, int(p.cache_line_bytes)),
        max_shared_bytes=max(0, int(p.max_shared_memory_per_block)) if is_gpu else 0,
        max_local_bytes=max(0, int(p.max_local_memory_per_block)) if is_gpu else 0,
        max_threads=max(0, int(p.max_threads_per_block)) if is_gpu else 0,
        max_vthread=max(0, int(p.max_vthread_extent)) if is_gpu else 0,
        warp_size=max(0, int(p.warp_size)) if is_gpu else 0,
        processor=processor(_processor_name(task.target), is_gpu),
    )


def _processor_name(target: Any) -> str:
    """The CPU or GPU architecture that a target names, "" if none."""
    attributes = target.attrs
    return str(attributes.get("arch") or attributes.get("mcpu") or "")
