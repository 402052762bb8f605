"""Which errors mean that memory ran out: torch has a class of its own for a GPU's memory only."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is of an allocation that failed, on the CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # c10/core/impl/alloc_cpu.cpp
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
