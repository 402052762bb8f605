"""Independent jobs over several processes; results come as they are finished."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
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
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, BaseProcess] = {}
    running: dict[Connection, J] = {}
    left = iter(jobs)
    try:
        for _, job in zip(range(processes), left, strict=False):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_serve, args=(function, theirs), daemon=True)
            worker.start()
            theirs.close()
            workers[ours] = worker
            running[ours] = job
            ours.send(job)
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                job = running.pop(connection)
                succeeded, result = connection.recv()
                if not succeeded:
                    raise result
                following = next(left, None)
                if following is not None:
                    running[connection] = following
                    connection.send(following)
                yield job, result
    except (EOFError, ConnectionError) as error:
        raise EvaluationError(
            "a worker process died, perhaps for want of memory: use fewer --jobs; what is finished is kept, and the "
            "same command goes on"
        ) from error
    finally:
        for connection, process in workers.items():
            process.terminate()
            process.join()
            connection.close()


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    """Does the jobs that come through the connection. Ctrl-C is the parent's matter: it ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        answer: tuple[bool, Any]
        try:
            answer = True, function(job)
        except TVMGNNCostError as error:
            answer = False, error
        except Exception:  # a traceback does not travel: as text it does
            answer = False, RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        connection.send(answer)
