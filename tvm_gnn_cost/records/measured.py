"""Measurements as the learner takes them: stage graphs with latencies, task by task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch


@dataclass(frozen=True)
class MeasuredGraphs:
    """n graphs with latency (n,) in seconds (inf: failed), task keys and flop (n,)."""

    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    task: list[str]
    flop: NDArray[np.float64]
