"""Building and measuring for a tuning run: in processes that it keeps, and without taking TVM's place for others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil
import tvm
from tvm import auto_scheduler

from tvm_gnn_cost.ansor.runners import open_measuring
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.measuring import worker_process
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions, TuneProgress
from tvm_gnn_cost.system.machine import num_cores
from tvm_gnn_cost.testing.schedules import sample_states

QUICK = MeasureOptions(repeat=1, min_repeat_ms=1)
REGISTERED = ("auto_scheduler.local_builder.build", "auto_scheduler.rpc_runner.run")


def registered() -> list[int]:
    return [tvm.get_global_func(name).handle.value for name in REGISTERED]


def workers() -> set[int]:
    running = psutil.process_iter(["cmdline", "ppid"])
    return {p.pid for p in running if p.info["ppid"] == os.getpid() and worker_process.__file__ in p.info["cmdline"]}


def test_the_processes_of_a_run_live_as_long_as_it_does(tmp_path: Path) -> None:
    seen: set[int] = set()

    def look(_: TuneProgress) -> None:
        seen.update(workers())

    before = workers()
    result = tune_tasks(
        [make_task("matmul", (32, 32, 32))],
        auto_scheduler.RandomModel(),
        tmp_path / "log.json",
        TuneOptions(12, 4, QUICK),
        search_params={"evolutionary_search_population": 16, "evolutionary_search_num_iters": 1},
        observer=look,
    )
    assert len(result.trials) == 12 and all(trial.latency_s for trial in result.trials)
    assert 2 <= len(seen - before) <= num_cores() + 1, "builders, and one that runs"
    assert workers() == before


def test_runs_side_by_side_and_tvms_own_do_not_disturb_each_other() -> None:
    task = make_task("matmul", (32, 32, 32))
    inputs = [auto_scheduler.MeasureInput(task, state) for state in sample_states(task, 2)]
    before = registered()
    with open_measuring(QUICK, [task.target], lambda: False) as first:
        with open_measuring(QUICK, [task.target], lambda: False):
            assert registered() != before
        results = first.runner.run(inputs, first.builder.build(inputs, verbose=0), verbose=0)
        assert [int(result.error_no) for result in results] == [0, 0], "the end of one run is not that of another"
        builds = auto_scheduler.LocalBuilder(n_parallel=1).build(inputs[:1], verbose=0)
        assert Path(str(builds[0].filename)).exists(), "TVM builds what is not of a run"
        shutil.rmtree(Path(str(builds[0].filename)).parent)
    assert registered() == before


def test_a_run_that_is_stopping_leaves_what_is_not_measured() -> None:
    task = make_task("matmul", (32, 32, 32))
    inputs = [auto_scheduler.MeasureInput(task, state) for state in sample_states(task, 3)]
    with open_measuring(QUICK, [task.target], lambda: True) as measuring:
        results = measuring.runner.run(inputs, measuring.builder.build(inputs, verbose=0), verbose=0)
        assert len(results) == 3
        kept, measured = measuring.measured(inputs, results)
    assert len(kept) == len(measured) == 1 and int(measured[0].error_no) == 0
