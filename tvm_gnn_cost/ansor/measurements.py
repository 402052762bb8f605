"""Measurements as the learner takes them: one latency for a record, one identity for a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.states.te_reader import address
from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.ansor.task_identity import TaskIdentities, identity_of
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.latency import latency

if TYPE_CHECKING:
    from tvm.auto_scheduler.measure import MeasureResult


MOST_SECONDS = 1e6
"""A record that says more says nothing: auto_scheduler has 1e10 for a measurement that it gave up."""


def task_key(task: Any) -> str:
    """What tells tasks apart, see `TaskIdentity.key`."""
    return identity_of(task).key


def task_flop(task: Any) -> float:
    """Floating-point operations of a task (`count_flop`); at least 1, since pure data movement has none."""
    return max(1.0, count_flop(task.compute_dag))


def result_latency(result: Any) -> float | None:
    """`latency` of a MeasureResult."""
    return latency(costs_of(result), int(result.error_no))


def readings(result: Any) -> list[float]:
    """The repeats of a MeasureResult in seconds; none for a failed one."""
    return costs_of(result) if int(result.error_no) == 0 else []


def trial_seconds(result: Any) -> float:
    """What building and measuring took; nan where the record does not say it."""
    seconds = float(getattr(result.all_cost, "value", result.all_cost))
    return seconds if 0.0 < seconds < MOST_SECONDS else math.nan


def costs_of(result: Any) -> list[float]:
    """The costs of a MeasureResult in seconds, whatever became of the measurement."""
    return [float(getattr(cost, "value", cost)) for cost in result.costs]


def usable_by_task(inputs: Sequence[Any], results: Sequence[Any]) -> tuple[dict[str, list[int]], list[float | None]]:
    """The positions of the measurements that can be used, by the key of their task, in order of appearance; and the
    latency of each in seconds (inf: failed, None: it cannot be used)."""
    groups: dict[str, list[int]] = {}
    identities = TaskIdentities()
    keys: dict[
        int, str
    ] = {}  # by the task's address: a batch is mostly of one task, and asking TVM about it takes time
    latencies = [result_latency(result) for result in results]
    for i, (inp, known) in enumerate(zip(inputs, latencies, strict=True)):
        if known is not None:
            task = inp.task
            where = address(task)
            if where not in keys:
                keys[where] = identities.of(task).key
            groups.setdefault(keys[where], []).append(i)
    return groups, latencies


def check_pairs(inputs: Sequence[Any], results: Sequence[Any]) -> None:
    """Raises InvalidArgumentError where these are not as many MeasureInputs as MeasureResults."""
    if len(inputs) != len(results):
        raise InvalidArgumentError(f"{len(inputs)} measure inputs but {len(results)} results; each input needs one")
    for i, (inp, res) in enumerate(zip(inputs, results, strict=True)):
        if not (hasattr(inp, "task") and hasattr(inp, "state")):
            raise InvalidArgumentError(f"inputs[{i}] is {type(inp).__name__}, not a MeasureInput")
        if not (hasattr(res, "costs") and hasattr(res, "error_no")):
            raise InvalidArgumentError(f"results[{i}] is {type(res).__name__}, not a MeasureResult")


def measured_latency(result: MeasureResult) -> float | None:
    """The latency in seconds of a MeasureResult: the best of its readings, as noise only slows; None if it failed."""
    latency = result_latency(result)
    return latency if latency is not None and math.isfinite(latency) else None
