"""The fast way from TVM's states to stage graphs: the specification in Python, its work in C++.

States are decoded and their features computed by `_native.GraphExtractor`. What the stages compute is still read in
Python, once for each structure (`schedule.Structure`) that turns up, and handed over. The result equals that of
`builder.StageGraphBuilder` to the last bit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.native.reader import NativeReader, as_array
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder, is_bound_inferred, reason_of
from tvm_gnn_cost.ansor.states.reader import state_object
from tvm_gnn_cost.ansor.states.schedule import Schedule, encode_structure
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.native_writer import built_graphs

logger = logging.getLogger(__name__)


def make_builder(task: Any) -> StageGraphBuilder:
    """The fastest builder that may be used here."""
    reader = NativeReader.load()
    return StageGraphBuilder(task) if reader is None else NativeStageGraphBuilder(task, reader)


class StateStatus(IntEnum):
    """What became of a state."""

    DONE = 0
    NOT_REGISTERED = 1
    NOT_INFERRED = 2
    UNREADABLE = 3


class Extraction(NamedTuple):
    """What `_native.GraphExtractor.extract` returns."""

    graphs: Sequence[NDArray[Any]]
    status: NDArray[np.int8]
    unregistered: NDArray[np.int64]
    first_error: str


class NativeStageGraphBuilder(StageGraphBuilder):
    """A StageGraphBuilder that builds natively; where that fails for a whole batch, in Python.

    Args:
        task: the `SearchTask` whose states are read.
        reader: from `NativeReader.load`.
        n_threads: at most so many threads; 0: one a core.
    """

    def __init__(self, task: Any, reader: NativeReader, n_threads: int = 0) -> None:
        super().__init__(task)
        self._reader, self._n_threads = reader, n_threads
        self._extractor = reader.graph_extractor(self.hardware)

    def build(self, states: Sequence[Any]) -> BuiltGraphs:
        """As StageGraphBuilder's; never raises for a bad state."""
        try:
            return self.build_natively(states)
        except RuntimeError as error:
            logger.warning("%d states are read through Python, which is slower: %s", len(states), error)
            return super().build(states)

    def build_natively(self, states: Sequence[Any]) -> BuiltGraphs:
        """As `build`, but raises RuntimeError where `build` turns to Python."""
        objects = _state_objects(states)
        found = self._extract(objects)
        inferred = np.flatnonzero(found.status == StateStatus.NOT_INFERRED)
        if len(inferred):
            objects = list(objects)
            for i in inferred:
                objects[i] = self._infer_bound(objects[i])
            found = self._extract(objects, accept_undefined=True)
        if len(found.unregistered) and self._register([objects[i] for i in found.unregistered]):
            found = self._extract(objects, accept_undefined=len(inferred) > 0)
        readable = found.status == StateStatus.DONE
        if not readable.all():
            self._warn(states, readable, found.first_error)
        return built_graphs(found.graphs, readable)

    def schedules(self, states: Sequence[Any]) -> list[tuple[Schedule, Any]]:
        """As StageGraphBuilder's."""
        objects = [state_object(state) for state in states]
        try:
            schedules = self._reader.read_schedules(objects, self._n_threads)
        except RuntimeError:  # `build` said why
            return super().schedules(states)
        return [
            pair if is_bound_inferred(pair[0]) else self.schedule(pair[1])
            for pair in zip(schedules, objects, strict=True)
        ]

    def _extract(self, objects: Any, accept_undefined: bool = False) -> Extraction:
        return Extraction(
            *self._reader.call(
                objects,
                lambda address, types: self._extractor.extract(address, types, self._n_threads, accept_undefined),
            )
        )

    def _infer_bound(self, state: Any) -> Any:
        try:
            return self.infer_bound(state)
        except Exception:  # counted with the states that cannot be read
            return None

    def _register(self, representatives: Sequence[Any]) -> bool:
        """Reads what the stages of these states compute and hands it over. Returns whether there was any."""
        registered = False
        schedules = self._reader.read_schedules(representatives)
        for state, schedule in zip(representatives, schedules, strict=True):
            try:
                structure = schedule.structure()
                computation = self._computations.read(structure, state)
                self._extractor.register_computation(
                    encode_structure(structure), self._reader.computation(computation, self.writer)
                )
                registered = True
            except Exception as error:  # its states are counted with those that cannot be read
                logger.debug("a set of stages of task %s cannot be read: %r", self.task.workload_key, error)
        return registered

    def _warn(self, states: Sequence[Any], readable: NDArray[np.bool_], native_error: str) -> None:
        """Says how many states were left out, and why the first: through Python, which knows best."""
        first = int(np.flatnonzero(~readable)[0])
        try:
            self.graph(states[first])
            reason = native_error or "no computation"
        except Exception as error:
            reason = reason_of(error)
        self._warn_of_unreadable(int((~readable).sum()), len(states), first, reason)


def _state_objects(states: Sequence[Any]) -> Any:
    """The states as a TVM Array; None stands for what is no state, and perhaps not TVM's at all."""
    from tvm.auto_scheduler.loop_state import StateObject
    from tvm.ir.container import Array

    if isinstance(states, Array):
        return states
    objects = (state_object(state) for state in states)
    return as_array([obj if isinstance(obj, StateObject) else None for obj in objects])
