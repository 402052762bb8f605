"""Processes that do one call after another: killed when late, and what goes wrong in one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import runs

from tvm_gnn_cost.measuring.workers import WorkerPool
from tvm_gnn_cost.testing.rpc_rig import wait_for


def by_value(code: str) -> Any:
    """A function that no worker could import."""
    return eval(code)


def named(*command: str) -> list[psutil.Process]:
    """The running processes with that command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == [*command] and runs(p)]


def test_a_late_call_is_killed_with_the_processes_it_started() -> None:
    """As a hung compiler, started by a compiler's driver; one is waited for, the other is not."""
    driver = by_value("lambda: __import__('subprocess').run(['sh', '-c', 'sleep 61.25 & sleep 61.5; true'])")
    with WorkerPool(1) as pool:
        late = pool.submit(driver, (), 1.0)
        with pytest.raises(TimeoutError, match="killed after 1 s"):
            late.result()
        assert not named("sleep", "61.25") and not named("sleep", "61.5")
        assert pool.submit(sum, ([1, 2],), 30.0).result() == 3  # and a new worker goes on


def test_closing_a_pool_ends_calls_with_the_processes_they_started() -> None:
    with WorkerPool(1) as pool:
        running = pool.submit(subprocess.run, (["sleep", "61.75"],), 60.0)
        waiting = pool.submit(sum, ([1, 2],), 60.0)
        wait_for(lambda: bool(named("sleep", "61.75")))
    with pytest.raises(ChildProcessError):
        running.result(timeout=0)
    assert waiting.cancelled() and not named("sleep", "61.75")


def test_workers_live_from_call_to_call_until_they_are_renewed() -> None:
    with WorkerPool(1) as pool:
        first, second = (pool.submit(os.getpid, (), 30.0).result() for _ in range(2))
        pool.renew()
        assert first == second != pool.submit(os.getpid, (), 30.0).result()


def test_what_goes_wrong_in_a_call_is_that_calls_error_alone() -> None:
    nameless = by_value(
        "lambda: (_ for _ in ()).throw(type('Odd', (Exception,), {'lock': __import__('_thread').allocate_lock()})())"
    )
    two_arguments = by_value("lambda: (_ for _ in ()).throw(UnicodeDecodeError('a', b'b', 0, 1, 'odd'))")
    with WorkerPool(1) as pool:
        with pytest.raises(ChildProcessError, match="died, exit status 7"):
            pool.submit(os._exit, (7,), 30.0).result()
        with pytest.raises(ValueError, match="invalid literal") as caught:
            pool.submit(int, ("x",), 30.0).result()
        assert "in the worker process" in str(caught.value.__cause__)
        with pytest.raises(UnicodeDecodeError, match="odd"):
            pool.submit(two_arguments, (), 30.0).result()
        with pytest.raises(RuntimeError, match="Odd"):
            pool.submit(nameless, (), 30.0).result()
        with pytest.raises(TypeError, match="pickle"):
            pool.submit(threading.Lock, (), 30.0).result()
        with pytest.raises(TypeError, match="pickle"):
            pool.submit(print, (threading.Lock(),), 30.0).result()
        assert pool.submit(sum, ([1, 2],), 30.0).result() == 3


def test_a_worker_finds_what_its_parent_finds_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with WorkerPool(1) as pool:
        folder = Path(pool._folder.name)

        def ask(code: str) -> Any:
            return pool.submit(eval, (code,), 30.0).result()

        assert ask("__import__('sys').path") == sys.path
        assert ask("'tvm' in __import__('sys').modules")
        signals = ask("(lambda s: (s.getsignal(s.SIGINT) == s.SIG_IGN))(__import__('signal'))")
        assert signals, "Ctrl-C is the parent's matter"
        assert ask("__import__('multiprocessing').current_process().name") == "MainProcess", "nothing was forked"
        assert Path(ask("__import__('tempfile').mkdtemp()")).parent == folder
        assert ask("__import__('subprocess').run('echo heard; echo heard >&2', shell=True).returncode") == 0
        ask("print('heard')")
    assert not folder.exists()
    assert "heard" not in "".join(capfd.readouterr())
