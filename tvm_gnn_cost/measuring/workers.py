"""Processes that build and run schedules, and are killed for good when their time is up.

TVM's own LocalBuilder and LocalRunner are not used: they rely on the worker to report its own time-out, LocalRunner
records a time-out as a device error, both start every batch, a handful of schedules, with new processes, which import
TVM for longer than most schedules take to build and run, and what was half measured when Ctrl-C came is lost. Pebble's
ProcessPool (5.2) is not used either: it kills a late worker but not the compilers that it started, and has no hook
before that, when they can still be found; one error that does not unpickle ends its pool; and as it builds on
multiprocessing, each worker runs the user's main script again.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

_SCRIPT = Path(__file__).with_name("worker_process.py")


class WorkerPool:
    """Worker processes, each doing one call at a time; a worker that was killed is started anew when next needed.

    Args:
        size: the number of workers.
        imports: modules that a worker imports before its first call, besides TVM.
    """

    def __init__(self, size: int, imports: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-", ignore_cleanup_errors=True)
        self._workers = [Worker(Path(self._folder.name), imports) for _ in range(size)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="tvm-gnn-cost-worker")

    def submit(self, function: Callable[..., Any], args: Sequence[Any], timeout_s: float) -> Future[Any]:
        """Call `function(*args)`, importable or picklable by value, in a worker.

        The future raises TimeoutError where the call took longer and was killed, with the processes it had started,
        ChildProcessError where the worker died, and else what the function raises.
        """
        return self._threads.submit(self._call, function, args, timeout_s)

    def renew(self) -> None:
        """End the workers that are idle: new processes make the next calls."""
        for _ in range(self._idle.qsize()):
            worker = self._idle.get()
            worker.end()
            self._idle.put(worker)

    def close(self) -> None:
        """End all workers at once, whatever they are doing, and delete their files."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.retire()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.end()
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


class Worker:
    """A process and the socket to it. All but `retire` belongs to the thread that makes the call.

    Args:
        folder: where the process has its temporary files.
        imports: modules that it imports before the first call, besides TVM.
    """

    def __init__(self, folder: Path, imports: Sequence[str] = ()) -> None:
        self._folder = folder
        self._imports = list(imports)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Connection | None = None
        self._lock = threading.Lock()  # between starting a process and retiring
        self._retired = False

    def call(self, function: Callable[..., Any], args: Sequence[Any], timeout_s: float) -> Any:
        """As `WorkerPool.submit`."""
        self.send(function, args)
        try:
            return self.receive(timeout_s)
        except TimeoutError:
            self.end()
            raise TimeoutError(f"killed after {timeout_s:g} s") from None

    def start(self) -> None:
        """Have the process ready; it takes seconds. Raises ChildProcessError where it cannot start."""
        try:
            self._started()
        except (EOFError, OSError) as error:
            raise self._died() from error

    def send(self, function: Callable[..., Any], args: Sequence[Any]) -> None:
        """Begin a call; `receive` gets what it returns. Raises ChildProcessError where the process died."""
        import cloudpickle

        call = cloudpickle.dumps((function, args))
        try:
            self._started().send_bytes(call)  # starting takes none of the call's time
        except (EOFError, OSError) as error:
            raise self._died() from error

    def receive(self, timeout_s: float) -> Any:
        """What the call that was begun returns, or the error that it raises.

        Raises TimeoutError where it takes longer, and it goes on; ChildProcessError where the process died.
        """
        import cloudpickle

        try:
            if self._socket is None:
                raise EOFError("no call was begun")
            if not self._socket.poll(timeout_s):
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            answer = self._socket.recv_bytes()
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise self._died() from error
        result, raised, trace = cloudpickle.loads(answer)
        if raised is not None:
            raise raised from RuntimeError(f"in the worker process:\n{trace}")
        return result

    def retire(self) -> None:
        """Kill the process, from any thread, and start no other; the call under way sees its worker die."""
        with self._lock:
            self._retired = True
            if self._process is not None:
                _kill_tree(self._process)

    def end(self) -> int | None:
        """Kill the process and all it started, and wait for it; its exit status."""
        process, self._process = self._process, None
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
        if process is None:
            return None
        _kill_tree(process)
        return process.wait()

    def _died(self) -> ChildProcessError:
        return ChildProcessError(f"the worker process died, exit status {self.end()}")

    def _started(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:  # died between two calls
            self.end()
        if self._socket is None:
            self._socket = self._start()
            self._socket.send((sys.path, self._imports))
            self._socket.recv_bytes()  # TVM is imported
        return self._socket

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        null = subprocess.DEVNULL  # compilers' warnings; errors come back as results
        with theirs, self._lock:
            if self._retired:
                ours.close()
                raise ConnectionAbortedError("the pool is closed")
            self._process = subprocess.Popen(
                [sys.executable, str(_SCRIPT), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "TMPDIR": str(self._folder)},
                stdin=null,
                stdout=null,
                stderr=null,
            )
        return ours


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants, all of them stopped first: none can start another meanwhile."""
    if process.poll() is not None:
        return
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process.pid)
        new = [root]
        while new:
            for one in new:
                with contextlib.suppress(psutil.Error):
                    one.suspend()
            found += new
            new = [child for child in root.children(recursive=True) if child not in found]
    for one in found:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.kill()
