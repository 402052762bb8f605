"""What several test modules of this folder learn: a matmul on a CPU. A module with another one overrides these."""

from __future__ import annotations

from typing import Any

import pytest

from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.testing.conformance_meta_schedule import make_context


@pytest.fixture(scope="session")
def context() -> Any:
    return make_context("matmul")


@pytest.fixture(scope="session")
def candidates(context: Any) -> list[Any]:
    """24 candidates of the context's task."""
    return sample_candidates(context.mod, context.target, 24)
