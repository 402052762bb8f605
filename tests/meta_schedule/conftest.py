"""What several test modules of this folder learn: a matmul on a CPU. A module with another one overrides these."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import COUNT, matmul, write_database

from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.testing.conformance_meta_schedule import make_context


@pytest.fixture(scope="session")
def context() -> Any:
    return make_context("matmul")


@pytest.fixture(scope="session")
def candidates(context: Any) -> list[Any]:
    """24 candidates of the context's task."""
    return sample_candidates(context.mod, context.target, 24)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A database of two workloads, and what its candidates were (`databases.write_database`)."""
    folder = tmp_path_factory.mktemp("made") / "tuned"
    return folder, write_database(folder, [matmul(32), matmul(64)], COUNT)


@pytest.fixture
def database(made: tuple[Path, list[Any]], tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(made[0], tmp_path / "tuned"))


@pytest.fixture(autouse=True)
def _tvms_logger() -> Iterator[None]:
    """MetaSchedule sets loggers up that do not propagate; pytest then gives them handlers, which TVM cannot do with."""
    yield
    logger = logging.getLogger(ms.__name__)
    logger.handlers, logger.propagate = [], True
