"""Small comparisons of cost models, made by hand."""

from __future__ import annotations

from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.tuning_run import PhaseTimes, Trial


def make_run(model: str, seed: int, latencies: list[float | None], pace: float = 1.0) -> Run:
    """A run of one task of 2 GFLOP with a trial every `pace` seconds."""
    trials = tuple(Trial(0, latency, pace * (i + 1), 0 if latency else 6) for i, latency in enumerate(latencies))
    times = PhaseTimes(1.0, 2.0, 0.5, 0.9, pace * len(latencies))
    return Run(model, seed, "2026-01-01T00:00:00+00:00", trials, times, (1.0,), (2e9,), f"{model}-seed{seed}.json")


def make_comparison(*runs: Run) -> Comparison:
    return Comparison("matmul 8 8 8", {"trials": 4}, {"cpu": "a CPU", "cores": 2}, {"numpy": "2"}, "2026-01-01", runs)
