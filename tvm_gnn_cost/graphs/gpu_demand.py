"""What a schedule asks of a GPU, against what `VerifyGPUCode` allows (`src/tir/analysis/verify_gpu_code.cc`).

`StorageRewrite` may let arrays share memory, so the sum over a kernel's arrays is an upper bound; arrays that one stage
reads live at the same time, so the sum over these is a lower one. A loop annotated "vectorize" may stay scalar. Virtual
threads count only where they stay a loop: TVM unrolls fewer than 16 around a statement of their own
(`src/tir/transforms/inject_virtual_thread.cc`), and then their number meets no limit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.arithmetic import product, ratio
from tvm_gnn_cost.graphs.buffers import buffer_bytes, kernel_memory, kernel_root
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import THREAD_ANNOTATIONS, Annotation, ComputeAt

RESOURCES = (
    "unequal_threads",
    "threads",
    "vthread",
    "shared_bytes_at_least",
    "shared_bytes_at_most",
    "local_bytes_at_most",
    "vector_bytes_at_most",
)
"""Columns: a flag; threads of a block and its largest virtual thread; bytes of a block; bytes of the widest access."""

_CERTAIN = 4
"""The first columns are at most what the lowered code has, the rest at least."""

_VTHREAD = RESOURCES.index("vthread")
_NOT_UNROLLED = 16
"""So many virtual threads always stay a loop."""


def resources(nest: LoopNest) -> NDArray[np.float64]:
    """Float64 (len(RESOURCES),): the largest demand of any kernel of the schedule."""
    demand = dict.fromkeys(RESOURCES, 0.0)
    bound: dict[tuple[int, int], int] = {}
    stages = nest.computation.stages
    for i, stage in enumerate(stages):
        if not stage.runs:
            continue
        root = kernel_root(nest, i)
        threads = 1.0
        for loop in nest.outer[i] + nest.loops[i]:
            if loop.annotation in THREAD_ANNOTATIONS:
                threads *= loop.extent
                if bound.setdefault((root, loop.annotation), loop.extent) != loop.extent:
                    demand["unequal_threads"] = 1.0
            elif loop.annotation == Annotation.VTHREAD:
                demand["vthread"] = max(demand["vthread"], float(loop.extent))
            elif loop.annotation == Annotation.VECTORIZE and loop.stage == i:
                width = float(loop.extent * _widest(nest, i))
                demand["vector_bytes_at_most"] = max(demand["vector_bytes_at_most"], width)
        demand["threads"] = max(demand["threads"], threads)
        demand["shared_bytes_at_least"] = max(demand["shared_bytes_at_least"], _shared_by(nest, i))
        if nest.placements[i].compute_at == ComputeAt.ROOT:
            demand["shared_bytes_at_most"] = max(demand["shared_bytes_at_most"], _shared_inside(nest, i))
            demand["local_bytes_at_most"] = max(demand["local_bytes_at_most"], kernel_memory(nest, i)[1])
    return np.array([demand[name] for name in RESOURCES])


def _shared_inside(nest: LoopNest, root: int) -> float:
    """Bytes of all shared arrays of the kernel of stage `root`, at most."""
    total = 0.0
    for j, stage in enumerate(nest.computation.stages):
        if stage.scope == "shared" and nest.inside(j, root, -1):
            total += min(buffer_bytes(nest, j), _copied_bytes(nest, j)[1])
    return total


def _copied_bytes(nest: LoopNest, j: int) -> tuple[float, float]:
    """(at least, at most) the bytes of the shared array of stage j, by the loops that fill it: TVM splits their product
    for the threads, and rounds the outermost loop up."""
    loops = nest.loops[j]
    if not loops or not all(loop.exact for loop in loops):
        return 0.0, float("inf")
    covered = product([loop.extent for loop in loops])
    bytes_each = float(nest.computation.stages[j].element_bytes)
    return (covered - ratio(covered, loops[0].extent) + 1.0) * bytes_each, covered * bytes_each


def _shared_by(nest: LoopNest, i: int) -> float:
    """Bytes of the shared arrays that stage i reads, at least."""
    total, counted = 0.0, set()
    for access in nest.computation.accesses:
        stage = nest.computation.stages[access.producer]
        if access.host != i or stage.scope != "shared" or access.producer in counted:
            continue
        if nest.placements[access.producer].attach is not None:
            counted.add(access.producer)
            exact = access.affine
            total += buffer_bytes(nest, access.producer) if exact else _copied_bytes(nest, access.producer)[0]
    return total


def _widest(nest: LoopNest, i: int) -> int:
    """Bytes of the widest element that a statement of stage i reads or writes."""
    reads = [nest.computation.access_bytes(a) for a in nest.computation.accesses if a.host == i]
    return max([*nest.computation.stages[i].outputs, *reads])


def limits(hardware: Hardware) -> NDArray[np.float64]:
    """Float64 (len(RESOURCES),): the most that the target allows."""
    return np.array(
        [
            0.0,
            float(hardware.max_threads),
            float(hardware.max_vthread),
            float(hardware.max_shared_bytes),
            float(hardware.max_shared_bytes),
            float(hardware.max_local_bytes),
            float(hardware.vector_bytes),
        ]
    )


def verdicts(demand: NDArray[np.float64], hardware: Hardware) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(breaks a limit for certain, in doubt) for `demand` of shape (number of states, len(RESOURCES))."""
    over = demand > limits(hardware)
    certain = over[:, :_CERTAIN].copy()
    certain[:, _VTHREAD] &= demand[:, _VTHREAD] >= _NOT_UNROLLED
    broken: NDArray[np.bool_] = np.any(certain, axis=1)
    doubtful: NDArray[np.bool_] = np.any(over, axis=1) & ~broken
    return broken, doubtful
