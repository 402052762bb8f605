"""Locks between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tvm_gnn_cost import BusyError
from tvm_gnn_cost.system.locks import only_writer

HOLDER = """
import sys
from tvm_gnn_cost.system.locks import only_writer
with only_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    process = hold(tmp_path / "log.json")
    with pytest.raises(BusyError, match=rf"log.json is being written by another process \({process.pid}\)"):
        with only_writer(tmp_path / "log.json"):
            pass
    with only_writer(tmp_path / "other.json"):
        pass
    process.communicate("")
    with only_writer(tmp_path / "log.json"):
        pass
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_killed_writer_locks_nothing(tmp_path: Path) -> None:
    process = hold(tmp_path / "log.json")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with only_writer(tmp_path / "log.json"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_and_its_target_are_one(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "log.json")
    process = hold(tmp_path / "log.json")
    with pytest.raises(BusyError):
        with only_writer(tmp_path / "link.json"):
            pass
    process.communicate("")


def test_where_there_can_be_no_lock_there_is_none(tmp_path: Path) -> None:
    with only_writer(tmp_path / "no" / "folder" / "log.json"):
        pass
