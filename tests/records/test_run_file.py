"""The file beside a log that says how its run went."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import make_comparison, make_run

from tvm_gnn_cost import RecordError
from tvm_gnn_cost.records.comparison import Comparison
from tvm_gnn_cost.records.logs import find_logs
from tvm_gnn_cost.records.run_file import RunFile, run_path, unfinished_runs
from tvm_gnn_cost.records.tuning_run import Forecast, PhaseTimes, Trial, TuneResult

HEAD = replace(make_comparison(), tasks=("a", "b"))


def result(trials: list[tuple[int, float | None]], resumed: int = 0) -> TuneResult:
    """Two tasks of weights 1 and 2; (task, latency in seconds) of each trial, a second apart."""
    return TuneResult(
        trials=tuple(Trial(task, latency, i + 1.0, 0 if latency else 6) for i, (task, latency) in enumerate(trials)),
        times=PhaseTimes(1.0, 2.0, 0.5, 0.25, 4.0),
        best_latency_s=(None, None),
        weights=(1.0, 2.0),
        flops=(1e9, 2e9),
        resumed=resumed,
        interrupted=False,
        exhausted=False,
        log_file="log.json",
        left=("", "its trials are used"),
        forecasts=(Forecast(len(trials), 0.5),),
    )


def test_it_says_how_far_a_run_is(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "log.json", HEAD, "gnn", 3, resume=False)
    file.write(result([(0, 0.002)]))
    (run,) = Comparison.load(tmp_path / "log.run.json").runs
    assert not run.finished and run.seed == 3 and run.task_bests() == [0.002, None]
    told = file.write(result([(0, 0.002), (1, 0.001), (0, None)]), finished=True)
    assert Comparison.load(file.path) == told
    assert told.runs[0].finished and told.runs[0].best_latency_s == pytest.approx(0.004)
    assert told.runs[0].left == ("", "its trials are used") and told.tasks == ("a", "b")


def test_a_resumed_run_goes_on_in_it(tmp_path: Path) -> None:
    RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=False).write(result([(0, 0.002), (1, 0.001)]), finished=True)
    again = RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=True)
    run = again.write(result([(1, 0.0005)], resumed=3), finished=True).runs[0]
    assert [trial.elapsed_s for trial in run.trials] == [1.0, 2.0, 5.0]
    assert [forecast.trials for forecast in run.forecasts] == [2, 3]
    assert run.times.total_s == 8.0 and run.resumed == 1, "a trial of the log that it never told of"
    assert run.best_latency_s == pytest.approx(0.003)


def test_one_of_other_tasks_or_of_a_longer_log_is_not_gone_on_from(tmp_path: Path) -> None:
    RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=False).write(result([(0, 0.002), (1, 0.001)]))
    other = RunFile(tmp_path / "log.json", replace(HEAD, tasks=("c", "d")), "gnn", 0, resume=True)
    assert len(other.write(result([(0, 0.1)], resumed=2)).runs[0].trials) == 1
    RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=False).write(result([(0, 0.002), (1, 0.001)]))
    cut = RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=True)
    assert len(cut.write(result([(0, 0.1)], resumed=1)).runs[0].trials) == 1


def test_what_is_damaged_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log.run.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        file = RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=True)
    assert "made anew" in caplog.text
    assert len(file.write(result([(0, 0.1)])).runs[0].trials) == 1


def test_a_disk_that_takes_nothing_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = RunFile(tmp_path / "gone" / "log.json", HEAD, "gnn", 0, resume=False)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert file.write(result([(0, 0.1)])).runs
    assert caplog.text.count("the tuning goes on without it") == 1


def test_of_a_database_it_is_inside(tmp_path: Path) -> None:
    assert run_path(tmp_path) == tmp_path / "database.run.json"
    assert run_path(tmp_path / "log.json.gz") == tmp_path / "log.run.json"


def test_it_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text("")
    RunFile(tmp_path / "log.json", HEAD, "gnn", 0, resume=False).write(result([(0, 0.1)]))
    assert find_logs([tmp_path]) == find_logs(sorted(tmp_path.glob("*.json"))) == [tmp_path / "log.json"]


def test_runs_that_go_on_join_those_that_ended(tmp_path: Path) -> None:
    RunFile(tmp_path / "gnn-seed1.json", HEAD, "gnn", 1, resume=False).write(result([(0, 0.1)]))
    ended = replace(HEAD, runs=(make_run("gnn", 0, [0.1]),))
    assert [(run.seed, run.finished) for run in unfinished_runs(ended, tmp_path).runs] == [(0, True), (1, False)]
    assert [run.seed for run in unfinished_runs(None, tmp_path).runs] == [1]
    with pytest.raises(RecordError, match="holds no run"):
        unfinished_runs(None, tmp_path / "empty")
    other = replace(HEAD, workload="another")
    RunFile(tmp_path / "other.json", other, "gnn", 0, resume=False).write(result([(0, 0.1)]))
    with pytest.raises(RecordError, match="cannot be compared"):
        unfinished_runs(None, tmp_path)
