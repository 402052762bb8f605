"""The machine that schedules are compiled for: what limits them, and its processor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.arithmetic import log2p
from tvm_gnn_cost.graphs.processors import Processor
from tvm_gnn_cost.graphs.schema import CACHES, HARDWARE_FEATURES


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
