"""What a stage computes of its axes besides linear indices: why a program with constant extents may not build.

Where an axis is in another computation (`x[i // 2]`, `tir.Select(i < j, ...)`), a vector that runs along it makes
vectors of that; where a value is computed of it (`i.astype("float32") * 0.5`), there are floats unless its loop is
unrolled away. Compilers may refuse to bind these to variables (`cpu_build`). A schedule without either builds.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from enum import IntEnum
from math import prod
from typing import Any

from tvm_gnn_cost.ansor.states.derivation import steps_by_stage
from tvm_gnn_cost.ansor.states.schedule import Schedule, StageSchedule, Step, StepKind
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt


class Use(IntEnum):
    """The strongest use of an axis."""

    LINEAR = 0
    """In linear indices, and in conditions of integers, which vectors are taken apart for."""

    NONLINEAR = 1
    """In another computation of integers."""

    VALUE = 2
    """In a computation of floats."""


Uses = tuple[Use, ...]
"""Of every axis of a stage: the spatial ones, then those of its reduction."""


def axis_uses(operations: Sequence[Any], inlined: Sequence[bool] | None = None) -> list[Uses]:
    """The uses of every te operation's axes; an operation comes behind those that it reads.

    Args:
        operations: N of them.
        inlined: (N,) which are computed inline: their uses count as those of what reads them. None for any of them.
    """
    uses: list[Uses] = []
    inline: dict[Any, Uses] = {}
    for i, operation in enumerate(operations):
        uses.append(_uses(operation, inline))
        if inlined is None or inlined[i]:
            inline[operation] = uses[i]
    return uses


def is_plain(task: Any) -> bool:
    """Whether no schedule of the task's search makes a nonlinear use of an axis, but for vectors along several axes."""
    operations = task.compute_dag.ops
    if any(use > Use.LINEAR for uses in axis_uses(operations) for use in uses):
        return False
    return not any(_rfactor_may_be_nonlinear(operation, task) for operation in operations)


def _rfactor_may_be_nonlinear(operation: Any, task: Any) -> bool:
    """Whether a reduction may be split after its axes were fused, and these do not lie side by side in what it reads.

    When the search does so: `NeedsRfactor` (`src/auto_scheduler/search_policy/utils.h`).
    """
    axes = list(getattr(operation, "reduce_axis", ()))
    if len(axes) < 2:
        return False
    loads = [load for body in operation.body for load in _reads(body)]
    if all(_lie_side_by_side(axes, load) for load in loads):
        return False
    spatial = [axis.var for axis in operation.axis if _extent(axis) != 1]
    has_reuse = any(not set(spatial) <= set(_variables(load)) for load in loads)
    space, reduced = prod(_extent(axis) for axis in operation.axis), prod(_extent(axis) for axis in axes)
    return not has_reuse or (space <= reduced and space <= 16 * int(task.hardware_params.num_cores))


def _lie_side_by_side(axes: Sequence[Any], load: Any) -> bool:
    """Whether the axes, in order, are dimensions that follow each other, so that fused they are one linear index."""
    indices, shape = list(load.indices), list(load.producer.shape)
    wanted = [axis.var for axis in axes]
    begin = next((n for n, index in enumerate(indices) if index.same_as(wanted[0])), len(indices))
    found = indices[begin : begin + len(wanted)]
    return (
        len(found) == len(wanted)
        and all(index.same_as(variable) for index, variable in zip(found, wanted, strict=True))
        and [int(size) for size in shape[begin : begin + len(wanted)]] == [_extent(axis) for axis in axes]
        and sum(variable.same_as(other) for other in _variables(load) for variable in wanted) == len(wanted)
    )


def _extent(axis: Any) -> int:
    """0 where it is no constant."""
    return int(getattr(axis.dom.extent, "value", 0))


def stages_in_doubt(schedule: Schedule, uses: Sequence[Uses]) -> list[int]:
    """The stages where a vector runs along an axis that is used nonlinearly, or along several axes at once, or floats
    are computed of an axis that is not unrolled; `uses` are those of the schedule's stages."""
    all_steps = steps_by_stage(schedule)
    return [
        i
        for i, (stage, steps, axes) in enumerate(zip(schedule.stages, all_steps, uses, strict=True))
        if stage.compute_at != ComputeAt.INLINED and axes and _is_in_doubt(stage, steps, axes)
    ]


