"""The memory of a GPU kernel: the loop nest of a stage with all stages computed inside."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_gnn_cost.stage_graph.arithmetic import product
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest
from tvm_gnn_cost.stage_graph.schedule import Annotation, ComputeAt


def kernel_root(nest: LoopNest, i: int) -> int:
    """The stage whose own loop nest stage i runs in."""
    how = nest.schedule.stages[i]
    while how.compute_at == ComputeAt.ITER and how.attach is not None:
        i = how.attach[0]
        how = nest.schedule.stages[i]
    return i


def buffer_bytes(nest: LoopNest, i: int) -> float:
    """Bytes of the buffer that one run of stage i fills."""
    stage, how = nest.computation.stages[i], nest.schedule.stages[i]
    extents: Sequence[float] = stage.axis_extents
    if how.compute_at == ComputeAt.ITER and how.attach is not None:
        extents = nest.spans(i, how.attach[0], how.attach[1], stage.scope == "shared")
    return product(extents[: len(stage.axis_extents)]) * stage.element_bytes


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
