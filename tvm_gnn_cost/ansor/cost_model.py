"""`GNNCostModel`: the cost model that TVM's auto_scheduler calls, made of stage graphs and a learner.

When to use it: wherever a script has `auto_scheduler.XGBModel()`. It keeps the contracts of the C++ that calls it
(`src/auto_scheduler/cost_model.cc`, `search_policy/sketch_policy.cc`): scores are finite and positive, higher is
better, 1.0 is as fast as the best measured schedule of the task; a schedule that cannot run scores -inf.
"""

from __future__ import annotations

import ctypes
import json
import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.measured_graphs import read_measurements
from tvm_gnn_cost.ansor.measurements import check_pairs
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.record_log import read_records
from tvm_gnn_cost.ansor.search_guard import SearchGuard, is_from_search
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.task_identity import identity_of, same_computation
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning.front import CostModelFront, RecentSources
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.interrupts import passing_on_interrupts

_auto_scheduler = require_auto_scheduler()

logger = logging.getLogger(__name__)


class GNNCostModel(CostModelFront, _auto_scheduler.cost_model.cost_model.PythonBasedModel):  # type: ignore[misc, name-defined]
    """Ranks schedules with a graph network on stage graphs, trained online as measurements come in.

    Options: see `CostModelFront.__init__`.

    Attributes:
        core: the model without TVM: what it has learnt, and its options.
    """

    search_params: Mapping[str, Any] = MappingProxyType(
        {"eps_greedy": 0.2, "evolutionary_search_population": 512, "evolutionary_search_num_iters": 8}
    )
    """What `make_search_policies` asks of the search for this model, unless the user says otherwise.

    A fifth of each round is measured at random; a tenth where other register tiles have the rest (`local_search`).
    TVM's own 0.05 is none of 16: with a network that is sure of itself from the first round on, a search that begins
    in the wrong place stays there (docs/experiments.md). And eight generations of 512 take less than half the time of
    TVM's four of 2,048, of which only a part is the model's, and find schedules that score as high.
    """

    sources: RecentSources[StageGraphBuilder]

    # -- what TVM calls --------------------------------------------------------------------------------------------

    def update(self, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        """Learns from new measurements (lists of MeasureInput and MeasureResult, or TVM arrays of them).

        Failed measurements are learnt as slower than any other. Measurements without a usable cost (none, NaN, zero,
        negative) and states that cannot be read are counted, reported in the log and left out.

        Raises InvalidArgumentError where the lists differ in length or hold something else.
        """
        inputs, results = list(inputs), list(results)
        check_pairs(inputs, results)
        measured = read_measurements(inputs, results, self._source) if inputs else None
        if measured is not None:
            self.core.learn(measured, len(inputs) - len(measured.latency))

    def predict(self, task: Any, states: Sequence[Any]) -> NDArray[np.float64]:
        """Scores, float64 (len(states),): relative throughput, or -inf for a state that cannot run.

        Never raises because of a bad state. One that cannot be read, which the log says once, still has a score if TVM
        can build it. Where TVM's search asks (it hands over an Array of its own, and so do models around this one) and
        no state of the task can run, all pass with a tiny score, since the search would never end (`search_guard`); and
        which of them TVM lowers but cannot build is found out only of those that it may measure.
        """
        source = self._source(task)
        if not is_from_search(states):
            return self.core.score(source, states).scores
        return self._guard(source).scores(states, lambda some: self.core.score(source, some, for_search=True).scores)

    def predict_stages(self, task: Any, states: Sequence[Any]) -> NDArray[np.float64]:
        """The scores of `predict`, then for every state the number of its computed stages and their scores.

        The packed format of `PythonBasedModel.predict_stages`. The stages' scores of a state sum to its score; a state
        that cannot run, or cannot be read, has 0 of them.
        """
        scored = self.core.score(self._source(task), states)
        parts: list[NDArray[np.float64]] = [scored.scores]
        graph = 0
        for i, readable in enumerate(scored.built.readable):
            shares = np.zeros(0)
            if readable:
                if np.isfinite(scored.scores[i]):
                    nodes = slice(scored.built.graphs.node_ptr[graph], scored.built.graphs.node_ptr[graph + 1])
                    mask = scored.built.scored_nodes[nodes]
                    shares = _shares(scored.time_shares[nodes][mask], float(scored.scores[i]))
                graph += 1
            parts += [np.array([float(len(shares))]), shares]
        return np.concatenate(parts)

    # -- more than TVM asks for ------------------------------------------------------------------------------------

    def predict_latency(self, task: Any, states: Sequence[Any]) -> NDArray[np.float64]:
        """Predicted latency in seconds, float64 (len(states),); nan where the state cannot run or the model is cold."""
        return self.core.score(self._source(task), states).candidate_latency

    def time_shares(self, task: Any, state: Any) -> NDArray[np.float64]:
        """What part of one state's time the network gives to each stage: float64 (number of stages,), sum 1.

        In TVM's order, placeholders and inlined stages included. nan while the model is cold. Raises
        InvalidArgumentError for a state that cannot be read.
        """
        scored = self.core.score(self._source(task), [state])
        if not scored.built.readable[0]:
            raise InvalidArgumentError(f"the state of task {task.workload_key} cannot be read; the log says why")
        return scored.time_shares

    def update_from_file(self, file_name: str | PathLike[str], n_lines: int | None = None) -> None:
        """Learns from a record log, the first `n_lines` of it if given. Bad lines are counted, reported and left out.

        Raises RecordError where the file is missing or is no record log at all.
        """
        log = read_records(file_name, n_lines)
        logger.info("GNNCostModel: loaded %d measurement records from %s", len(log), file_name)
        self.update(log.inputs, log.results)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        """What `PythonBasedModel.__init__` does, and Ctrl-C is passed on to the user (see `TuningInterrupted`)."""

        def update(inputs: Any, results: Any) -> None:
            with passing_on_interrupts("while the cost model was at work"):
                self.update(inputs, results)

        def predict(task: Any, states: Any, destination: Any) -> None:
            with passing_on_interrupts("while the cost model was at work"):
                _fill(destination, self.predict(task, states))

        def predict_stages(task: Any, states: Any, destination: Any) -> None:
            with passing_on_interrupts("while the cost model was at work"):
                _fill(destination, self.predict_stages(task, states))

        self._guards: WeakKeyDictionary[StageGraphBuilder, SearchGuard] = WeakKeyDictionary()
        constructor = _auto_scheduler._ffi_api.PythonBasedModel
        self.__init_handle_by_constructor__(constructor, update, predict, predict_stages)

    def _guard(self, source: StageGraphBuilder) -> SearchGuard:
        """What stands between the search of a task and its scores."""
        if source not in self._guards:
            self._guards[source] = SearchGuard(source.task.workload_key)
        return self._guards[source]

    def _source(self, task: Any) -> StageGraphBuilder:
        """What makes the task's graphs: one for each task."""
        key = identity_of(task).key
        source = self.sources.of(key, lambda: make_builder(task), lambda known: same_computation(known.task, task))
        self.core.meet(source)
        self.core.trainer.recognise(key, json.dumps([task.workload_key, str(task.target)]))
        return source


def _fill(destination: Any, values: NDArray[np.float64]) -> None:
    """Writes the values to the float array that C++ points to."""
    pointer = ctypes.cast(destination, ctypes.POINTER(ctypes.c_float))
    np.ctypeslib.as_array(pointer, shape=values.shape)[:] = values


def _shares(time_shares: NDArray[np.float64], score: float) -> NDArray[np.float64]:
    """The score, divided among stages as their time is; evenly where they have none."""
    total = time_shares.sum()
    if not total > 0:
        return np.full(len(time_shares), score / max(1, len(time_shares)))
    return time_shares * (score / total)
