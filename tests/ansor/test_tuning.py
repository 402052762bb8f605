"""Real tuning runs, small: TaskScheduler, builds and measurements as users have them."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tvm.auto_scheduler import XGBModel
from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost import GNNCostModel, InvalidArgumentError
from tvm_gnn_cost.ansor.history import History
from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.ansor.tuning_hooks import make_scheduler
from tvm_gnn_cost.ansor.tuning_run import AnsorRun
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.records.tuning_run import (
    EARLY_STOPPING,
    LITTLE_LEFT,
    PER_TASK_TRIALS,
    SEARCH_FAILS,
    MeasureOptions,
    TuneOptions,
    TuneProgress,
)
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import unobserved
from tvm_gnn_cost.testing.schedules import fuse_first, measured, on_hardware, sample_states

QUICK = MeasureOptions(repeat=2, min_repeat_ms=1)
SMALL_SEARCH: dict[str, Any] = {"evolutionary_search_population": 32, "evolutionary_search_num_iters": 1}

FEW_STEPS = TrainerConfig(max_steps_per_update=5, hidden_dim=16)


def options(trials: int, per_round: int = 4) -> TuneOptions:
    return TuneOptions(trials, per_round, QUICK)


def matmul(n: int = 64) -> Any:
    return make_task("matmul", (n, n, n))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_measures_its_budget_and_accounts_for_its_time(tmp_path: Path) -> None:
    seen: list[TuneProgress] = []
    result = tune_tasks(
        [matmul()], XGBModel(seed=1), "log.json", options(6), search_params=SMALL_SEARCH, observer=seen.append
    )
    assert len(result.trials) == len(RecordReader("log.json").read_lines()[0]) == 6
    assert not result.interrupted and not result.exhausted
    assert result.total_latency_s == min(t.latency_s for t in result.trials if t.latency_s is not None)
    times = result.times
    assert times.search_s + times.measure_s + times.train_s == pytest.approx(times.total_s, abs=0.05)
    assert min(times.search_s, times.measure_s, times.train_s) > 0 and times.score_s <= times.search_s
    elapsed = [trial.elapsed_s for trial in result.trials]
    assert all(0 < e <= times.total_s for e in elapsed)
    assert {progress.phase for progress in seen} == {"search", "measure", "train"}
    assert seen[-1].done == 6
    assert os.listdir(tmp_path) == ["log.json"]  # TaskScheduler's own callbacks would leave a file


def test_ctrl_c_keeps_what_is_measured_and_resume_goes_on() -> None:
    def interrupt(progress: TuneProgress) -> None:
        if progress.done == 4:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    stopped = tune_tasks(
        [matmul()], XGBModel(seed=1), "log.json", options(12, 8), search_params=SMALL_SEARCH, observer=interrupt
    )
    assert signal.getsignal(signal.SIGINT) is before
    assert stopped.interrupted
    kept = Path("log.json").read_text().splitlines()
    assert len(kept) == len(stopped.trials) < 12

    with open("log.json", "a") as log:  # as a kill in the middle of a line would leave it
        log.write(kept[0][:80])
    resumed = tune_tasks([matmul()], XGBModel(seed=1), "log.json", options(12), resume=True, search_params=SMALL_SEARCH)
    assert (resumed.resumed, len(resumed.trials)) == (len(kept), 12 - len(kept))
    lines = Path("log.json").read_text().splitlines()
    assert lines[: len(kept)] == kept and len(lines) == 12
    states = [json.dumps(json.loads(line)["i"][1]) for line in lines]
    assert len(set(states)) == 12  # nothing is measured twice


def test_several_tasks_share_a_model() -> None:
    tasks = [matmul(32), matmul(64), make_task("softmax_mn", (32, 32))]
    result = tune_tasks(
        tasks, XGBModel(seed=1), "log.json", options(8, 2), weights=[1, 2, 1], search_params=SMALL_SEARCH
    )
    assert {trial.task for trial in result.trials} == {0, 1, 2}
    assert len(result.trials) == 8
    best = result.best_latency_s
    assert all(best) and result.total_latency_s == pytest.approx(best[0] + 2 * best[1] + best[2])  # type: ignore[operator]


def test_a_task_that_tvm_cannot_search_is_left_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """Of this chain TVM makes sketches that split a loop of unknown extent, and fails whenever it samples one."""
    tasks = [make_task("random_program", (20425, 22)), matmul()]
    result = tune_tasks(tasks, XGBModel(seed=1), "log.json", options(6, 2), search_params=SMALL_SEARCH)
    assert [trial.task for trial in result.trials] == [1] * 6
    assert result.best_latency_s[0] is None and result.best_latency_s[1] is not None
    assert result.left[0] == SEARCH_FAILS and not result.exhausted
    assert "random_program is left: TVM's search of it fails, whatever the model" in caplog.text


def test_a_budget_that_the_log_already_used_measures_nothing() -> None:
    first = tune_tasks([matmul()], XGBModel(seed=1), "log.json", options(2), search_params=SMALL_SEARCH)
    again = tune_tasks([matmul()], XGBModel(seed=1), "log.json", options(2), resume=True)
    assert (again.resumed, again.trials) == (2, ())
    assert again.total_latency_s == pytest.approx(first.total_latency_s, rel=1e-4)


def test_a_log_is_never_mixed_by_accident() -> None:
    Path("log.json").write_text("something\n")
    with pytest.raises(InvalidArgumentError, match="log.json already holds records"):
        tune_tasks([matmul()], XGBModel(seed=1), "log.json", options(2))
    assert Path("log.json").read_text() == "something\n"


def test_a_run_in_which_every_build_fails_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no C compiler for the builders
    result = tune_tasks([matmul()], XGBModel(seed=1), "log.json", options(4, 2), search_params=SMALL_SEARCH)
    assert result.trials and all(trial.latency_s is None and trial.error_no for trial in result.trials)
    assert result.total_latency_s is None


# -- whose records a log holds -----------------------------------------------------------------------------------------


def known_log(task: Any, latencies: list[float], path: str = "log.json") -> list[Any]:
    """A log in which so many schedules of the task have these latencies in seconds; inf: failed."""
    states = sample_states(task, len(latencies))
    for state, latency in zip(states, latencies, strict=True):
        failed = math.isinf(latency)
        append_records(path, *measured(task, [state], [1e10 if failed else latency], 2 if failed else 0))
    return states


def test_a_log_of_another_target_is_no_trial_of_this_one(caplog: pytest.LogCaptureFixture) -> None:
    task = matmul()
    elsewhere = make_task("matmul", (64, 64, 64), "llvm -mcpu=nehalem -num-cores=1")
    other_hardware = on_hardware(task, (64, 64, 64, 0, 0, 0, 0, 0))
    for there in (elsewhere, other_hardware):
        known_log(there, [1e-9] * 2)
    model = XGBModel(seed=1)
    with caplog.at_level(logging.WARNING):
        result = tune_tasks([task], model, "log.json", options(2, 2), resume=True, search_params=SMALL_SEARCH)
    assert (result.resumed, result.other_records, len(result.trials)) == (0, 4, 2)
    assert result.best_latency_s[0] is None or result.best_latency_s[0] > 1e-8
    assert any("0 records are of these tasks, 4 of others" in line for line in caplog.messages)
    assert len(model.inputs) >= 4, "what they measured is learnt all the same"


def test_tasks_of_one_workload_have_each_their_own(tmp_path: Path) -> None:
    """TaskScheduler goes by the workload, and takes the last of them for all."""
    task = matmul()
    tasks = [task, on_hardware(task, (64, 64, 64, 0, 0, 0, 0, 0))]
    for there, latency in zip(tasks, (1e-3, 1e-4), strict=True):
        known_log(there, [latency] * 2)
    run = AnsorRun(tasks, [1.0, 1.0], options(4), Path("log.json"), unobserved, Interrupts(lambda: None))
    run.preload(History.of(run.tasks, read_records("log.json")))
    scheduler = make_scheduler(run)
    scheduler.early_stopping_task = 1e20
    scheduler._restore_status("log.json", 2)
    assert list(scheduler.best_costs) == [1e-3, 1e-4] and scheduler.task_cts == [1, 1]
    assert run.result().best_latency_s == (1e-3, 1e-4)


def test_a_task_listed_twice_is_measured_once() -> None:
    task, other = matmul(), matmul(32)
    result = tune_tasks(
        [task, other, task],
        XGBModel(seed=1),
        "log.json",
        options(4, 2),
        weights=[1, 1, 2],
        search_params=SMALL_SEARCH,
    )
    assert {trial.task for trial in result.trials} == {0, 1} and len(result.trials) == 4
    first, second, third = result.best_latency_s
    assert first and second and first == third
    assert result.total_latency_s == pytest.approx(3 * first + second) and result.weights == (1, 1, 2)
    states = [json.dumps(json.loads(line)["i"]) for line in Path("log.json").read_text().splitlines()]
    assert len(set(states)) == 4


# -- when a run, or a task, has had enough -----------------------------------------------------------------------------


def test_a_task_without_a_better_schedule_is_left() -> None:
    """The trials of the log count: three of them brought nothing better, and a fourth is the last."""
    known_log(matmul(), [1e-9, 1.0, 1.0, 1.0])
    asked = dataclasses.replace(options(12, 2), early_stopping=4)
    result = tune_tasks([matmul()], XGBModel(seed=1), "log.json", asked, resume=True, search_params=SMALL_SEARCH)
    assert (len(result.trials), result.left) == (1, (EARLY_STOPPING,))
    assert not (result.interrupted or result.out_of_time or result.exhausted)


def test_a_task_has_no_more_trials_than_it_may() -> None:
    tasks = [matmul(), matmul(32)]
    known_log(tasks[1], [1.0])
    asked = dataclasses.replace(options(12, 2), per_task_trials=2)
    result = tune_tasks(tasks, XGBModel(seed=1), "log.json", asked, resume=True, search_params=SMALL_SEARCH)
    assert sorted(trial.task for trial in result.trials) == [0, 0, 1]
    assert result.left == (PER_TASK_TRIALS, PER_TASK_TRIALS) and not result.exhausted


def test_a_run_ends_when_its_time_is_up() -> None:
    asked = dataclasses.replace(options(1000, 2), minutes=0.05)
    result = tune_tasks([matmul()], XGBModel(seed=1), "log.json", asked, search_params=SMALL_SEARCH)
    assert result.out_of_time and not (result.interrupted or result.exhausted)
    assert 3 <= result.times.total_s < 60
    assert len(read_records("log.json")) == len(result.trials) if result.trials else not Path("log.json").exists()
    result = tune_tasks(
        [matmul()], XGBModel(seed=1), "other.json", dataclasses.replace(asked, trials=1, minutes=5.0),
        search_params=SMALL_SEARCH,
    )  # fmt: skip
    assert not result.out_of_time, "its trials are used first"


def test_rounds_of_one_trial() -> None:
    """With both models. A first trial that fails does not end the task, as it does with TaskScheduler alone."""
    for name, model in (("xgb", XGBModel(seed=1, num_warmup_sample=0)), ("gnn", GNNCostModel(None, config=FEW_STEPS))):
        result = tune_tasks(
            [matmul()], model, f"{name}.json", options(2, 1), search_params={**SMALL_SEARCH, "eps_greedy": 0.5}
        )
        assert len(result.trials) == 2 and not result.exhausted
    task = matmul(32)
    known_log(task, [math.inf], "failed.json")
    result = tune_tasks([task], XGBModel(seed=1), "failed.json", options(2, 1), resume=True, search_params=SMALL_SEARCH)
    assert (result.resumed, len(result.trials)) == (1, 1) and result.best_latency_s[0]


def test_the_schedules_of_a_custom_rule_are_what_is_measured() -> None:
    """For the task that has it, beside one that has none, from a log."""
    tasks = [matmul(), matmul(32)]
    known_log(tasks[1], [1.0] * 2)
    tune_tasks(
        tasks,
        XGBModel(seed=1),
        "log.json",
        options(6, 2),
        resume=True,
        search_params=SMALL_SEARCH,
        init_search_callbacks=[[fuse_first()], None],
    )
    new = [json.loads(line)["i"] for line in Path("log.json").read_text().splitlines()[2:]]
    fused = {task[0] for task, state in new if state[1][0][0] == "FU"}
    assert len(new) == 4 and fused == {tasks[0].workload_key}
    assert all(state[1][0][0] == "FU" for task, state in new if task[0] == tasks[0].workload_key)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TuneOptions(trials=0), "trials is 0"),
        (lambda: TuneOptions(trials=True), "trials is True"),
        (lambda: TuneOptions(trials_per_round=0), "trials_per_round is 0"),
        (lambda: TuneOptions(early_stopping=0), "early_stopping is 0"),
        (lambda: TuneOptions(per_task_trials=1.5), "per_task_trials is 1.5"),  # type: ignore[arg-type]
        (lambda: TuneOptions(minutes=0), "minutes is 0"),
        (lambda: TuneOptions(minutes=math.inf), "minutes is inf"),
        (lambda: MeasureOptions(repeat=0), "repeat is 0"),
        (lambda: MeasureOptions(min_repeat_ms=-1), "min_repeat_ms is -1"),
        (lambda: MeasureOptions(cooldown_s=float("nan")), "cooldown_s is nan"),
        (lambda: tune_tasks([], XGBModel(), "log.json"), "tasks is empty"),
        (lambda: tune_tasks([matmul()], XGBModel(), "log.json", weights=[1, 2]), "2 weights for 1 tasks"),
    ],
)
def test_wrong_arguments_get_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make()


def test_a_run_stops_by_itself_when_little_is_left() -> None:
    """A tiny task, whose schedules are soon all alike; the share is one that no further trial could save."""
    model = GNNCostModel(config=FEW_STEPS)
    moments: list[TuneProgress] = []
    budget = TuneOptions(64, 8, QUICK, until=0.9)
    result = tune_tasks([matmul()], model, "log.json", budget, search_params=SMALL_SEARCH, observer=moments.append)
    assert result.left == (LITTLE_LEFT,) and len(result.trials) == 24
    assert result.gain_left is not None and result.gain_left < 0.9
    assert moments[-1].gain_left is not None and moments[-1].tasks[0].gain_left is not None
    assert [forecast.trials for forecast in result.forecasts] == [8, 9, 16, 18, 24]
    assert result.forecasts[-1].gain_left == pytest.approx(result.gain_left)
    scores = [trial.score for trial in result.trials]
    assert all(score is not None and score > 0.0 for score in scores), "the shipped network knows something at once"


def test_trials_of_a_network_go_where_they_help_with_a_model_that_knows() -> None:
    tasks = [matmul(), matmul(96), make_task("softmax_mn", (32, 48))]
    budget = TuneOptions(40, 16, QUICK)
    result = tune_tasks(
        tasks, GNNCostModel(config=FEW_STEPS), "log.json", budget, weights=[1, 1, 5], search_params=SMALL_SEARCH
    )
    assert len(result.trials) == 40 and all(result.best_latency_s)
    rounds = [trial.task for trial in result.trials]
    assert len(set(rounds[:24])) == 3, "each has a short round first"
