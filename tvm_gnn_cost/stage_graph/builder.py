"""From TVM's states to stage graphs: the one door between the search and the learner."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.measurements import task_flop, task_key
from tvm_gnn_cost.stage_graph.computation import Computation
from tvm_gnn_cost.stage_graph.computation_reader import ComputationReader
from tvm_gnn_cost.stage_graph.derivation import derive_nest
from tvm_gnn_cost.stage_graph.dynamic_features import dynamic_features
from tvm_gnn_cost.stage_graph.gpu_demand import RESOURCES, resources
from tvm_gnn_cost.stage_graph.hardware_of import hardware_of
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest
from tvm_gnn_cost.stage_graph.loops import ComputeAt
from tvm_gnn_cost.stage_graph.reader import read_schedule, state_object
from tvm_gnn_cost.stage_graph.schedule import UNDEFINED_EXTENT, Schedule
from tvm_gnn_cost.stage_graph.schema import EDGE_DIM, NODE_DIM
from tvm_gnn_cost.stage_graph.stage_graph import StageGraph, StageGraphBatch
from tvm_gnn_cost.stage_graph.static_features import static_edge_features, static_node_features
from tvm_gnn_cost.validity import valid_states

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltGraphs:
    """The graphs of the states that could be read, and which these were.

    Attributes:
        graphs: one graph for every True in `readable`, in order.
        readable: bool (number of states,).
        scored_nodes: bool (number of nodes,): stages neither placeholder nor inlined, which `predict_stages` scores.
        resources: float64 (number of graphs, len(RESOURCES)): what each asks of a GPU.
        inexact: bool (number of graphs,): some loop that runs has an extent that TVM gave as an expression.
    """

    graphs: StageGraphBatch
    readable: NDArray[np.bool_]
    scored_nodes: NDArray[np.bool_]
    resources: NDArray[np.float64]
    inexact: NDArray[np.bool_]

    @staticmethod
    def of(parts: Sequence[BuiltGraphs]) -> BuiltGraphs:
        """The parts end to end. Raises ValueError for an empty sequence."""
        return BuiltGraphs(
            StageGraphBatch.concatenate([p.graphs for p in parts]),
            np.concatenate([p.readable for p in parts]),
            np.concatenate([p.scored_nodes for p in parts]),
            np.concatenate([p.resources for p in parts]),
            np.concatenate([p.inexact for p in parts]),
        )


class StageGraphBuilder:
    """Builds the stage graphs of one task's states (`State` or `StateObject`), in Python.

    States come bound-inferred from the search; one that is not, or one from a record, is inferred first.
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        self.hardware = hardware_of(task)
        self._hardware_features = self.hardware.features()
        self._computations = ComputationReader(task)
        self._static: dict[Computation, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    @property
    def key(self) -> str:
        """See `StageGraphSource`."""
        return task_key(self.task)

    @property
    def flop(self) -> float:
        """See `StageGraphSource`."""
        return task_flop(self.task)

    def can_run(self, states: Sequence[Any], built: BuiltGraphs) -> NDArray[np.bool_]:
        """See `StageGraphSource`."""
        return valid_states(self, states, built)

    def build(self, states: Sequence[Any]) -> BuiltGraphs:
        """The graphs of `states`. States that cannot be read are left out; the log says how many and why the first."""
        parts = [empty_graphs(0)]
        failures: list[tuple[int, Exception]] = []
        for i, state in enumerate(states):
            try:
                parts.append(self._build_one(state))
            except Exception as error:  # one bad state must not end the search; it is scored -inf
                failures.append((i, error))
                parts.append(empty_graphs(1))
        if failures:
            first, why = failures[0]
            lines = str(why).strip().splitlines() or ["no message"]
            logger.warning(
                "%d of %d states of task %s cannot be read and count as invalid; the first is number %d (%s: %s)",
                len(failures),
                len(states),
                self.task.workload_key,
                first,
                type(why).__name__,
                lines[-1],
            )
        return BuiltGraphs.of(parts)

    def graph(self, state: Any) -> StageGraph:
        """The graph of one state. Raises what reading it raises."""
        return self._graph(self.loop_nest(state))

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

    def static_features(self, computation: Computation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The features of nodes and edges that all schedules of a computation share."""
        known = self._static.get(computation)
        if known is None:
            known = static_node_features(computation), static_edge_features(computation)
            self._static[computation] = known
        return known

    def _build_one(self, state: Any) -> BuiltGraphs:
        nest = self.loop_nest(state)
        graph = self._graph(nest)
        batch = StageGraphBatch(
            graph.node_features,
            graph.edge_index,
            graph.edge_features,
            np.array([0, len(graph.node_features)]),
            np.array([0, graph.edge_index.shape[1]]),
        )
        scored = np.array([not (s.is_placeholder or s.is_inlined) for s in nest.computation.stages])
        inexact = any(not loop.exact for loops in nest.loops for loop in loops)
        return BuiltGraphs(batch, np.array([True]), scored, resources(nest)[None], np.array([inexact]))

    def _graph(self, nest: LoopNest) -> StageGraph:
        computation = nest.computation
        static_nodes, static_edges = self.static_features(computation)
        nodes, edges = dynamic_features(nest, self.hardware)
        hardware = np.tile(self._hardware_features, (len(nodes), 1))
        return StageGraph(
            tuple(stage.name for stage in computation.stages),
            np.concatenate([static_nodes, nodes, hardware], axis=1).astype(np.float32),
            np.array(computation.edges, dtype=np.int64).reshape(-1, 2).T.copy(),
            np.concatenate([static_edges, edges], axis=1).astype(np.float32),
        )


def is_bound_inferred(schedule: Schedule) -> bool:
    """Whether every loop that runs has a range."""
    return not any(
        loop.extent == UNDEFINED_EXTENT
        for stage in schedule.stages
        if stage.compute_at != ComputeAt.INLINED
        for loop in stage.loops
    )


def empty_graphs(num_states: int) -> BuiltGraphs:
    """No graphs, for `num_states` states that cannot be read."""
    return BuiltGraphs(
        StageGraphBatch(
            np.zeros((0, NODE_DIM), np.float32),
            np.zeros((2, 0), np.int64),
            np.zeros((0, EDGE_DIM), np.float32),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
        ),
        np.zeros(num_states, bool),
        np.zeros(0, bool),
        np.zeros((0, len(RESOURCES))),
        np.zeros(0, bool),
    )
