"""A cost model behind a stopwatch: the same scores and updates, and safe points to stop at."""

from __future__ import annotations

import math
from typing import Any

from tvm_gnn_cost.measuring.gain import is_warm
from tvm_gnn_cost.measuring.tuning_run import TuningRun
from tvm_gnn_cost.meta_schedule.api import derived_object, ms
from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel
from tvm_gnn_cost.meta_schedule.measured_graphs import result_latency
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.search_guard import SearchGuard


def timed_model(model: Any, run: TuningRun) -> Any:
    """A PyCostModel that hands everything on to `model`, MetaSchedule's own or a PyCostModel.

    A stop is raised through TVM as an `Exception`: that is all that its FFI hands on. This package's model is asked
    through its guard, as TVM would ask it.
    """
    answering: Any = SearchGuard(model) if isinstance(model, GNNCostModel) else model

    @derived_object
    class TimedModel(ms.cost_model.PyCostModel):  # type: ignore[misc, name-defined]
        def load(self, path: str) -> None:
            model.load(path)

        def save(self, path: str) -> None:
            model.save(path)

        def update(self, context: Any, candidates: Any, results: Any) -> None:
            with run.in_model("train"):
                measured, latencies = list(candidates), [_latency(result) for result in results]
                promised = list(answering.predict(context, measured)) if is_warm(model) and run.has_begun else None
                answering.update(context, measured, list(results))
                rescore = (lambda some: answering.predict(context, some)) if is_warm(model) else None
                run.learnt(measured, latencies, _module_hash, promised, rescore)

        def predict(self, context: Any, candidates: Any) -> Any:
            with run.in_model("search"):
                scores = answering.predict(context, list(candidates))
            if is_warm(model):
                run.scored(list(candidates), scores)
            return scores

    return TimedModel()


def _latency(result: Any) -> float | None:
    latency = result_latency(result)
    return latency if latency is not None and math.isfinite(latency) else None


def _module_hash(candidate: Any) -> int:
    return int(NAMES.structural_hash(candidate.sch.mod))
