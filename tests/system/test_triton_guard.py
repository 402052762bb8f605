"""Triton is not loaded after TVM 0.19, where it would end the process; a stand-in ends it as the real one does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.tvm,
    pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="needs a TVM"),
]
BLOWS_UP_AFTER_TVM = 70
CRASHES = f"import os, sys\nif 'tvm' in sys.modules:\n    os._exit({BLOWS_UP_AFTER_TVM})\n"


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process in which there is a triton."""
    (folder / "triton").mkdir(parents=True)
    (folder / "triton" / "__init__.py").write_text(CRASHES)
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "begins",
    [
        "import tvm; from tvm_gnn_cost import GNNCostModel",
        "import tvm_gnn_cost, tvm; from tvm_gnn_cost import GNNCostModel",
        "import torch, tvm; from tvm_gnn_cost.ansor.cost_model import GNNCostModel",
    ],
)
def test_a_model_does_not_load_it_after_tvm(begins: str, tmp_path: Path) -> None:
    pytest.importorskip("tvm.auto_scheduler")
    done = run(f"{begins}\nGNNCostModel()\nimport torch._dynamo", tmp_path)
    assert done.returncode == 0, done.stderr


def test_who_asks_for_it_after_tvm_is_told_why_and_before_tvm_has_it(tmp_path: Path) -> None:
    pytest.importorskip("tvm.auto_scheduler")
    done = run("import tvm, tvm_gnn_cost\nimport triton", tmp_path)
    assert done.returncode == 1 and "import triton before tvm" in done.stderr
    done = run("import triton, tvm, tvm_gnn_cost\nimport triton\nprint(triton.__name__)", tmp_path / "again")
    assert done.stdout == "triton\n", done.stderr


def test_with_todays_tvm_it_is_loaded(tmp_path: Path) -> None:
    if importlib.util.find_spec("tvm.auto_scheduler") is not None:
        pytest.skip("needs apache-tvm")
    assert run("import tvm, tvm_gnn_cost\nimport triton", tmp_path).returncode == BLOWS_UP_AFTER_TVM
