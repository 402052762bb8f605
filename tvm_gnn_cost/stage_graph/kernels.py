"""The memory of a GPU kernel: the loop nest of a stage with all stages computed inside."""

from __future__ import annotations

from tvm_gnn_cost.stage_graph.arithmetic import product
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest
from tvm_gnn_cost.stage_graph.schedule import Annotation, ComputeAt


def kernel_memory(nest: LoopNest, i: int) -> tuple[float, float]:
    """Shared bytes of a block, and local bytes of a thread, of the kernel that stage i belongs to."""
    computation, schedule = nest.computation, nest.schedule
    root = i
    while True:
        how = schedule.stages[root]
        if how.compute_at != ComputeAt.ITER or how.attach is None:
            break
        root = how.attach[0]
    shared = local = 0.0
    for j, stage in enumerate(computation.stages):
        how = schedule.stages[j]
        if how.compute_at != ComputeAt.ITER or how.attach is None or not nest.inside(j, root, -1):
            continue
        is_shared = stage.scope == "shared"
        spans = nest.spans(j, how.attach[0], how.attach[1], is_shared)
        size = product(spans[: len(stage.axis_extents)]) * stage.element_bytes
        if is_shared:
            shared += size
        else:
            local += size * product([x.extent for x in nest.outer[j] if x.annotation == Annotation.VTHREAD])
    return shared, local
