"""The machine a task is compiled for: TVM's `HardwareParams`, and what the target's name tells of the processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.stage_graph.arithmetic import log2p
from tvm_gnn_cost.stage_graph.processors import Processor, processor
from tvm_gnn_cost.stage_graph.schema import CACHES, HARDWARE_FEATURES

_GPU_DEVICE_TYPES = frozenset({2, 4, 7, 8, 10, 11})
"""DLPack's CUDA, OpenCL, Vulkan, Metal, ROCm and TVM's OpenGL."""


@dataclass(frozen=True)
class Hardware:
    """Sizes in bytes, limits for one thread block. Zero where the target has no such thing.

    `vector_bytes` is the vector unit that TVM's limits go by, `simd_bytes` that of the processor.
    """

    is_gpu: bool
    cores: int
    vector_bytes: int
    cache_line_bytes: int
    max_shared_bytes: int
    max_local_bytes: int
    max_threads: int
    max_vthread: int
    warp_size: int
    processor: Processor

    @property
    def simd_bytes(self) -> int:
        """The widest vector register of a CPU; the widest load of a GPU's thread."""
        return self.processor.simd_bytes if self.processor.is_known else self.vector_bytes

    @property
    def cache_bytes(self) -> tuple[float, ...]:
        """What each of `schema.CACHES` holds; a level that the processor lacks holds what the one before it does."""
        p = self.processor
        sizes = [float(p.register_bytes)]
        for size in (p.l1_bytes, p.l2_bytes, p.l3_bytes):
            sizes.append(max(float(size), sizes[-1]))
        return tuple(sizes)

    @staticmethod
    def of(task: Any) -> Hardware:
        """The hardware of a `SearchTask`. TVM decides what is a GPU as `IsGPUTask` does (search_policy/utils.h)."""
        p = task.hardware_params
        is_gpu = int(task.target.get_target_device_type()) in _GPU_DEVICE_TYPES
        return Hardware(
            is_gpu,
            max(1, int(p.num_cores)) if int(p.num_cores) > 0 else 1,
            max(1, int(p.vector_unit_bytes)),
            max(1, int(p.cache_line_bytes)),
            max(0, int(p.max_shared_memory_per_block)) if is_gpu else 0,
            max(0, int(p.max_local_memory_per_block)) if is_gpu else 0,
            max(0, int(p.max_threads_per_block)) if is_gpu else 0,
            max(0, int(p.max_vthread_extent)) if is_gpu else 0,
            max(0, int(p.warp_size)) if is_gpu else 0,
            processor(_processor_name(task.target), is_gpu),
        )

    def features(self) -> NDArray[np.float64]:
        """float64 (len(HARDWARE_FEATURES),)."""
        values = {
            "is_gpu": float(self.is_gpu),
            "processor_known": float(self.processor.is_known),
            "cores": log2p(self.cores),
            "vector_bytes": log2p(self.simd_bytes),
            "cache_line_bytes": log2p(self.cache_line_bytes),
            **{f"{name}_bytes": log2p(size) for name, size in zip(CACHES, self.cache_bytes, strict=True)},
            "clock": self.processor.clock_ghz,
            "max_shared_bytes": log2p(self.max_shared_bytes),
            "max_threads": log2p(self.max_threads),
            "warp_size": log2p(self.warp_size),
        }
        return np.array([values[f.name] for f in HARDWARE_FEATURES])


def _processor_name(target: Any) -> str:
    """The CPU or GPU architecture that a target names, "" if none."""
    attributes = target.attrs
    return str(attributes.get("arch") or attributes.get("mcpu") or "")