def _is_in_doubt(stage: StageSchedule, steps: Sequence[Step], axes: Uses) -> bool:
    covered = _axes_of_loops(len(axes), steps)
    if len(covered) != len(stage.loops):
        return True
    for loop, of_loop in zip(stage.loops, covered, strict=True):
        use = max((axes[a] for a in of_loop), default=Use.LINEAR)
        if loop.annotation == Annotation.VECTORIZE and (use > Use.LINEAR or len(of_loop) > 1):
            return True
        if use == Use.VALUE and loop.annotation != Annotation.UNROLL and loop.extent != 1:
            return True
    return False


def what_decides(schedule: Schedule, stages: Sequence[int]) -> Hashable:
    """What the programs of these stages have in common with those of other schedules: equal for equal programs.

    That is the loops of the stages and of those that they are computed in, and where every stage is computed, which
    says how large the buffers are.
    """
    all_steps, around = steps_by_stage(schedule), set(stages)
    for i in sorted(stages, reverse=True):  # consumers come later
        attach = schedule.stages[i].attach
        while attach is not None and attach[0] not in around:
            around.add(attach[0])
            attach = schedule.stages[attach[0]].attach
    places = tuple((stage.compute_at, stage.attach) for stage in schedule.stages)
    loops = tuple((i, schedule.stages[i].loops, tuple(all_steps[i])) for i in sorted(around))
    return schedule.structure(), places, loops


def reason_of(schedule: Schedule, stages: Sequence[int], uses: Sequence[Uses]) -> Hashable:
    """Why these stages are in doubt, extents aside: where each is computed, and along which axes its loops run that are
    vectors or unrolled; `uses` are those of the schedule's stages."""
    all_steps = steps_by_stage(schedule)
    reasons = []
    for i in stages:
        loops = schedule.stages[i].loops
        axes = _axes_of_loops(len(uses[i]), all_steps[i])
        marked = tuple(
            (loop.annotation, of_loop)
            for loop, of_loop in zip(loops, axes, strict=False)
            if loop.annotation in (Annotation.VECTORIZE, Annotation.UNROLL)
        )
        reasons.append((i, schedule.stages[i].compute_at, marked))
    structure = schedule.structure()
    return structure.inlined, tuple(insert[:2] for insert in structure.inserts), tuple(reasons)


def _axes_of_loops(count: int, steps: Sequence[Step]) -> list[frozenset[int]]:
    """Which of the axes every loop runs along, after SPLIT, FUSE and REORDER steps on one loop an axis."""
    loops = [frozenset((a,)) for a in range(count)]
    for step in steps:
        if step.kind == StepKind.SPLIT:
            loops[step.index : step.index + 1] = [loops[step.index]] * (len(step.values) + 1)
        elif step.kind == StepKind.FUSE and step.values:
            first, last = step.values[0], step.values[-1]
            loops[first : last + 1] = [frozenset().union(*loops[first : last + 1])]
        elif step.kind == StepKind.FUSE:
            loops.append(frozenset())
        else:
            loops = [loops[i] for i in step.values]
    return loops


def _uses(operation: Any, inline: Mapping[Any, Uses]) -> Uses:
    from tvm import te

    if isinstance(operation, te.PlaceholderOp):
        return ()
    axes = [axis.var for axis in (*operation.axis, *operation.reduce_axis)]
    if not isinstance(operation, te.ComputeOp):
        return (Use.VALUE,) * len(axes)
    reader = _Reader(inline, [*operation.axis, *operation.reduce_axis])
    for body in operation.body:
        reader.value(body)
    return tuple(reader.uses.get(axis, Use.LINEAR) for axis in axes)


