"""What must hold of every candidate of MetaSchedule that is read, checked against the program itself.

The loops are counted and the regions enumerated here anew, on TVM's own expressions; operations are counted by TVM.
Used by `benchmarks/tir_exactness.py` on many candidates and by a test on a few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from tvm import IRModule

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import THREAD_ANNOTATIONS, Annotation
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.source import TIRSource, primitive_function
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround, Program
from tvm_gnn_cost.meta_schedule.tir.stages import Stages, read_stages
from tvm_gnn_cost.testing.feature_ranges import out_of_range
from tvm_gnn_cost.testing.tir_regions import Touched, has_load

PROPERTIES = ("readable", "iterations", "writes", "reads", "operations", "features")
"""What may be broken. Readable: the graph can be made, and what is remembered of a computation fits; iterations: of
every block as many as its loops make; writes and reads: the elements that a run of a stage's own loops touches, and all
loops together, are those of the block's regions; operations: as many as TVM counts; features: finite and in their
ranges."""


@dataclass
class Checked:
    """What was found of one or many candidates.

    Attributes:
        counts: of what was compared: candidates, blocks, loops, inexact (loops), regions, estimated (regions),
            estimated alike (those that are right all the same), cut (regions that reach over an edge wherever the loops
            stand: no smaller than what is touched), called (blocks that are calls to intrinsics).
        broken: how many candidates break a property.
        faults: (property, what was seen), the first of each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, name: str, what: str) -> None:
        """Counts one, and keeps the first of its kind."""
        if name not in self.broken:
            self.faults.append((name, what[:500]))
        self.broken[name] += 1

    def add(self, other: Checked) -> None:
        """Adds what was found of others."""
        for name, what in other.faults:
            if name not in self.broken:
                self.faults.append((name, what))
        self.counts += other.counts
        self.broken += other.broken


def check_candidates(source: TIRSource, candidates: Sequence[Any], seed: int = 0) -> Checked:
    """Checks every property of candidates of one task."""
    checked = Checked()
    for candidate in candidates:
        checked.counts["candidates"] += 1
        try:
            program, stages, nest = source.read(candidate)
        except Exception as error:  # counted, whatever it is
            checked.fault("readable", f"{type(error).__name__}: {last_line(error)}")
            continue
        fresh = read_stages(program, source.origins)
        if fresh.computation != stages.computation:
            checked.fault("readable", "what is remembered of the computation is not what the candidate computes")
        stages = fresh
        _check_iterations(program, stages, nest, checked)
        _check_regions(program, stages, nest, checked, np.random.default_rng(seed))
        _check_operations(candidate, program, stages, checked)
        for problem in out_of_range(source.writer.built(nest)):
            checked.fault("features", problem)
    return checked


def _check_iterations(program: Program, stages: Stages, nest: LoopNest, checked: Checked) -> None:
    for number, stage in enumerate(stages.blocks, stages.first):
        around = program.blocks[stage.block]
        loops = nest.loops[number]
        checked.counts["blocks"] += 1
        checked.counts["loops"] += len(loops)
        checked.counts["inexact"] += sum(not loop.exact for loop in loops)
        checked.counts["called"] += any(loop.annotation == Annotation.TENSORIZE for loop in loops)
        counted = prod(loop.extent for loop in (*nest.outer[number], *loops) if loop.annotation != Annotation.TENSORIZE)
        inside = prod(variable.extent for variable in stage.axes.variables if variable.inside is not None)
        expected = _iterations(around, nest.computation.stages[number].scope == "shared") * inside
        if counted != expected:
            checked.fault("iterations", f"block {around.name} runs {expected} times, not {counted}")


def _iterations(around: BlockAround, is_shared: bool) -> int:
    """How often the body of a block runs: a thread that is bound again inside is the same thread, and what is in shared
    memory is filled once for all virtual threads."""
    count, threads = 1, set()
    for loop in reversed(around.loops):
        if loop.annotation in THREAD_ANNOTATIONS and loop.annotation in threads:
            continue
        if loop.annotation == Annotation.VTHREAD and is_shared:
            continue
        threads.add(loop.annotation)
        count *= loop.extent
    return count


def _check_regions(
    program: Program, stages: Stages, nest: LoopNest, checked: Checked, generator: np.random.Generator
) -> None:
    """While a stage's own loops run, and while all do."""
    for number, stage in enumerate(stages.blocks, stages.first):
        around = program.blocks[stage.block]
        if not len(around.block.writes):
            continue
        inside = [loop for loop in nest.loops[number] if loop.annotation == Annotation.TENSORIZE]
        own = len(nest.loops[number]) - len(inside)
        own -= sum(variable.inside is not None for variable in stage.axes.variables)
        touched = Touched(around, around.loops[len(around.loops) - own :], generator)
        spans = nest.spans(number, number, -1, False)
        _check_touched(stages, nest, number, spans, touched, checked, is_sure=True)
        if nest.outer[number]:
            first = nest.outer[number][0]
            relax = nest.computation.stages[number].scope == "shared"
            spans = nest.spans(number, first.stage, first.index - 1, relax)
            everywhere = Touched(around, around.loops, generator)
            _check_touched(stages, nest, number, spans, everywhere, checked, is_sure=_is_sure(stages, nest, number))


