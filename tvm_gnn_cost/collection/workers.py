"""Processes that build and run schedules, and are killed for good when their time is up.

TVM's own LocalBuilder and LocalRunner are not used: they rely on the worker to report its own time-out, LocalRunner
records a time-out as a device error, both start every batch with new processes, and what was half measured when
Ctrl-C came is lost.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

# A worker finds what its parent finds, leaves its files in one folder, and leaves Ctrl-C to its parent.
_SETUP = """
import signal, sys, tempfile
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
tempfile.tempdir = {folder!r}
import tvm.auto_scheduler
"""


class WorkerPool:
    """Worker processes, each doing one call at a time; a worker that was killed is started anew when next needed.

    Args:
        size: the number of workers.
    """

    def __init__(self, size: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-", ignore_cleanup_errors=True)
        self._workers = [_Worker(Path(self._folder.name)) for _ in range(size)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="tvm-gnn-cost-worker")

    def submit(self, function: Callable[..., Any], args: Sequence[Any], timeout_s: float) -> Future[Any]:
        """Call `function(*args)`, importable or picklable by value, in a worker.

        The future raises TimeoutError where the call took longer and was killed, with the processes it had started,
        ChildProcessError where the worker died, and else what the function raises.
        """
        return self._threads.submit(self._call, function, args, timeout_s)

    def close(self) -> None:
        """End all workers at once, whatever they are doing, and delete their files."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.close()
        self._folder.cleanup()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, function: Callable[..., Any], args: Sequence[Any], timeout_s: float) -> Any:
        worker = self._idle.get()
        try:
            return worker.call(function, args, timeout_s)
        finally:
            self._idle.put(worker)


class _Worker:
    def __init__(self, folder: Path) -> None:
        from tvm.contrib.popen_pool import PopenWorker

        code = _SETUP.format(path=sys.path, folder=str(folder))
        null = subprocess.DEVNULL  # compilers' warnings; errors come back as results
        self._process = PopenWorker(initializer=exec, initargs=(code,), stdout=null, stderr=null)

    def call(self, function: Callable[..., Any], args: Sequence[Any], timeout_s: float) -> Any:
        late = threading.Event()

        def end() -> None:
            late.set()
            self.kill()

        self._process.send(function, args)  # starts the process where there is none: that takes none of the time
        timer = threading.Timer(timeout_s, end)
        timer.daemon = True
        timer.start()
        try:
            return self._process.recv()
        except ChildProcessError:
            if late.is_set():
                raise TimeoutError(f"killed after {timeout_s:g} s") from None
            raise
        finally:
            timer.cancel()

    def kill(self) -> None:
        """End the process and all it started. Closes no pipe: another thread may be reading from it."""
        from tvm.contrib.popen_pool import kill_child_processes

        process = self._process._proc
        if process is not None:
            with contextlib.suppress(OSError):
                kill_child_processes(process.pid)
            with contextlib.suppress(OSError):
                process.kill()

    def close(self) -> None:
        """Close the pipes and reap the process; only when no call is under way any more."""
        self._process.kill()
