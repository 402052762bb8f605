"""Independent jobs over several processes; results come as they are finished."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

from tvm_gnn_cost.errors import EvaluationError, TVMGNNCostError

J = TypeVar("J")
R = TypeVar("R")


def run_jobs(function: Callable[[J], R], jobs: Sequence[J], processes: int) -> Generator[tuple[J, R], None, None]:
    """(job, function(job)) of every job, in the order in which they are done.

    With one process everything runs here. With more, each gets `function` once (it must be picklable) and then jobs
    until none is left. Close the iterator to end them at once.

    Raises what `function` raises, EvaluationError where a process dies.
    """
    if processes <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, function(job)
        return
    context = _RecordingContext()
    executor = ProcessPoolExecutor(min(processes, len(jobs)), context, initializer=_begin, initargs=(function,))
    try:
        futures = {executor.submit(_do, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise EvaluationError(
            "a worker process died, perhaps for want of memory: use fewer (`jobs`); what is finished is kept, and the "
            "same call goes on"
        ) from error
    finally:
        for process in context.started:
            process.terminate()  # a shutdown alone would wait for the jobs that run
        executor.shutdown(cancel_futures=True)


class _RecordingContext(SpawnContext):
    """Starts processes afresh, and knows which: an executor does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*args, **kwargs)
        self.started.append(process)
        return process


_function: Callable[[Any], Any] | None = None  # of a worker process: what `_begin` was given


def _begin(function: Callable[[Any], Any]) -> None:
    """Called once in each process. Ctrl-C is the parent's matter: it ends this process."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    _function = function


def _end_with_the_parent() -> None:
    """A worker of a parent that was killed would wait for its next job for ever."""
    parent = parent_process()
    assert parent is not None, "workers are started by `SpawnProcess`"
    wait([parent.sentinel])
    os._exit(1)


def _do(job: Any) -> Any:
    assert _function is not None
    try:
        return _function(job)
    except TVMGNNCostError:
        raise
    except Exception:  # a traceback does not travel: as text it does
        raise RuntimeError(f"in a worker process:\n{traceback.format_exc()}") from None
