"""From TVM's states to stage graphs: the one door between the search and the learner."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.measurements import task_flop, task_key
from tvm_gnn_cost.ansor.states.computation_reader import ComputationReader
from tvm_gnn_cost.ansor.states.derivation import derive_nest
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.ansor.states.reader import read_schedule, state_object
from tvm_gnn_cost.ansor.states.schedule import UNDEFINED_EXTENT, Schedule
from tvm_gnn_cost.ansor.states.te_reader import constant
from tvm_gnn_cost.ansor.validity import Validity
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.computation import Computation
from tvm_gnn_cost.graphs.graph_writer import GraphWriter
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import ComputeAt
from tvm_gnn_cost.graphs.stage_graph import StageGraph

logger = logging.getLogger(__name__)


class StageGraphBuilder:
    """Builds the stage graphs of one task's states (`State` or `StateObject`), in Python.

    States come bound-inferred from the search; one that is not, or one from a record, is inferred first.

    Attributes:
        flop: see `StageGraphSource`.
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        self.hardware = hardware_of(task)
        self.flop = task_flop(task)
        self.writer = GraphWriter(self.hardware)
        self._computations = ComputationReader(task)
        self._validity = Validity(self)
        self._has_warned = False
        self._warn_of_symbolic_shapes()

    @cached_property
    def key(self) -> str:
        """See `StageGraphSource`."""
        return task_key(self.task)

    def can_run(
        self, states: Sequence[Any], built: BuiltGraphs, promise: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """See `StageGraphSource`."""
        return self._validity.valid(states, built, promise)

    def build(self, states: Sequence[Any]) -> BuiltGraphs:
        """The graphs of `states`. States that cannot be read are left out; the log says how many and why the first."""
        built, failures = self.writer.build(states, self.loop_nest)
        if failures:
            first, why = failures[0]
            self._warn_of_unreadable(len(failures), len(states), first, reason_of(why))
        return built

    def _warn_of_unreadable(self, count: int, number: int, first: int, reason: str) -> None:
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        logger.log(
            level,
            "%d of %d states of task %s cannot be read; TVM says whether they can run, and those that can are searched "
            "without a prediction; the first is number %d (%s)",
            count, number, self.task.workload_key, first, reason,
        )  # fmt: skip

    def _warn_of_symbolic_shapes(self) -> None:
        tensors = (t for t in self.task.compute_dag.tensors if any(constant(extent) is None for extent in t.shape))
        for tensor in tensors:
            logger.warning(
                "the shape of tensor %s of task %s is %s, which is not all numbers: TVM cannot measure such a program, "
                "and here the others count as 1; give every extent as a number",
                tensor.op.name, self.task.workload_key, tensor.shape,
            )  # fmt: skip
            return

    def graph(self, state: Any) -> StageGraph:
        """The graph of one state. Raises what reading it raises."""
        return self.writer.graph(self.loop_nest(state))

    def loop_nest(self, state: Any) -> LoopNest:
        """The loop nests of one state."""
        schedule, obj = self.schedule(state)
        return derive_nest(self.computation(schedule, obj), schedule)

    def schedule(self, state: Any) -> tuple[Schedule, Any]:
        """The schedule of one state, and the bound-inferred StateObject that it was read from."""
        obj = state_object(state)
        if not len(obj.stages):  # a record's state: steps alone
            obj = self.infer_bound(obj)
        schedule = read_schedule(self.task, obj)
        if not is_bound_inferred(schedule):
            obj = self.infer_bound(obj)
            schedule = read_schedule(self.task, obj)
        return schedule, obj

    def schedules(self, states: Sequence[Any]) -> list[tuple[Schedule, Any]]:
        """`schedule` of each of these states, which were built before."""
        return [self.schedule(state) for state in states]

    def infer_bound(self, state: Any) -> Any:
        """The StateObject with TVM's inferred bounds; rebuilt from its steps if it has no stages."""
        return self.task.compute_dag.infer_bound_from_state(state).state_object

    def computation(self, schedule: Schedule, state: Any) -> Computation:
        """What the stages of a schedule compute; `state` is the StateObject it was read from."""
        return self._computations.read(schedule.structure(), state)


def reason_of(error: Exception) -> str:
    """Why a state cannot be read: the error's class, and the last line of what it says."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[-1]}"


def is_bound_inferred(schedule: Schedule) -> bool:
    """Whether every loop that runs has a range."""
    return not any(
        loop.extent == UNDEFINED_EXTENT
        for stage in schedule.stages
        if stage.compute_at != ComputeAt.INLINED
        for loop in stage.loops
    )
