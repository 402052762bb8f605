"""What is known of a task besides its records, and what tells tasks apart."""

from __future__ import annotations

import json
from dataclasses import dataclass


def make_task_key(workload: str, target: str) -> str:
    """What tells tasks apart, as JSON."""
    return json.dumps([workload, target])


def task_workload(key: str) -> str:
    """The workload of a task that `make_task_key` named."""
    return str(json.loads(key)[0])


@dataclass(frozen=True)
class StoredTask:
    """What is known of a task besides its records.

    Attributes:
        key: what tells tasks apart: workload and target.
        flop: floating-point operations.
        workload: TVM's workload key: what is computed, without the target.
        operator: the workload without its shape.
        target: TVM's target string.
        is_gpu: whether the target is a GPU.
    """

    key: str
    flop: float
    workload: str
    operator: str
    target: str
    is_gpu: bool
