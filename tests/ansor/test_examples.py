"""Each example really tunes, builds, runs and checks its result, with a small budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, cwd=folder, timeout=300
    )


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("tune_*.py")))
def test_help(name: str, tmp_path: Path) -> None:
    done = run_example(name, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--trials" in done.stdout and "--log-file" in done.stdout


def test_matmul(tmp_path: Path) -> None:
    done = run_example("tune_matmul_x86.py", "--size", "64", "--trials", "4", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "GFLOP/s; log: matmul.json" in done.stdout
    assert len((tmp_path / "matmul.json").read_text().splitlines()) == 4
    again = run_example("tune_matmul_x86.py", folder=tmp_path)
    assert again.returncode == 2 and "matmul.json exists" in again.stderr


def test_conv2d_and_resume(tmp_path: Path) -> None:
    arguments = ("--size", "8", "--channels", "8", "--trials", "4")
    done = run_example("tune_conv2d_x86.py", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    resumed = run_example("tune_conv2d_x86.py", *arguments, "--resume", folder=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    lines = (tmp_path / "conv2d.json").read_text().splitlines()
    assert len(lines) == 8


def test_network(tmp_path: Path) -> None:
    done = run_example("tune_network_x86.py", "--network", "mlp", "--trials", "8", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "outputs agree; log: mlp.json" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"mlp.json"}


def test_pytorch_module(tmp_path: Path) -> None:
    arguments = ("--size", "8", "--channels", "4", "--trials", "4", "--population", "16")
    done = run_example("tune_pytorch_module.py", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "outputs agree with PyTorch's" in done.stdout
