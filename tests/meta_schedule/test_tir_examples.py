"""Each example really tunes, compiles, runs and checks its result, with a small budget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


LIGHT_WORKERS = """
import sys
from types import ModuleType
if "tvm.exec.popen_worker" in sys.orig_argv:
    for name in ("tvm.s_tir.tensor_intrin", "tvm.tir.tensor_intrin"):
        sys.modules[name] = ModuleType(name)
"""
"""For `sitecustomize`: TVM's processes that build parse tensor intrinsics for ten seconds, which nothing here uses."""


def run_example(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(LIGHT_WORKERS)
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        timeout=600,
    )


def test_matmul(tmp_path: Path) -> None:
    arguments = ("--size", "64", "--trials", "2", "--population", "16")
    done = run_example("metaschedule_tune_matmul.py", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "GFLOP/s; database: matmul" in done.stdout
    assert len((tmp_path / "matmul" / "database_tuning_record.json").read_text().splitlines()) == 2


def test_relax_model(tmp_path: Path) -> None:
    arguments = ("--size", "8", "--channels", "4", "--trials", "2", "--population", "16")
    done = run_example("metaschedule_tune_relax_model.py", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "outputs agree with PyTorch's" in done.stdout
    assert len((tmp_path / "classifier" / "database_tuning_record.json").read_text().splitlines()) == 2
