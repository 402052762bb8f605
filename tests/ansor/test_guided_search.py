"""Searches and commands that begin from a database of schedules, and that look around the best."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from schedule_steps import steps_of, task_of
from tvm import auto_scheduler

from tvm_gnn_cost import GNNCostModel, RecordError, WorkloadError, make_search_policies
from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.record_log import read_records
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.fitting import Fit, fit_schedule
from tvm_gnn_cost.ansor.schedules.neighbours import neighbours
from tvm_gnn_cost.ansor.schedules.register_tile import register_tile
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions

SMALL = {"evolutionary_search_population": 64, "evolutionary_search_num_iters": 1, "sample_init_min_population": 16}


def tune(task: Any, database: Path, trials: int, per_round: int, log: Path | None = None) -> list[float]:
    """The latencies in the order of measurement, in seconds; None where it failed."""
    found: list[float] = []

    class Listening(auto_scheduler.measure.PythonBasedMeasureCallback):  # type: ignore[misc]
        def callback(self, policy: Any, inputs: Any, results: Any) -> None:
            found.extend(measured_latency(result) for result in results)

    model = GNNCostModel(config=TrainerConfig(max_steps_per_update=10))
    policies = make_search_policies([task], model, params=SMALL, verbose=0, database=database)
    callbacks = [Listening(), *([auto_scheduler.RecordToFile(str(log))] if log else [])]
    tuning = auto_scheduler.TuningOptions(
        num_measure_trials=trials,
        num_measures_per_round=per_round,
        runner=auto_scheduler.LocalRunner(repeat=1, min_repeat_ms=5),
        measure_callbacks=callbacks,
        verbose=0,
    )
    auto_scheduler.TaskScheduler([task], callbacks=[]).tune(tuning, search_policy=policies)
    return found


def test_a_search_begins_from_what_is_known(tmp_path: Path) -> None:
    first, second = task_of("matmul", 64, 64, 64), task_of("matmul", 96, 64, 128)
    database = tmp_path / "db"
    assert len(tune(first, database, 8, 8)) == 8
    known = ScheduleDatabase(database).best(first, 4)
    assert ScheduleDatabase(database).counts() == (1, 8)

    log = tmp_path / "again.json"
    assert len(tune(first, database, 8, 8, log)) == 8
    begun = [str(inp.state) for inp in read_records(log, rebuild=True).inputs]
    fitted = [str(fit_schedule(first.compute_dag, one.steps, Fit.SIZES)) for one in known]
    assert begun[:4] == fitted, "the task's own best schedules come first, the fastest at their head"
    assert len(set(begun)) == 8, "and none is measured twice"

    log = tmp_path / "second.json"
    tune(second, database, 8, 8, log)
    seeds = [
        str(fit_schedule(second.compute_dag, one.steps, fit))
        for one in ScheduleDatabase(database).similar(second)
        for fit in Fit
    ]
    begun = [str(inp.state) for inp in read_records(log, rebuild=True).inputs]
    assert any(state in seeds for state in begun[:4])
    assert ScheduleDatabase(database).counts()[0] == 2


@pytest.mark.parametrize("local_search", [True, False])
def test_other_tiles_and_neighbours_of_the_best_are_tried(tmp_path: Path, local_search: bool) -> None:
    task, log = task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1), tmp_path / "log.json"
    model = GNNCostModel(config=TrainerConfig(max_steps_per_update=10))
    budget = TuneOptions(32, 8, MeasureOptions(repeat=1, min_repeat_ms=5))
    assert len(tune_tasks([task], model, log, budget, search_params=SMALL, local_search=local_search).trials) == 32
    records = read_records(log, rebuild=True)
    states = [str(inp.state) for inp in records.inputs]
    assert len(set(states)) == 32, "nothing is measured twice"
    found = []
    for first in (16, 24):  # rounds of 8: from the third on an eighth, which comes first, is neighbours
        best = sorted(range(first), key=lambda i: measured_latency(records.results[i]) or 1.0)[:3]
        around = [
            changed for i in best for changed in neighbours(steps_of(task, records.inputs[i].state), is_gpu=False)
        ]
        near = set()
        for changed in around:
            with contextlib.suppress(WorkloadError):
                near.add(str(fit_schedule(task.compute_dag, changed, Fit.SIZES)))
        found.append(states[first] in near)
    tiles = [register_tile(steps_of(task, inp.state)) for inp in records.inputs]
    if local_search:
        assert all(found)
        for first, others in ((8, 1), (16, 2), (24, 2)):  # from the second round on a tenth, one at least
            assert any(tile not in tiles[:first] for tile in tiles[first : first + others])


def test_a_task_that_goes_on_from_a_log_has_had_its_seeds(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    tune(task, tmp_path / "db", 4, 4, tmp_path / "log.json")
    model = GNNCostModel(config=TrainerConfig(max_steps_per_update=10))
    (policy,) = make_search_policies(
        [task], model, tmp_path / "log.json", params=SMALL, verbose=0, database=tmp_path / "db"
    )
    assert policy.has_begun


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--trials", "6", "--round", "6", "--population", "64", "--repeat", "1", "--min-repeat-ms", "5"]
    assert main(["tune", "matmul", "64", "64", "64", "--database", "db", *small]) == 0
    assert len(read_records("matmul_64_64_64.json")) == 6
    assert ScheduleDatabase("db").counts() == (1, 6)
    capsys.readouterr()
    assert (
        main(["apply", "matmul", "64", "64", "64", "--database", "db", "--log-file", "best.json", "-o", "mm.so"]) == 0
    )
    out = capsys.readouterr().out
    assert "mm.so" in out and len(read_records("best.json")) == 1
    import tvm

    a, b = (np.random.default_rng(n).standard_normal((64, 64), dtype=np.float32) for n in range(2))
    arrays = [tvm.nd.array(x) for x in (a, b, np.zeros_like(a))]
    tvm.runtime.load_module("mm.so")(*arrays)
    np.testing.assert_allclose(arrays[2].numpy(), a @ b, rtol=1e-4, atol=1e-4)

    assert main(["apply", "matmul", "96", "64", "64", "--database", "db", "--json"]) == 1
    captured = capsys.readouterr()
    (facts,) = json.loads(captured.out)["tasks"]
    assert facts["latency_s"] is None and facts["similar_tasks"] == 1
    assert "has no schedule of matmul 96 64 64" in captured.err
    assert main(["tune", "matmul", "96", "64", "64", "--database", "db", *small]) == 0
    assert ScheduleDatabase("db").counts()[0] == 2
    shutil.copytree("db", "shared")
    assert main(["apply", "matmul", "96", "64", "64", "--database", "shared"]) == 0


def test_policies_of_a_database_refuse_what_others_do(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    with pytest.raises(RecordError):
        (tmp_path / "file").write_text("")
        make_search_policies([task], GNNCostModel(), database=tmp_path / "file")
    (policy,) = make_search_policies(
        [task], auto_scheduler.XGBModel(), params=SMALL, verbose=0, database=tmp_path / "d"
    )
    assert isinstance(policy, auto_scheduler.SketchPolicy)
