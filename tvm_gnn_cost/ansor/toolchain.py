"""What a `Measurer` needs of auto_scheduler: how its schedules are built, and what its results look like."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.measuring.measurer import FAILED_COST, Built
from tvm_gnn_cost.measuring.program import Program, Reading, device_kind
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler import MeasureInput, MeasureResult


class AnsorToolchain:
    """A `Toolchain` whose candidates are MeasureInputs, and whose results MeasureResults."""

    imports: tuple[str, ...] = ("tvm.auto_scheduler",)

    def build_call(
        self, candidate: MeasureInput, export: Callable[..., None]
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """TVM's own worker function."""
        from tvm.auto_scheduler.measure import local_build_worker

        return local_build_worker, ((candidate.serialize(), export, 0),)

    def built(self, candidate: MeasureInput, answer: Any) -> Built:
        from tvm.auto_scheduler.measure import BuildResult, prepare_runner_args

        file, arguments, error_no, message, seconds = answer
        if error_no:
            return Built(None, int(error_no), float(seconds), str(message))
        shapes = [(tuple(int(extent) for extent in tensor.shape), str(tensor.dtype)) for tensor in arguments]
        values = prepare_runner_args(candidate, BuildResult(file, arguments, 0, None, seconds))
        return Built(Program(file, device_kind(candidate.task.target), shapes, values), 0, float(seconds))

    def result(self, reading: Reading, seconds: float) -> MeasureResult:
        costs = reading.costs if not reading.error_no else (FAILED_COST,)
        return require_auto_scheduler().MeasureResult(costs, reading.error_no, reading.message, seconds, time.time())
