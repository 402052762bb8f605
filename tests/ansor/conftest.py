"""What several test modules of this folder learn: a matmul on a CPU. A module with another one overrides these."""

from __future__ import annotations

from typing import Any

import pytest

from tvm_gnn_cost.testing.schedules import make_task, sample_states


@pytest.fixture(scope="module")
def task() -> Any:
    return make_task("matmul")


@pytest.fixture(scope="module")
def states(task: Any) -> list[Any]:
    """24 schedules of the task."""
    return sample_states(task, 24)
