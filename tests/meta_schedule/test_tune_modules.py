"""Real tuning runs, small: MetaSchedule's search, builds and measurements as users have them."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from databases import write_database

from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.meta_schedule import tuning
from tvm_gnn_cost.meta_schedule.database import read_database
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.search import TaskMemory, TaskSearch
from tvm_gnn_cost.meta_schedule.stock import random_model, xgb_model
from tvm_gnn_cost.meta_schedule.tasks import TuningTask, make_task
from tvm_gnn_cost.meta_schedule.tuning import tune_modules
from tvm_gnn_cost.records.tuning_run import EARLY_STOPPING, PER_TASK_TRIALS, MeasureOptions, TuneOptions, TuneProgress

QUICK = MeasureOptions(repeat=2, min_repeat_ms=1, build_timeout_s=60)
POPULATION = 16


def options(trials: int, per_round: int = 4) -> TuneOptions:
    return TuneOptions(trials, per_round, QUICK)


def matmul(n: int = 64) -> TuningTask:
    return make_task("matmul", (n, n, n))


def records(folder: str = "db") -> list[str]:
    return (Path(folder) / "database_tuning_record.json").read_text().splitlines()


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_measures_its_budget_and_accounts_for_its_time() -> None:
    seen: list[TuneProgress] = []
    result = tune_modules([matmul()], xgb_model(1), "db", options(6), population=POPULATION, observer=seen.append)
    assert len(result.trials) == len(records()) == 6
    assert not result.interrupted and not result.exhausted
    assert result.total_latency_s == min(t.latency_s for t in result.trials if t.latency_s is not None)
    times = result.times
    assert times.search_s + times.measure_s + times.train_s == pytest.approx(times.total_s, abs=0.05)
    assert min(times.search_s, times.measure_s, times.train_s) > 0 and 0 < times.score_s <= times.search_s
    elapsed = [trial.elapsed_s for trial in result.trials]
    assert elapsed == sorted(elapsed) and all(0 < e <= times.total_s for e in elapsed)
    assert {progress.phase for progress in seen} == {"search", "measure", "train"}
    assert [p.done for p in seen if p.phase == "measure"][-1] == 6 == seen[-1].done
    assert sorted(os.listdir()) == ["db"]
    found = read_database("db")
    assert len(found) == 6 and not found.skipped
    assert all(len(record.readings) == 2 for record in found.records if record.readings)


def test_ctrl_c_keeps_what_is_measured_and_resume_goes_on() -> None:
    def interrupt(progress: TuneProgress) -> None:
        if progress.done == 3:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    stopped = tune_modules([matmul()], random_model(), "db", options(12, 8), population=POPULATION, observer=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert stopped.interrupted and len(records()) == len(stopped.trials) == 3, (
        "at the next schedule, not the next batch"
    )
    kept = records()
    with open("db/database_tuning_record.json", "a") as table:  # as a kill in the middle of a line would leave it
        table.write(kept[0][:80])
    with pytest.raises(InvalidArgumentError, match="already holds records"):
        tune_modules([matmul()], random_model(), "db", options(12, 8))

    seen = []

    class Told:
        def update(self, context: Any, candidates: Any, results: Any) -> None:
            seen.append(len(candidates))

        def predict(self, context: Any, candidates: Any) -> Any:
            return random_model().predict(context, candidates)

    resumed = tune_modules([matmul()], Told(), "db", options(10), resume=True, population=POPULATION)
    assert (resumed.resumed, len(resumed.trials), sum(seen)) == (3, 7, 10)
    assert records()[:3] == kept and len(records()) == 10
    hashes = {NAMES.structural_hash(record.candidate.sch.mod) for record in read_database("db").records}
    assert len(hashes) == 10, "nothing is measured twice"
    again = tune_modules([matmul()], random_model(), "db", options(10), resume=True)
    assert (again.resumed, again.trials) == (10, ()) and again.total_latency_s


def test_several_tasks_share_a_model_and_each_has_its_own_records(caplog: pytest.LogCaptureFixture) -> None:
    tasks = [matmul(32), matmul(64), matmul(32)]
    result = tune_modules(tasks, random_model(), "db", options(6, 2), weights=[1, 2, 3], population=POPULATION)
    assert {trial.task for trial in result.trials} == {0, 1} and len(result.trials) == 6
    first, second, third = result.best_latency_s
    assert first and second and first == third
    assert result.total_latency_s == pytest.approx(4 * first + 2 * second)
    with caplog.at_level(logging.WARNING):
        other = make_task("matmul", (16, 16, 16))
        asked = dataclasses.replace(options(2, 2))
        found = tune_modules([other], random_model(), "db", asked, resume=True, population=POPULATION)
    assert (found.resumed, found.other_records, len(found.trials)) == (0, 6, 2)
    assert any("0 records are of these tasks, 6 of others" in line for line in caplog.messages)


def test_a_search_starts_from_records_of_its_own_target_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """MetaSchedule asks a database for the best of a module, whatever target it was measured for, and where that does
    not fit, the search ends with an error."""
    write_database(Path("db"), [matmul().mod], 6)
    gpu = make_task("matmul", (64, 64, 64), "nvidia/nvidia-a100")
    memory = TaskMemory(gpu).database
    assert len(TaskSearch(gpu, random_model(), memory, seed=1, population=POPULATION, batch=2).next_batch(2)) == 2

    databases = []

    def watched(task: Any, model: Any, database: Any, **options: Any) -> TaskSearch:
        databases.append((database, len(database)))
        return TaskSearch(task, model, database, **options)

    monkeypatch.setattr(tuning, "TaskSearch", watched)
    found = tune_modules([matmul()], random_model(), "db", options(2), resume=True, population=POPULATION)
    assert (found.resumed, found.other_records, len(found.trials)) == (0, 6, 2)
    ((database, before),) = databases
    assert (before, len(database)) == (0, 2)


def test_failed_builds_are_kept_and_a_run_of_nothing_else_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no C compiler for the runner to link with
    seen: list[int] = []

    class Told:
        learns_failed_builds = True

        def update(self, context: Any, candidates: Any, results: Any) -> None:
            seen.extend(result.run_secs is None for result in results)

        def predict(self, context: Any, candidates: Any) -> Any:
            return random_model().predict(context, candidates)

    result = tune_modules([matmul()], Told(), "db", options(4, 2), population=POPULATION)
    assert len(result.trials) == 4 and all(trial.latency_s is None and trial.error_no for trial in result.trials)
    assert result.total_latency_s is None and seen == [True] * 4
    assert all(json.loads(line)[1][1] == [1e10] for line in records())


def test_budgets_by_task_and_time() -> None:
    asked = dataclasses.replace(options(12, 2), per_task_trials=3)
    result = tune_modules([matmul(), matmul(32)], random_model(), "a", asked, population=POPULATION)
    assert sorted(trial.task for trial in result.trials) == [0, 0, 0, 1, 1, 1]
    assert result.left == (PER_TASK_TRIALS, PER_TASK_TRIALS) and not result.exhausted
    asked = dataclasses.replace(options(1000, 2), minutes=0.01, early_stopping=1000)
    result = tune_modules([matmul()], random_model(), "b", asked, population=POPULATION)
    assert result.out_of_time and not (result.interrupted or result.exhausted)


def test_a_task_without_a_better_schedule_is_left() -> None:
    asked = dataclasses.replace(options(1000, 4), early_stopping=4)
    result = tune_modules([matmul(8)], random_model(), "db", asked, population=POPULATION)
    assert result.left == (EARLY_STOPPING,) and len(result.trials) < 60


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tune_modules([], random_model(), "db"), "tasks is empty"),
        (lambda: tune_modules([matmul()], random_model(), "db", weights=[1, 2]), "2 weights for 1 tasks"),
        (lambda: tune_modules([matmul()], random_model(), __file__), "is a file; a MetaSchedule database is a folder"),
    ],
)
def test_wrong_arguments_get_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make()


def test_a_task_that_cannot_be_scheduled_is_left(caplog: pytest.LogCaptureFixture) -> None:
    bad = make_task("swiglu", (16, 16, 16))
    result = tune_modules([bad, matmul(32)], random_model(1), "db", options(2), population=POPULATION)
    assert result.best_latency_s[0] is None and result.best_latency_s[1] is not None
    assert "the rest is tuned" in caplog.text
    with pytest.raises(WorkloadError, match="cannot schedule"):
        tune_modules([bad], random_model(1), "other", options(2), population=POPULATION)
