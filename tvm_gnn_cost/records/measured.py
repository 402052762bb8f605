"""Measurements as the learner takes them: stage graphs with latencies, task by task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredGraphs:
    """n graphs with latency (n,) in seconds (inf: failed), task keys and flop (n,); and what each trial took, (n,) in
    seconds (nan: not known)."""

    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    task: list[str]
    flop: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @staticmethod
    def of_task(
        graphs: StageGraphBatch, latency: Sequence[float], key: str, flop: float, seconds: Sequence[float] | None = None
    ) -> MeasuredGraphs:
        """Measurements of one task."""
        count = len(latency)
        took = np.full(count, np.nan) if seconds is None else np.array(seconds, dtype=np.float64)
        return MeasuredGraphs(graphs, np.array(latency, dtype=np.float64), [key] * count, np.full(count, flop), took)

    @staticmethod
    def concatenate(parts: Sequence[MeasuredGraphs]) -> MeasuredGraphs | None:
        """The parts end to end; None if there are none."""
        if not parts:
            return None
        return MeasuredGraphs(
            StageGraphBatch.concatenate([p.graphs for p in parts]),
            np.concatenate([p.latency for p in parts]),
            [name for p in parts for name in p.task],
            np.concatenate([p.flop for p in parts]),
            np.concatenate([p.seconds for p in parts]),
        )


def warn_of_unusable(latency: Sequence[float | None], costs_of: Callable[[int], Sequence[float]]) -> None:
    """Tells in the log how many measurements have no latency, and of the first its number and its costs."""
    missing = [i for i, value in enumerate(latency) if value is None]
    if missing:
        logger.warning(
            "%d of %d measurements have no usable cost and are left out; the first is number %d (costs %s)",
            len(missing), len(latency), missing[0], costs_of(missing[0]),
        )  # fmt: skip