def _is_sure(stages: Stages, nest: LoopNest, number: int) -> bool:
    """Whether the region that a stage makes in the loops of others is known: it is what its readers there touch, which
    only sums of axes tell exactly, and which an intrinsic fills up to a whole tile."""
    todo, seen = [number], set()
    while todo:
        stage = todo.pop()
        seen.add(stage)
        if stages.blocks[stage - stages.first].axes.is_called:
            return False
        if nest.placements[stage].attach is not None:
            reads = [access for access in nest.computation.accesses if access.producer == stage]
            if not all(access.affine for access in reads):
                return False
            todo += [access.host for access in reads if access.host not in seen]
    return True


def _check_touched(
    stages: Stages,
    nest: LoopNest,
    number: int,
    spans: Sequence[float],
    touched: Touched,
    checked: Checked,
    *,
    is_sure: bool,
) -> None:
    """`is_sure` is False where readers may not want all that is made: the elements that fill up an intrinsic's tile."""
    block = touched.around.block
    exact = is_sure and all(loop.exact for loop in (*nest.outer[number], *nest.loops[number]))
    written = touched.extents(block.writes[0])
    _compare(checked, "writes", touched, written, [int(span) for span in spans[: len(written)]], exact)
    buffers = [NAMES.address(buffer) for buffer in stages.buffers]
    for region in block.reads:
        buffer = NAMES.address(NAMES.region_buffer(region))
        accesses = [a for a in nest.computation.accesses if a.host == number and buffers[a.producer] == buffer]
        if accesses and not any(has_load(part.min) for part in region.region):
            found = [nest.region(access, spans) for access in accesses]
            hull = [int(max(extents)) for extents in zip(*found, strict=True)]
            exactly = exact and len(accesses) == 1 and accesses[0].affine
            _compare(checked, "reads", touched, touched.extents(region), hull, exactly)


def _compare(checked: Checked, name: str, touched: Touched, real: list[int], ours: Sequence[int], exact: bool) -> None:
    checked.counts["regions"] += 1
    what = f"block {touched.around.name} in {len(touched.running)} of {len(touched.around.loops)} loops touches {real}"
    if not exact:
        checked.counts["estimated"] += 1
        checked.counts["estimated alike"] += real == list(ours)
    elif touched.is_cut:
        checked.counts["cut"] += 1
        if any(mine < theirs for mine, theirs in zip(ours, real, strict=True)):
            checked.fault(name, f"{what}, more than {list(ours)}")
    elif real != list(ours):
        checked.fault(name, f"{what}, not {list(ours)}")


def _check_operations(candidate: Any, program: Program, stages: Stages, checked: Checked) -> None:
    if any(stage.axes.is_called for stage in stages.blocks):
        return
    function = primitive_function(candidate)  # TVM 0.19 cannot count the empty block that a packed weight leaves
    theirs = float(_estimate()(IRModule({"main": function})))
    ours = 0.0
    for number, stage in enumerate(stages.blocks, stages.first):
        around, operation = program.blocks[stage.block], stages.operations[number]
        inside = prod(variable.extent for variable in stage.axes.variables if variable.inside is not None)
        times = prod(loop.extent for loop in around.loops) * inside
        ours += times * sum(_counted(node) for node in operation.body)
        if stage.init is not None:
            times = prod(loop.extent for loop in program.blocks[stage.init].loops)
        ours += times * sum(_counted(node) for node in operation.init)
    if theirs != ours:
        checked.fault("operations", f"TVM counts {theirs}, not {ours}")


def _estimate() -> Callable[[Any], float]:
    room = NAMES.tir.__name__ if hasattr(NAMES.tir, "stmt_functor") else "tvm.s_tir"
    try:
        found: Callable[[Any], float] = import_module(f"{room}.analysis").estimate_tir_flops
    except AttributeError:
        found = import_module("tvm.s_tir.analysis").estimate_tir_flops
    return found


_NOT_COUNTED = frozenset(("Load", "Own", "EQ", "NE", "LT", "LE", "GT", "GE"))
_ARITHMETIC = frozenset(("Add", "Sub", "Mul", "Div", "Mod", "FloorDiv", "FloorMod", "Min", "Max"))


def _counted(node: Node) -> float:
    """As `src/tir/analysis/estimate_flops.cc` counts: arithmetic alone, of branches the longer, nothing in indices, and
    nothing that is compared."""
    if node.kind in _NOT_COUNTED:
        return 0.0
    children = [_counted(child) for child in node.children[node.kind == "Given" :]]
    if node.kind == "Select" and node.value is None:
        return children[0] + max(children[1:])
    return sum(children) + (node.kind in _ARITHMETIC)
