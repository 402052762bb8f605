"""`GNNCostModel`: the cost model that TVM's MetaSchedule calls, made of stage graphs and a learner.

When to use it: wherever a script has `cost_model="xgb"`. It keeps the contracts of the C++ that calls it
(`docs/contracts.md`): scores are finite and positive, higher is better, 1.0 is as fast as the best measured schedule of
the task; a schedule that cannot run scores -inf.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.source import StageGraphSource
from tvm_gnn_cost.learning.front import CostModelFront, RecentSources
from tvm_gnn_cost.meta_schedule.api import COST_MODEL_CALLS, TVMCostModel
from tvm_gnn_cost.meta_schedule.database_graphs import read_graphs
from tvm_gnn_cost.meta_schedule.measured_graphs import check_pairs, read_measurements
from tvm_gnn_cost.meta_schedule.search_guard import SearchGuard
from tvm_gnn_cost.meta_schedule.source import make_source, primitive_function, task_key
from tvm_gnn_cost.records.measured import MeasuredGraphs

logger = logging.getLogger(__name__)


class GNNCostModel(CostModelFront, TVMCostModel):  # type: ignore[misc]
    """Ranks schedules with a graph network on stage graphs, trained online as measurements come in.

    Options: see `CostModelFront.__init__`.

    Attributes:
        core: the model without TVM: what it has learnt, and its options. One checkpoint serves both schedulers.
    """

    learns_failed_builds = True
    """Asks this package's tuning for what could not be built too, of which MetaSchedule tells its models nothing."""

    sources: RecentSources[StageGraphSource]

    # -- what TVM calls --------------------------------------------------------------------------------------------

    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        """Learns from new measurements of one task.

        Failed measurements (`error_msg`) are learnt as slower than any other. Measurements without a usable cost (no
        `run_secs`, or NaN, zero, negative ones) and candidates that cannot be read are counted, reported in the log
        and left out.

        Args:
            context: the task's TuneContext: its unscheduled `mod` and its `target` are used.
            candidates: MeasureCandidates.
            results: the RunnerResult of each.

        Raises InvalidArgumentError where the lists differ in length or hold something else.
        """
        candidates, results = list(candidates), list(results)
        check_pairs(candidates, results)
        if not candidates:
            return
        measured = read_measurements(self._source(context), candidates, results)
        if measured is not None:
            self.core.learn(measured, len(candidates) - len(measured.latency))

    def predict(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]:
        """Scores, float64 (len(candidates),): relative throughput, or -inf for a candidate that cannot run.

        Never raises because of a bad candidate. TVM's search, which asks through its own interface, is also answered
        where nothing can run, or where the model fails (`search_guard`).
        """
        return self.core.score(self._source(context), candidates).scores

    # -- more than TVM asks for ------------------------------------------------------------------------------------

    def predict_latency(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]:
        """Predicted seconds, float64 (len(candidates),); nan where one cannot run or the model is cold."""
        return self.core.score(self._source(context), candidates).candidate_latency

    def time_shares(self, context: Any, candidate: Any) -> NDArray[np.float64]:
        """What part of one candidate's time the network gives to each stage: float64 (number of stages,), sum 1.

        In the order of the stages of its graph, placeholders included. nan while the model is cold. Raises
        InvalidArgumentError for a candidate that cannot be read.
        """
        scored = self.core.score(self._source(context), [candidate])
        if not scored.built.readable[0]:
            raise InvalidArgumentError("the candidate cannot be read; the log says why")
        return scored.time_shares

    def update_from_database(self, database: Any) -> None:
        """Learns all that a database holds. Records that cannot be used are counted, reported and left out.

        Args:
            database: a JSONDatabase, or the path of its folder (`work_dir`) or of its table of records.

        Raises RecordError where it is missing, cannot be read at all, or where another TVM wrote it.
        """
        path = getattr(database, "path_tuning_record", database)
        if not isinstance(path, str | PathLike):
            raise InvalidArgumentError(f"database must be a JSONDatabase or a path, got {type(database).__name__}")
        read = list(read_graphs(Path(path), self._source_of))
        measured = MeasuredGraphs.concatenate([graphs for _, graphs, _ in read if len(graphs.latency)])
        if measured is not None:
            logger.info("GNNCostModel: loaded %d measurement records from %s", len(measured.latency), path)
            self.core.learn(measured, sum(unreadable for _, _, unreadable in read))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        """Makes TVM's object of this model, whose functions C++ calls.

        C++ holds a twin of the model, with the same state but without TVM's object: the model would keep itself alive
        for ever, or die while C++ still calls it (`strategy.pre_tuning(..., cost_model=GNNCostModel())`).
        """
        twin = type(self).__new__(type(self))
        twin.__dict__ = self.__dict__
        guard = SearchGuard(twin)
        functions: dict[str, Any] = {
            "load": guard.load,
            "save": guard.save,
            "update": guard.update,
            "predict": guard.predict,
            "__str__": guard.describe,
        }
        TVMCostModel.__init__(self, *[functions[name] for name in COST_MODEL_CALLS])

    def _source(self, context: Any) -> StageGraphSource:
        """What makes the task's graphs: one for each module and target, whichever context they come in."""
        mod, target = getattr(context, "mod", None), getattr(context, "target", None)
        if mod is None or target is None:
            raise InvalidArgumentError(f"context must be a TuneContext with `mod` and `target`, got {context!r}")
        return self._source_of(mod, target)

    def _source_of(self, mod: Any, target: Any) -> StageGraphSource:
        source = self.sources.of(task_key(primitive_function(mod), target), lambda: make_source(mod, target))
        self.core.meet(source)
        return source
