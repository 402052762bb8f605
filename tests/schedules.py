"""The shipped schedules, for tests beside this file."""

from __future__ import annotations

from tvm_gnn_cost.testing.schedules import (
    GPU_HARDWARE,
    WORKLOADS,
    make_policy,
    make_task,
    measured,
    random_costs,
    sample_states,
    stock_verdict,
)

__all__ = [
    "GPU_HARDWARE",
    "WORKLOADS",
    "make_policy",
    "make_task",
    "measured",
    "random_costs",
    "sample_states",
    "stock_verdict",
]
