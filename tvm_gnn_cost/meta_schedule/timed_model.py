"""A cost model behind a stopwatch: the same scores and updates, and safe points to stop at."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.measuring.tuning_run import TuningRun
from tvm_gnn_cost.meta_schedule.api import derived_object, ms
from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel
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
                answering.update(context, list(candidates), list(results))

        def predict(self, context: Any, candidates: Any) -> Any:
            with run.in_model("search"):
                scores = answering.predict(context, list(candidates))
            if getattr(model, "is_warm", False):  # only a model that has it promises what its scores mean
                run.expect(scores)
            return scores

    return TimedModel()
