"""No command goes to the network unasked: each runs with a hook in every Python process that refuses connections."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = """
import os, sys

def refuse(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and not isinstance(arguments[1], (str, bytes))):
        host = arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]
        if host not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["CONNECTIONS"], "a") as out:
                out.write(f"{event} {host}\\n")
            raise PermissionError(f"no network: {event} {host}")

sys.addaudithook(refuse)
with open(os.environ["PROCESSES"], "a") as out:
    out.write(f"{os.getpid()}\\n")
"""
QUICK = ["--population", "16", "--repeat", "1", "--min-repeat-ms", "1"]
COMMANDS = [
    ["tune", "matmul", "32", "32", "32", "--trials", "4", "--round", "2", *QUICK, "--log-file", "log.json"],
    ["collect", "matmul", "32", "32", "32", "--trials", "8", *QUICK, "--wait-quiet", "0", "--remeasure", "0"],
    ["train", "pools", "--output", "m.ckpt", "--epochs", "1", "--validation", "0"],
    ["evaluate", "pools", "--experiments", "unseen", "--models", "gnn,random", "--seeds", "1"],
    ["inspect", "--log", "log.json"],
    ["report", "log.json"],
    ["workloads"],
]


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the commands; every Python process that begins in it has the hook."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"), prepend=os.pathsep)
    monkeypatch.setenv("CONNECTIONS", str(tmp_path / "connections.txt"))
    monkeypatch.setenv("PROCESSES", str(tmp_path / "processes.txt"))
    return tmp_path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300)


def test_commands_make_no_connection(hooked: Path) -> None:
    for arguments in COMMANDS:
        done = run([sys.executable, "-m", "tvm_gnn_cost", *arguments], hooked)
        assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
    assert not (hooked / "connections.txt").exists(), (hooked / "connections.txt").read_text()
    assert len((hooked / "processes.txt").read_text().splitlines()) > len(COMMANDS), "workers have the hook, too"


def test_the_hook_refuses(hooked: Path) -> None:
    done = run([sys.executable, "-c", "import urllib.request as u; u.urlopen('http://192.0.2.1/', timeout=1)"], hooked)
    assert done.returncode != 0 and "no network" in done.stderr
    assert (hooked / "connections.txt").read_text().startswith("socket.")
