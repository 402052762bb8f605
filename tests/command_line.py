"""The command line in a process of its own, to be interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """Begins a command; what it says, errors too, is in `stdout`."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from tvm_gnn_cost.cli import main; sys.exit(main({arguments!r}))"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def interrupt_at(
    lines: int, log: Path, arguments: list[str], within: float, ends_within: float
) -> tuple[int, str, list[psutil.Process]]:
    """Sends SIGINT to a command once its log has so many lines, or `within` seconds have passed.

    Returns its status, what it said, and the processes that it had then. Fails if it then takes more than `ends_within`
    seconds to end.
    """
    process = start(arguments)
    try:
        deadline = time.monotonic() + within
        while (not log.exists() or log.read_bytes().count(b"\n") < lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=ends_within)
    finally:
        process.kill()
    return process.returncode, out, children


def runs(process: psutil.Process) -> bool:
    """Whether it still runs: a zombie, which waits for init to collect it, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
