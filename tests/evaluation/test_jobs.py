"""Jobs over processes. The functions are here, in a module that is quick to import, as every process does."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tvm_gnn_cost.errors import EvaluationError, InvalidArgumentError
from tvm_gnn_cost.evaluation.jobs import run_jobs


def square_or_fail(number: int) -> int:
    if number == 3:
        raise InvalidArgumentError("three is wrong")
    if number == 4:
        os._exit(1)
    if number == 60:
        time.sleep(60)
    if number == 7:
        raise KeyError("seven")
    return number**2


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_is_done(processes: int) -> None:
    assert sorted(run_jobs(square_or_fail, [1, 2, 5, 6, 8], processes)) == [(1, 1), (2, 4), (5, 25), (6, 36), (8, 64)]
    assert not list(run_jobs(square_or_fail, [], processes))


def test_what_fails_in_a_process_is_raised_here() -> None:
    with pytest.raises(InvalidArgumentError, match="three is wrong"):
        list(run_jobs(square_or_fail, [1, 3], 2))
    with pytest.raises(RuntimeError, match="(?s)in a worker process:.*KeyError: 'seven'"):
        list(run_jobs(square_or_fail, [1, 7], 2))


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="a worker process died"):
        list(run_jobs(square_or_fail, [1, 4], 2))


def test_closing_ends_the_jobs_that_run() -> None:
    before = set(multiprocessing.active_children())
    jobs = run_jobs(square_or_fail, [1, 60, 2], 2)
    assert next(jobs)[0] in (1, 2)
    assert set(multiprocessing.active_children()) - before
    begun = time.monotonic()
    jobs.close()
    assert time.monotonic() - begun < 30  # the job that runs would take a minute
    assert not set(multiprocessing.active_children()) - before


def test_processes_end_with_a_parent_that_is_killed() -> None:
    script = "from test_jobs import run_jobs, square_or_fail\nif __name__ == '__main__':\n    "
    script += "next(jobs := run_jobs(square_or_fail, [1, 60, 2], 2)); print(flush=True); next(jobs); next(jobs)"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # the first job is done: the processes run
        workers = psutil.Process(parent.pid).children()
        parent.kill()
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=20)[1]
