"""CPU schedules that TVM lowers but cannot build: a buffer or a vector whose size changes between iterations.

Where its readers' indices are not linear (a transposed convolution reads `h // 2` on condition of `h % 2`), TVM gives a
stage that is computed inside others symbolic extents. `StorageRewrite` then lifts the stage's buffer to the body of the
parallel loop (`src/tir/transforms/storage_rewrite.cc`), above the loops that its size depends on, and the build ends in
"variable has been used before definition"; a vectorized loop of symbolic extent ends it in "failed to vectorize loop".
Only a size that depends on the parallel loop alone can be built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.ansor.states.derivation import steps_by_stage
from tvm_gnn_cost.ansor.states.schedule import UNKNOWN_EXTENT, Schedule, Step, StepKind
from tvm_gnn_cost.graphs.loops import Annotation


def can_be_allocated(schedule: Schedule, state: Any) -> bool:
    """Whether every buffer's size is known where TVM allocates it; `state` is the CPU StateObject of the schedule."""
    steps = steps_by_stage(schedule)
    for i, how in enumerate(schedule.stages):
        symbolic = [n for n, loop in enumerate(how.loops) if loop.extent == UNKNOWN_EXTENT]
        if how.attach is None or not symbolic:
            continue
        if any(how.loops[n].annotation == Annotation.VECTORIZE for n in symbolic):
            return False
        path = _attach_path(schedule, i)
        stages = state.stages
        known = _parallel_loop(schedule, path, steps, stages)
        iters = stages[i].iters
        if any(_variables(iters[n].range.extent) - known for n in symbolic):
            return False
    return True


def _attach_path(schedule: Schedule, i: int) -> list[tuple[int, int]]:
    """(stage, last loop) of every stage that stage i is computed in, outermost first."""
    path: list[tuple[int, int]] = []
    attach = schedule.stages[i].attach
    while attach is not None:
        path.insert(0, attach)
        attach = schedule.stages[attach[0]].attach
    return path


def _parallel_loop(
    schedule: Schedule, path: Sequence[tuple[int, int]], steps: Sequence[Sequence[Step]], stages: Any
) -> set[str]:
    """The names of the loops from the outermost to the parallel one; none where no loop of the path is parallel."""
    names: set[str] = set()
    for stage, last in path:
        found = _loop_names(stages[stage].op, steps[stage])
        for n, loop in enumerate(schedule.stages[stage].loops[: last + 1]):
            if n < len(found):
                names.add(found[n])
            if loop.annotation == Annotation.PARALLEL:
                return names
    return set()


def _loop_names(op: Any, steps: Sequence[Step]) -> list[str]:
    """What `te` calls the variables of the stage's loops (`src/te/schedule/schedule_lang.cc`)."""
    names = [str(axis.var.name) for axis in (*op.axis, *op.reduce_axis)]
    for step in steps:
        if step.kind == StepKind.SPLIT:
            name, count = names[step.index], len(step.values)
            if step.inner_to_outer:
                pieces = [name + ".outer" * (count - n) + (".inner" if n else "") for n in range(count + 1)]
            else:
                pieces = [name + ".inner" * n + ".outer" for n in range(count)] + [name + ".inner" * count]
            names[step.index : step.index + 1] = pieces
        elif step.kind == StepKind.FUSE and step.values:
            first, last = step.values[0], step.values[-1]
            fused = names[first]
            for name in names[first + 1 : last + 1]:
                fused = f"{fused}.{name}.fused"
            names[first : last + 1] = [fused]
        elif step.kind == StepKind.REORDER:
            names = [names[n] for n in step.values]
    return names


def _variables(expression: Any) -> set[str]:
    from tvm.tir import Var
    from tvm.tir.stmt_functor import post_order_visit

    names: set[str] = set()
    post_order_visit(expression, lambda node: names.add(str(node.name)) if isinstance(node, Var) else None)
    return names
