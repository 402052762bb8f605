"""The buffers of a schedule's stages, and the memory of a GPU kernel: a stage's loop nest with all that runs inside."""

from __future__ import annotations

from tvm_gnn_cost.graphs.arithmetic import product
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation


def kernel_root(nest: LoopNest, i: int) -> int:
    """The stage whose own loop nest stage i runs in."""
    attach = nest.placements[i].attach
    while attach is not None:
        i = attach[0]
        attach = nest.placements[i].attach
    return i


def buffer_shape(nest: LoopNest, i: int) -> tuple[int, ...]:
    """The extents of the buffer that one run of stage i fills."""
    return nest.extents_to_cover(i)[: len(nest.computation.stages[i].axis_extents)]


def buffer_bytes(nest: LoopNest, i: int) -> float:
    """Bytes of the buffer that one run of stage i fills."""
    return product(buffer_shape(nest, i)) * nest.computation.stages[i].element_bytes


def kernel_memory(nest: LoopNest, i: int) -> tuple[float, float]:
    """Shared bytes of a block, and local bytes of a thread, of the kernel that stage i belongs to."""
    root = kernel_root(nest, i)
    shared = local = 0.0
    for j, stage in enumerate(nest.computation.stages):
        if not nest.inside(j, root, -1):
            continue
        size = buffer_bytes(nest, j)
        if stage.scope == "shared":
            shared += size
        else:
            local += size * product([x.extent for x in nest.outer[j] if x.annotation == Annotation.VTHREAD])
    return shared, local
