"""Real tuning runs, small: TaskScheduler, builds and measurements as users have them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tvm.auto_scheduler import XGBModel
from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost import InvalidArgumentError
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions, TuneProgress

QUICK = MeasureOptions(repeat=2, min_repeat_ms=1)
SMALL_SEARCH: dict[str, Any] = {"evolutionary_search_population": 32, "evolutionary_search_num_iters": 1}


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TuneOptions(trials=0), "trials is 0"),
        (lambda: TuneOptions(trials=True), "trials is True"),
        (lambda: TuneOptions(trials_per_round=0), "trials_per_round is 0"),
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
