"""The stage graphs of one of MetaSchedule's tasks: a module that is not scheduled, for a target."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import IRModule

from tvm_gnn_cost.errors import InvalidArgumentError, last_line
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.graph_writer import GraphWriter
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.work import operations_of
from tvm_gnn_cost.meta_schedule.hardware_of import hardware_of
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.native.builder import NativeBuilder
from tvm_gnn_cost.meta_schedule.native.trust import Extension, usable_extension
from tvm_gnn_cost.meta_schedule.tir.nests import read_nest
from tvm_gnn_cost.meta_schedule.tir.operations import Origins
from tvm_gnn_cost.meta_schedule.tir.program import Program, read_program
from tvm_gnn_cost.meta_schedule.tir.stages import Stages, block_costs, read_stages

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 256
"""Computations kept of one task; a design space has a few, with more for each extent of an rfactor."""

_LAYOUT_FREE = "layout_free_buffers"
_SCHEDULING_ATTRIBUTES = frozenset({_LAYOUT_FREE})


def make_source(mod: Any, target: Any) -> TIRSource:
    """The fastest source of a task that may be used here.

    Raises InvalidArgumentError for a module that has not one function to schedule.

    Args:
        mod: an IRModule or a PrimFunc, as it is before any schedule.
        target: a `tvm.target.Target`.
    """
    extension = usable_extension()
    return TIRSource(mod, target) if extension is None else NativeTIRSource(mod, target, extension)


class TIRSource:
    """See `graphs.source.StageGraphSource`. Candidates are anything with a schedule (`.sch.mod`, as MeasureCandidates
    have), a `Schedule`, an IRModule or a PrimFunc.

    Attributes:
        key: digest of what is computed (TVM's structural hash) and of the target; the same in every process.
        flop: counted here; at least 1.
        origins: what an iteration of each block of the module costs, by name.
    """

    def __init__(self, mod: Any, target: Any) -> None:
        function = primitive_function(mod)
        self.target = target
        self.hardware = hardware_of(target)
        self.key = task_key(function, target)
        self.writer = GraphWriter(self.hardware)
        self._stages: OrderedDict[Hashable, Stages] = OrderedDict()
        self._has_warned = False
        self.origins: Origins = {}
        self.flop = 1.0
        self._read_unscheduled(function)

    def _read_unscheduled(self, function: Any) -> None:
        try:
            program = read_program(function)
            stages = read_stages(program, {})
        except Exception as error:  # the candidates say the same, one by one
            logger.warning(
                "the program of task %s cannot be read (%s); its work is unknown, and counts as one operation",
                self.key, last_line(error),
            )  # fmt: skip
            return
        self.origins = block_costs(program, stages)
        self.flop = max(1.0, sum(operations_of(operation) for operation in stages.operations))

    def build(self, candidates: Sequence[Any]) -> BuiltGraphs:
        """The graphs of the candidates. Those that cannot be read are left out; the log says how many and why the
        first, once."""
        built, failures = self.writer.build(candidates, self.loop_nest)
        self._warn_of_unreadable(failures, len(candidates))
        return built

    def _warn_of_unreadable(self, failures: Sequence[tuple[int, Exception]], count: int) -> None:
        if not failures:
            return
        first, why = failures[0]
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        logger.log(
            level,
            "%d of %d candidates of task %s cannot be read and are searched without a prediction; the first is number "
            "%d (%s: %s)",
            len(failures), count, self.key, first, type(why).__name__, last_line(why),
        )  # fmt: skip

    def can_run(
        self, candidates: Sequence[Any], built: BuiltGraphs, promise: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """All of them: MetaSchedule's postprocessors have verified a GPU's limits before a candidate gets here."""
        return np.ones(len(candidates), bool)

    def loop_nest(self, candidate: Any) -> LoopNest:
        """The loop nest of one candidate. Raises ValueError, which says why, for one that cannot be read."""
        return self.read(candidate)[2]

    def read(self, candidate: Any) -> tuple[Program, Stages, LoopNest]:
        """A candidate's program, what its blocks compute, and its loop nest. Raises what `loop_nest` raises."""
        program = read_program(measured_function(candidate))
        stages = self.stages(program)
        return program, stages, read_nest(program, stages)

    def stages(self, program: Program) -> Stages:
        """What the blocks of a program compute: read once for all programs that compute the same."""
        key = _computation_key(program)
        stages = self._stages.get(key)
        if stages is None:
            stages = self._stages[key] = read_stages(program, self.origins)
            if len(self._stages) > MOST_REMEMBERED:
                self._stages.popitem(last=False)
        else:
            self._stages.move_to_end(key)
        return stages


class NativeTIRSource(TIRSource):
    """A TIRSource that builds in C++ what it can; the graphs are the same."""

    def __init__(self, mod: Any, target: Any, extension: Extension) -> None:
        super().__init__(mod, target)
        self._builder = NativeBuilder(extension, self)

    def build(self, candidates: Sequence[Any]) -> BuiltGraphs:
        """As TIRSource's."""
        functions: list[Any] = []
        failures: list[tuple[int, Exception]] = []
        for i, candidate in enumerate(candidates):
            try:
                functions.append(measured_function(candidate))
            except Exception as error:  # one bad candidate must not end the search
                functions.append(None)
                failures.append((i, error))
        built, unreadable = self._builder.build(functions)
        self._warn_of_unreadable(sorted([*failures, *unreadable], key=lambda failure: failure[0]), len(candidates))
        return built


def primitive_function(candidate: Any) -> Any:
    """The function of a candidate, a module or a schedule: the one called main, or the only one there is.

    Raises InvalidArgumentError where there are several, or none.
    """
    if type(candidate).__name__ == "PrimFunc":
        return candidate
    schedule = getattr(candidate, "sch", candidate)
    module = getattr(schedule, "mod", schedule)
    found = {}
    for variable, function in getattr(module, "functions", {}).items():
        if type(function).__name__ == "PrimFunc":
            found[str(variable.name_hint)] = function
    if len(found) == 1:
        return next(iter(found.values()))
    if "main" in found:
        return found["main"]
    if not found:
        raise InvalidArgumentError(f"there is no PrimFunc in {type(candidate).__name__}: give a module that has one")
    raise InvalidArgumentError(
        f"the module has {len(found)} functions ({', '.join(sorted(found)[:4])}...): give a module of one, or call the "
        "one to schedule main"
    )


def measured_function(candidate: Any) -> Any:
    """The function of a candidate as it is built and measured: weights are read in the schedule's own layout, and no
    block brings them into it. Stock's features are of that program too (`per_store_feature.cc`).

    Raises what `primitive_function` raises.
    """
    function = primitive_function(candidate)
    if function.attrs is None or _LAYOUT_FREE not in function.attrs:
        return function
    return primitive_function(NAMES.as_built(IRModule({"main": function}))).without_attr(_LAYOUT_FREE)


def task_key(function: Any, target: Any) -> str:
    """Which task it is: a digest of what a PrimFunc computes and of the target; the same in every process.

    Of the function's attributes only those count that change how it is scheduled: TVM adds others on the way.
    """
    for name in list(function.attrs.keys()) if function.attrs is not None else ():
        if str(name) not in _SCHEDULING_ATTRIBUTES:
            function = function.without_attr(name)
    written = f"{NAMES.structural_hash(function)} {target_text(target)}"
    return hashlib.sha256(written.encode()).hexdigest()[:32]


def target_text(target: Any) -> str:
    """A target in one spelling, whatever the order of its options: without its tag, which its options stand for."""
    known = {str(key): value for key, value in target.attrs.items()}
    options = sorted((key, _option(value)) for key, value in known.items() if key not in ("tag", "host"))
    return " ".join([str(target.kind.name), *(f"-{key}={value}" for key, value in options)])


def _option(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    try:
        return ",".join(sorted(str(item) for item in value))
    except TypeError:
        return str(value)


def _computation_key(program: Program) -> Hashable:
    """What decides what the blocks compute: TVM's hash of each, and which buffers are the same ones."""
    numbers: dict[int, int] = {}
    parts: list[Hashable] = []
    for around in program.blocks:
        block = around.block
        buffers = [NAMES.address(NAMES.region_buffer(region)) for region in (*block.writes, *block.reads)]
        parts.append(
            (NAMES.structural_hash(block), *(numbers.setdefault(address, len(numbers)) for address in buffers))
        )
    return tuple(parts)
