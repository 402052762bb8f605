"""MetaSchedule's measurements as the learner takes them: stage graphs with latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.source import StageGraphSource
from tvm_gnn_cost.records.latency import latency
from tvm_gnn_cost.records.measured import MeasuredGraphs, warn_of_unusable

FAILED_SECONDS = 1e10
"""What `AddToDatabase` writes, in float32, where a measurement failed."""


def read_measurements(
    source: StageGraphSource, candidates: Sequence[Any], results: Sequence[Any]
) -> MeasuredGraphs | None:
    """The measurements of a task that can be used; None if none can. What is left out is told in the log.

    Args:
        source: makes the graphs of the task's candidates.
        candidates: MeasureCandidates.
        results: the RunnerResult of each.
    """
    known = [result_latency(result) for result in results]
    warn_of_unusable(known, lambda i: costs_of(results[i]))
    usable = [i for i, seconds in enumerate(known) if seconds is not None]
    built = source.build([candidates[i] for i in usable])
    readable = [i for i, ok in zip(usable, built.readable, strict=True) if ok]
    kept = [seconds for i in readable if (seconds := known[i]) is not None]
    return MeasuredGraphs.of_task(built.graphs, kept, source.key, source.flop) if kept else None


def result_latency(result: Any) -> float | None:
    """`latency` of a RunnerResult: the minimum of `run_secs`, inf if it failed, None if it has no usable cost."""
    costs = costs_of(result)
    failed = result.error_msg is not None or (bool(costs) and FAILED_SECONDS <= min(costs) < math.inf)
    return latency(costs, int(failed))


def costs_of(result: Any) -> list[float]:
    """The `run_secs` of a RunnerResult, or of a TuningRecord."""
    return [float(getattr(cost, "value", cost)) for cost in result.run_secs or ()]


def check_pairs(candidates: Sequence[Any], results: Sequence[Any]) -> None:
    """Raises InvalidArgumentError where these are not as many MeasureCandidates as RunnerResults."""
    if len(candidates) != len(results):
        raise InvalidArgumentError(f"{len(candidates)} candidates but {len(results)} results; each candidate needs one")
    for i, (candidate, result) in enumerate(zip(candidates, results, strict=True)):
        if not hasattr(candidate, "sch"):
            raise InvalidArgumentError(f"candidates[{i}] is {type(candidate).__name__}, not a MeasureCandidate")
        if not (hasattr(result, "run_secs") and hasattr(result, "error_msg")):
            raise InvalidArgumentError(f"results[{i}] is {type(result).__name__}, not a RunnerResult")
