"""Tuning over real RPC servers of this machine, which die and come back meanwhile."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import tvm
from rpc_sessions import Sessions

from tvm_gnn_cost.ansor.cost_model import GNNCostModel
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions, TuneResult
from tvm_gnn_cost.testing.rpc_rig import Rig

REGISTERED = ("auto_scheduler.local_builder.build", "auto_scheduler.rpc_runner.run")


def tune(rig: Rig, log: Path, trials: int, *, resume: bool = False, **changes: Any) -> TuneResult:
    settings = {"repeat": 1, "min_repeat_ms": 300, "build_timeout_s": 60, "server_wait_minutes": 0.5} | changes
    options = TuneOptions(trials, 6, MeasureOptions(tracker=rig.tracker, **settings))
    return tune_tasks(
        [make_task("matmul", (32, 32, 32))],
        GNNCostModel(pretrained=None, seed=0),
        log,
        options,
        resume=resume,
        search_params={"evolutionary_search_population": 16, "sample_init_min_population": 16},
    )


def errors(log: Path) -> list[int]:
    """The error number of each record."""
    return [json.loads(line)["r"][1] for line in log.read_text().splitlines()]


def test_a_server_killed_half_way_loses_no_record_and_marks_none_failed(
    two: Rig, tmp_path: Path, sessions: Sessions
) -> None:
    before = [tvm.get_global_func(name).handle.value for name in REGISTERED]
    sessions.at(4, lambda address: two.server(address).kill())
    result = tune(two, tmp_path / "log.json", 8)
    assert [trial.error_no for trial in result.trials] == [0] * 8 == errors(tmp_path / "log.json")
    assert len(sessions.addresses) == 9 and set(sessions.addresses) == {server.address for server in two.servers}
    assert [tvm.get_global_func(name).handle.value for name in REGISTERED] == before, "TVM's own are put back"


def test_without_a_server_it_stops_with_all_kept_and_resumes(two: Rig, tmp_path: Path, sessions: Sessions) -> None:
    log = tmp_path / "log.json"
    for number in (3, 4):
        sessions.at(number, lambda address: two.server(address).kill())
    with pytest.raises(MeasurementError, match="no RPC server of board@.* answered for 0.05 minutes") as caught:
        tune(two, log, 6, server_wait_minutes=0.05)
    assert f"What was measured is in {log}; go on with `resume`" in str(caught.value)
    assert 2 <= len(errors(log)) < 6
    result = tune(two.keep(1), log, 6, resume=True)
    assert result.resumed + len(result.trials) == 6 and errors(log) == [0] * 6


def test_ctrl_c_keeps_what_is_being_measured_and_the_servers(two: Rig, tmp_path: Path, sessions: Sessions) -> None:
    log = tmp_path / "log.json"
    sessions.at(2, lambda _: os.kill(os.getpid(), signal.SIGINT))
    result = tune(two, log, 12)
    assert result.interrupted and errors(log) == [0] * len(sessions.addresses)
    assert 2 <= len(sessions.addresses) < 6 and len(two.listed()) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tvm-gnn-cost")]


def test_the_command_line_says_what_to_do(two: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.json"
    asked = ["tune", "matmul", "32", "32", "32", "--trials", "2", "--log-file", str(log), "--rpc"]

    def problem(*arguments: str) -> str:
        assert main([*asked, *arguments]) == 2
        return capsys.readouterr().err

    place = f"127.0.0.1:{two.tracker.port}"
    assert "--rpc is 'board'; it is like epyc@192.168.1.10:9190" in problem("board", "--target", "llvm")
    assert "the RPC tracker at 127.0.0.1:1 does not answer" in problem("board@127.0.0.1:1")
    assert '--target is "host", which is this machine' in (found := problem(f"board@{place}"))
    assert 'such as "llvm -mtriple=x86_64' in found
    assert "its keys: board (2 free)" in problem(f"bord@{place}", "--target", "llvm")
    assert "for aarch64" in problem(f"board@{place}", "--target", "llvm -mtriple=aarch64-linux-gnu")
    assert not log.exists()
    target = found.split('such as "')[1].split(" -num-cores")[0]
    assert (
        main([*asked, f"board@{place}", "--target", target, "--number", "1", "--flush-cache", "--population", "16"])
        == 0
    )
    assert errors(log) == [0, 0]
