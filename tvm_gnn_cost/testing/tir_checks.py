"""What must hold of every candidate of MetaSchedule that is read, checked against the program itself.

The loops are counted and the regions enumerated here anew, on TVM's own expressions; operations are counted by TVM.
Used by `benchmarks/tir_exactness.py` on many candidates and by a test on a few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import THREAD_ANNOTATIONS, Annotation
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.source import TIRSource, primitive_function
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround, Program
from tvm_gnn_cost.meta_schedule.tir.stages import Stages, read_stages

PROPERTIES = ("readable", "iterations", "writes", "reads", "operations", "features")
"""What may be broken. Readable: the graph can be made, and what is remembered of a computation fits; iterations: of
every block as many as its loops make; writes and reads: the elements that a run of a stage's own loops touches, and all
loops together, are those of the block's regions; operations: as many as TVM counts; features: finite and in their
ranges."""

_POINTS = 4096
"""Iterations of a block that are enumerated at most; of more, as many at random beside the corners."""


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
        _check_features(source.writer.built(nest), checked)
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
        inside = [loop for loop in nest.loops[number] if loop.annotation == Annotation.TENSORIZE]
        own = len(nest.loops[number]) - len(inside)
        own -= sum(variable.inside is not None for variable in stage.axes.variables)
        touched = _Touched(around, around.loops[len(around.loops) - own :], generator)
        spans = nest.spans(number, number, -1, False)
        _check_touched(stages, nest, number, spans, touched, checked, is_sure=True)
        if nest.outer[number]:
            first = nest.outer[number][0]
            relax = nest.computation.stages[number].scope == "shared"
            spans = nest.spans(number, first.stage, first.index - 1, relax)
            everywhere = _Touched(around, around.loops, generator)
            _check_touched(stages, nest, number, spans, everywhere, checked, is_sure=not stage.axes.is_called)


def _check_touched(
    stages: Stages,
    nest: LoopNest,
    number: int,
    spans: Sequence[float],
    touched: _Touched,
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
        if accesses:
            found = [nest.region(access, spans) for access in accesses]
            hull = [int(max(extents)) for extents in zip(*found, strict=True)]
            exactly = exact and len(accesses) == 1 and accesses[0].affine
            _compare(checked, "reads", touched, touched.extents(region), hull, exactly)


def _compare(checked: Checked, name: str, touched: _Touched, real: list[int], ours: Sequence[int], exact: bool) -> None:
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


class _Touched:
    """The elements that a block touches while the loops `running` run and the others stand: somewhere inside, where no
    predicate cuts a tile off, if there is such a place among those that are tried; else `is_cut`."""

    def __init__(self, around: BlockAround, running: Sequence[Any], generator: np.random.Generator) -> None:
        self.around, self.running, self._generator = around, running, generator
        others = [loop for loop in around.loops if loop not in running]
        cuts = set()
        best = -1.0
        for attempt in range(12 if others else 1):
            place = {
                NAMES.address(loop.variable): 0 if not attempt else int(generator.integers(loop.extent))
                for loop in others
            }
            variables, keep = self._at(place)
            cuts.add(keep.tobytes())
            if keep.mean() > best:
                self._variables, best = variables, float(keep.mean())
        self.is_cut = best < 1.0 and len(cuts) > 1

    def _at(self, place: Mapping[int, int]) -> tuple[dict[int, NDArray[np.int64]], NDArray[np.bool_]]:
        """The variables of the iterations that run, and which of all these are."""
        variables = dict(self._points)
        count = len(next(iter(variables.values()), np.zeros(1)))
        variables |= {address: np.full(count, value) for address, value in place.items()}
        keep = np.ones(count, bool)
        for block in (*self.around.parents, self.around):
            for axis, value in zip(block.block.iter_vars, block.realize.iter_values, strict=True):
                variables[NAMES.address(axis.var)] = evaluate(value, variables) * np.ones(count, np.int64)
            keep &= np.asarray(evaluate(block.realize.predicate, variables), bool)
        return {address: values[keep] for address, values in variables.items()}, keep

    @cached_property
    def _points(self) -> dict[int, NDArray[np.int64]]:
        """Iterations of the running loops: all of them, or many with the corners among them."""
        extents = [loop.extent for loop in self.running]
        addresses = [NAMES.address(loop.variable) for loop in self.running]
        total = prod(extents)
        if total <= _POINTS:
            return dict(zip(addresses, np.unravel_index(np.arange(total), extents), strict=True)) if extents else {}
        inside = [self._generator.integers(0, extent, _POINTS) for extent in extents]
        corners = [self._generator.integers(0, 2, _POINTS) * (extent - 1) for extent in extents]
        ends = [np.array([0, extent - 1]) for extent in extents]
        return {a: np.concatenate(parts) for a, *parts in zip(addresses, inside, corners, ends, strict=True)}

    def extents(self, region: Any) -> list[int]:
        """Of each dimension of a region: the distance of the outermost elements touched, and one."""
        sizes = [int(getattr(size, "value", 1)) for size in NAMES.shape(NAMES.region_buffer(region))]
        result = []
        for part, size in zip(region.region, sizes, strict=True):
            least = evaluate(part.min, self._variables) * np.ones(1, np.int64)
            extent = evaluate(part.extent, self._variables)
            if not np.size(least):
                result.append(0)
            else:
                result.append(min(size, int(np.max(least + extent) - np.min(least))))
        return result


_NUMPY: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
    "Div": np.floor_divide,
    "Mod": np.mod,
    "Min": np.minimum,
    "Max": np.maximum,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
    "EQ": np.equal,
    "NE": np.not_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}


def evaluate(expression: Any, variables: Mapping[int, Any]) -> Any:
    """The values of an expression of integers. Raises ValueError for what it does not know."""
    kind = type(expression).__name__
    if kind == "IntImm":
        return int(expression.value)
    if kind == "Var":
        return variables[NAMES.address(expression)]
    if kind == "Cast":
        return evaluate(expression.value, variables)
    if kind == "Select":
        return np.where(
            evaluate(expression.condition, variables),
            evaluate(expression.true_value, variables),
            evaluate(expression.false_value, variables),
        )
    if kind in _NUMPY:
        return _NUMPY[kind](evaluate(expression.a, variables), evaluate(expression.b, variables))
    raise ValueError(f"a region depends on {kind}")


def _check_operations(candidate: Any, program: Program, stages: Stages, checked: Checked) -> None:
    if any(stage.axes.is_called for stage in stages.blocks):
        return
    function = primitive_function(candidate)
    theirs = float(_estimate()(import_module("tvm").IRModule({"main": function})))
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
    children = [_counted(child) for child in node.children]
    if node.kind == "Select" and node.value is None:
        return children[0] + max(children[1:])
    return sum(children) + (node.kind in _ARITHMETIC)


def _check_features(built: BuiltGraphs, checked: Checked) -> None:
    for name, values, features in (
        ("node", built.graphs.node_features, NODE_FEATURES),
        ("edge", built.graphs.edge_features, EDGE_FEATURES),
    ):
        low, high = np.array([(f.low, f.high) for f in features], dtype=np.float32).T
        wrong = ~((values >= low) & (values <= high) & np.isfinite(values))
        for column in np.flatnonzero(wrong.any(axis=0)):
            checked.fault(
                "features", f"{name} feature {features[column].name} is {values[wrong[:, column], column][0]}"
            )
