"""What a `Measurer` needs of MetaSchedule: how its candidates are built, and what becomes of their readings.

TVM's own LocalBuilder and LocalRunner are not used, see `measuring.workers`; and LocalBuilder starts every batch with
new processes, each of which imports TVM's tensor intrinsics for 7 to 14 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm_gnn_cost.measuring.measurer import Built
from tvm_gnn_cost.measuring.program import BUILD_TIMEOUT, COMPILE_HOST, Program, Reading, device_kind
from tvm_gnn_cost.measuring.task_books import Outcome
from tvm_gnn_cost.meta_schedule.api import ms


@dataclass(frozen=True)
class Candidate:
    """A schedule to be measured.

    Attributes:
        target: what it is compiled for.
        candidate: MetaSchedule's MeasureCandidate.
    """

    target: Any
    candidate: Any


@dataclass(frozen=True)
class Measurement:
    """What measuring a candidate gave.

    Attributes:
        readings: seconds; none where it failed.
        error_no: as auto_scheduler numbers them (`measuring.program`); 0 is success.
        message: of the failure.
        timestamp: when, as `time.time()` has it.
    """

    readings: tuple[float, ...]
    error_no: int = 0
    message: str = ""
    timestamp: float = 0.0

    @property
    def latency_s(self) -> float | None:
        """The best of the readings, as noise only slows; None where it failed."""
        return min(self.readings) if self.readings else None

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.latency_s, self.error_no, self.timestamp)

    @property
    def was_built(self) -> bool:
        """Whether there was a library; one that cannot be loaded fails when it is run."""
        return self.error_no not in (COMPILE_HOST, BUILD_TIMEOUT)

    def as_result(self) -> Any:
        """MetaSchedule's RunnerResult."""
        if self.readings:
            return ms.runner.RunnerResult(list(self.readings), None)
        return ms.runner.RunnerResult(None, self.message or f"error {self.error_no}")


class TIRToolchain:
    """A `Toolchain` whose candidates are `Candidate`s, and whose results `Measurement`s."""

    imports: tuple[str, ...] = ("tvm_gnn_cost.meta_schedule.building",)

    def build_call(
        self, candidate: Candidate, export: Callable[..., None]
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        import tvm

        from tvm_gnn_cost.meta_schedule.building import build_module

        mod, target = tvm.ir.save_json(candidate.candidate.sch.mod), tvm.ir.save_json(candidate.target)
        return build_module, (mod, target, export)

    def built(self, candidate: Candidate, answer: Any) -> Built:
        file, message, seconds = answer
        if file is None:
            return Built(None, COMPILE_HOST, float(seconds), str(message))
        arguments = [
            (tuple(int(extent) for extent in info.shape), str(info.dtype)) for info in candidate.candidate.args_info
        ]
        program = Program(file, device_kind(candidate.target), arguments, [None] * len(arguments))
        return Built(program, 0, float(seconds))

    def result(self, reading: Reading, seconds: float) -> Measurement:
        costs = tuple(reading.costs) if not reading.error_no else ()
        return Measurement(costs, reading.error_no, reading.message, time.time())
