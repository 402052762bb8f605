"""Measurements as the learner takes them: one latency for a record, one key for a task."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError


def make_task_key(workload: str, target: str) -> str:
    """What tells tasks apart, as JSON."""
    return json.dumps([workload, target])


def task_key(task: Any) -> str:
    """What tells tasks apart: workload and target."""
    return make_task_key(task.workload_key, str(task.target))


def task_workload(key: str) -> str:
    """The workload of a task that `make_task_key` named."""
    return str(json.loads(key)[0])


def task_flop(task: Any) -> float:
    """Floating-point operations of a task; at least 1, since TVM counts none for pure data movement."""
    return max(1.0, float(task.compute_dag.flop_ct))


def latency(costs: Sequence[float], error_no: int) -> float | None:
    """Seconds of a measurement: the minimum of its repeats, since interference only ever slows a run down.

    inf for a failed measurement; None where a measurement without error has no usable cost.
    """
    if error_no != 0:
        return math.inf
    if not costs or any(not math.isfinite(cost) or cost <= 0.0 for cost in costs):
        return None
    return min(costs)


def result_latency(result: Any) -> float | None:
    """`latency` of a MeasureResult."""
    return latency(costs_of(result), int(result.error_no))


def readings(result: Any) -> list[float]:
    """The repeats of a MeasureResult in seconds; none for a failed one."""
    return costs_of(result) if int(result.error_no) == 0 else []


def costs_of(result: Any) -> list[float]:
    """The costs of a MeasureResult in seconds, whatever became of the measurement."""
    return [float(getattr(cost, "value", cost)) for cost in result.costs]


def check_pairs(inputs: Sequence[Any], results: Sequence[Any]) -> None:
    """Raises InvalidArgumentError where these are not as many MeasureInputs as MeasureResults."""
    if len(inputs) != len(results):
        raise InvalidArgumentError(f"{len(inputs)} measure inputs but {len(results)} results; each input needs one")
    for i, (inp, res) in enumerate(zip(inputs, results, strict=True)):
        if not (hasattr(inp, "task") and hasattr(inp, "state")):
            raise InvalidArgumentError(f"inputs[{i}] is {type(inp).__name__}, not a MeasureInput")
        if not (hasattr(res, "costs") and hasattr(res, "error_no")):
            raise InvalidArgumentError(f"results[{i}] is {type(res).__name__}, not a MeasureResult")
