"""A pool that was collected once for all tests of this folder."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from matmul_pools import FLAGS

from tvm_gnn_cost.cli import main


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a pool of 12 records, and what the command said."""
    folder = tmp_path_factory.mktemp("collected")
    (folder / "workloads.txt").write_text("# one workload\n\nmatmul 32 32 32   # tiny\nmatmul 32 32 32\n")
    arguments = ["collect", "--workloads", str(folder / "workloads.txt"), "--output", str(folder / "pools")]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")
        assert main([*arguments, "--trials", "12", *FLAGS]) == 0
    return folder / "pools", out.getvalue()


@pytest.fixture
def folder(collected: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the pool."""
    shutil.copytree(collected[0], tmp_path / "pools")
    return tmp_path / "pools"
