"""What MetaSchedule does after each round's measurements, where failed builds are to be learnt as well.

TVM's own `UpdateCostModel` (`src/meta_schedule/measure_callback/update_cost_model.cc`) hands over what was built and
failed to run, but nothing that failed to build: a model that learns by it proposes such schedules again and again, and
each costs the builder's whole time limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.meta_schedule.api import derived_object, ms
from tvm_gnn_cost.system.interrupts import passing_on_interrupts


@derived_object
class UpdateCostModel(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
    """TVM's callback of this name, but the cost model learns failed builds, too. For any cost model."""

    def apply(
        self,
        task_scheduler: Any,
        task_id: int,
        measure_candidates: Sequence[Any],
        builder_results: Sequence[Any],
        runner_results: Sequence[Any],
    ) -> None:
        """Updates the scheduler's cost model. A build that failed has its message in its runner's result."""
        model = task_scheduler.cost_model_
        if model is None:
            return
        context = task_scheduler.tasks_[task_id].ctx
        with passing_on_interrupts("while the cost model was at work"):
            ms.cost_model.CostModel.update(model, context, measure_candidates, runner_results)


def measure_callbacks() -> list[Any]:
    """`measure_callbacks` for `ms.tune_tir` and the like: TVM's default ones, but failed builds are learnt, too."""
    return [ms.measure_callback.AddToDatabase(), ms.measure_callback.RemoveBuildArtifact(), UpdateCostModel()]