class _Reader:
    """Collects the uses of variables in expressions; `inline` has those of the axes of what may be computed inline.

    Within the extents of `axes` an index may be linear that does not look so: `co // 64` of 64 channels is 0.
    """

    def __init__(self, inline: Mapping[Any, Uses], axes: Sequence[Any]) -> None:
        from tvm.arith import Analyzer

        self.uses: dict[Any, Use] = {}
        self._inline = inline
        self._analyzer = Analyzer()
        for axis in axes:
            self._analyzer.bind(axis.var, axis.dom)

    def value(self, e: Any) -> None:
        """An expression whose value is computed."""
        from tvm import tir

        if isinstance(e, tir.ProducerLoad):
            self._load(e)
        elif isinstance(e, tir.Reduce):
            for part in (*e.source, *e.init):
                self.value(part)
            self._condition(e.condition)
        elif isinstance(e, tir.Call):
            conditional = getattr(e.op, "name", "") == "tir.if_then_else"
            if conditional:
                self._condition(e.args[0])
            for part in e.args[int(conditional) :]:
                self.value(part)
        elif _is_linear(e):
            for load in _reads(e):
                self._load(load)
        else:
            parts = _operands(e)
            if parts is None or not _reads(e):
                self._note(_variables(e), Use.VALUE if _has_floats(e) or parts is None else Use.NONLINEAR)
            for part in parts or ():
                if isinstance(e, tir.Select) and part.same_as(e.condition):
                    self._note(_variables(part), Use.VALUE if _has_floats(part) else Use.NONLINEAR)
                self.value(part)

    def _load(self, load: Any) -> None:
        uses = self._inline.get(load.producer.op, ())
        for dimension, index in enumerate(load.indices):
            is_linear = _is_linear(index)
            if not is_linear:
                index = self._analyzer.simplify(index)
                is_linear = _is_linear(index)
            variables = _variables(index)
            if dimension < len(uses):
                self._note(variables, uses[dimension])
            if not is_linear:
                self._note(variables, Use.VALUE if _has_floats(index) else Use.NONLINEAR)
            for inner in _reads(index):
                self._load(inner)

    def _condition(self, condition: Any) -> None:
        if _has_floats(condition):
            self._note(_variables(condition), Use.VALUE)
        for load in _reads(condition):
            self._load(load)

    def _note(self, variables: Sequence[Any], use: Use) -> None:
        for variable in variables:
            self.uses[variable] = max(use, self.uses.get(variable, Use.LINEAR))


def _is_linear(e: Any) -> bool:
    """Whether an expression is a sum of scalar integers times variables or reads; a constant is."""
    from tvm import tir

    if isinstance(e, tir.IntImm | tir.FloatImm | tir.StringImm | tir.Var | tir.ProducerLoad):
        return True
    if isinstance(e, tir.Add | tir.Sub):
        return not _has_floats(e) and _is_linear(e.a) and _is_linear(e.b)
    if isinstance(e, tir.Mul):
        return not _has_floats(e) and _is_linear(e.a) and _is_linear(e.b) and not (_variables(e.a) and _variables(e.b))
    return isinstance(e, tir.Cast) and not _has_floats(e) and _is_linear(e.value)


def _operands(e: Any) -> tuple[Any, ...] | None:
    """The expressions in an operator; None for what is none."""
    from tvm import tir

    if isinstance(e, tir.Select):
        return e.condition, e.true_value, e.false_value
    if isinstance(e, tir.Cast):
        return (e.value,)
    if isinstance(e, tir.Not):
        return (e.a,)
    return (e.a, e.b) if hasattr(e, "a") and hasattr(e, "b") else None


def _visit(e: Any) -> list[Any]:
    from tvm.tir.stmt_functor import post_order_visit

    nodes: list[Any] = []
    post_order_visit(e, nodes.append)
    return nodes


def _variables(e: Any) -> list[Any]:
    from tvm import tir

    return [node for node in _visit(e) if isinstance(node, tir.Var)]


def has_initial_reads(operation: Any) -> bool:
    """Whether it is a reduction that begins from elements of a tensor."""
    from tvm import tir

    bodies = [body for body in getattr(operation, "body", ()) if isinstance(body, tir.Reduce)]
    return any(_reads(initial) for body in bodies for initial in body.init)


def _reads(e: Any) -> list[Any]:
    from tvm import tir

    return [node for node in _visit(e) if isinstance(node, tir.ProducerLoad)]


def _has_floats(e: Any) -> bool:
    """Whether something is computed that is no scalar integer, other than what is read."""
    from tvm import tir

    return any(
        not node.dtype.startswith(("int", "uint", "bool")) or "x" in node.dtype
        for node in _visit(e)
        if hasattr(node, "dtype") and not isinstance(node, tir.ProducerLoad)
    )
