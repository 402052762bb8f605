"""`tvm-gnn-cost evaluate`, on recorded pools."""

from __future__ import annotations

import functools
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm.auto_scheduler")
pytest.importorskip("xgboost")

from evaluation.problems import make_pool, make_problem
from pictures import assert_drawn

from tvm_gnn_cost.ansor.recorded_pools import read_recorded
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.evaluation.boosting import StockMethod
from tvm_gnn_cost.evaluation.problems import Problem, one_kind, read_problems
from tvm_gnn_cost.learning import pairwise_accuracy
from tvm_gnn_cost.logs.stock import train_stock
from tvm_gnn_cost.records.logs import find_logs

ROOT = Path(__file__).parents[2]
POOLS = ROOT / "benchmarks" / "data" / "emeraldrapids"
LOGS = ("matmul-384x384x384", "dense_relu-64x1024x512", "softmax_mn-256x256")
QUICK = ["--models", "gnn,xgboost,random", "--seeds", "1", "--steps", "2", "--trials", "32", "--output", "out"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second record of each of LOGS, 56 in all; some schedules of the first were measured twice."""
    folder = tmp_path_factory.mktemp("logs")
    for name in LOGS:
        lines = gzip.open(POOLS / f"{name}.json.gz", "rt").readlines()
        (folder / f"{name}.json").write_text("".join(lines[:112:2]))
    (folder / "about").mkdir()
    pairs = [{"line": i, "first_s": [1.0 + i], "second_s": [1.1 + i] if i else []} for i in range(10)]
    about = {"workload_key": '["tvm_gnn_cost.matmul", 384, 384, 384]', "remeasured": pairs}
    (folder / "about" / f"{LOGS[0]}.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def problems(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    reader = functools.partial(read_recorded, stock_cache=tmp_path_factory.mktemp("stock"))
    return read_problems(find_logs([logs]), reader)


def test_logs_are_read_with_what_models_need(problems: list[Problem]) -> None:
    assert [s.pool.name for s in problems] == sorted(LOGS)
    assert [s.pool.operator for s in problems] == ["dense_relu", "matmul", "softmax_mn"]
    for problem in problems:
        assert len(problem) == 56 and problem.stock is not None and len(problem.stock) == 56
    assert [s.remeasured.shape for s in problems] == [(0, 2), (9, 2), (0, 2)]
    np.testing.assert_allclose(problems[1].remeasured[0], [2.0, 2.1])
    assert one_kind(problems) == "cpu"


def test_the_stock_method_learns_and_transfers(problems: list[Problem], tmp_path: Path) -> None:
    model, path = StockMethod(train_stock), tmp_path / "trees.ubj"
    learner = model.start([], 0)
    some, rest = np.arange(40), np.arange(40, 56)
    softmax = problems[2]  # its stock features hardly differ from run to run, as those of the others do
    learner.learn(softmax, some)
    assert pairwise_accuracy(learner.predict(softmax, some).scores, softmax.pool.latency[some]) > 0.9
    model.train(problems[:2], 0, path)
    booster = model.fit([(s, np.arange(56)) for s in problems[:2]], 0)
    scores = model.start([path], 0).predict(problems[2], rest).scores
    np.testing.assert_allclose(scores, model.score(booster, problems[2], rest))


def test_three_logs_give_something_useful(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *map(str, sorted(logs.glob("*.json"))), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "32 records learnt" in out and "replay against xgboost" in out and "gnn starts from" in out
    assert "left out: unseen: xgboost learns other tasks first" in out
    assert "left out: curve: there are 0 training workloads" in out
    for name in ("search.png", "calibration.png"):
        assert_drawn(Path("out", name))
    found = json.loads(Path("out/evaluation.json").read_text())
    assert found["machine"]["cpu"] and [p["records"] for p in found["pools"]] == [56] * 3
    experiments = {figure["experiment"] for figure in found["figures"]}
    assert experiments == {"ranking", "unseen", "replay", "error", "calibration"}
    sources = {figure["setting"] for figure in found["figures"] if figure["model"] == "noise"}
    assert sources == {"readings", "remeasured"}

    before = Path("out/results.jsonl").read_bytes()
    assert main(["evaluate", str(logs), *QUICK]) == 0
    assert Path("out/results.jsonl").read_bytes() == before
    assert json.loads(Path("out/evaluation.json").read_text())["figures"] == found["figures"]


def test_operators_are_held_out(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(logs), *QUICK, "--hold-out", "operator", "--folds", "3", "--epochs", "1"]
    assert main([*command, "--experiments", "unseen"]) == 0
    out = capsys.readouterr().out
    assert "unseen operator" in out and "xgboost" in out and "learning beforehand: 6/6" in out
    assert len(list(Path("out/models").iterdir())) == 6


def test_a_split_tests_one_machine_with_what_was_learnt_on_another(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "znver4"
    elsewhere.mkdir()
    for path in logs.glob("*.json"):
        (elsewhere / path.name).write_text(path.read_text().replace("-mcpu=emeraldrapids", "-mcpu=znver4"))
    Path("split.json").write_text(json.dumps({"test_workloads": [LOGS[0]]}))
    command = ["evaluate", str(elsewhere), "--train", str(logs), *QUICK, "--experiments", "unseen", "--epochs", "1"]
    assert main([*command, "--split", "split.json"]) == 0
    found = json.loads(Path("out/evaluation.json").read_text())
    (fold,) = found["folds"]
    names = [(pool["name"], "znver4" in pool["target"]) for pool in found["pools"]]
    assert [names[i] for i in fold["tests"]] == [(LOGS[0], True)]
    assert [names[i] for i in fold["training"]] == [(name, False) for name in sorted(LOGS) if name != LOGS[0]]
    assert main(command) == 0
    assert "known workload" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "svm"], "unknown model 'svm'"),
        (["--models", ","], "--models is ','"),
        (["--experiments", "tuning"], "got tuning"),
        (["--learn", "some"], "--learn is 'some'"),
        (["--curve", "10;20"], "--curve is '10;20'"),
        (["--curve", "0"], "training workloads must be at least 1"),
        (["--folds", "3"], "--folds is for --hold-out"),
        (["--part", "test"], "--part chooses a part of a split"),
        (["--hold-out", "operator", "--train", "."], "--hold-out makes its own training logs"),
        (["--split", "missing.json"], "split missing.json cannot be read"),
        (["--checkpoint", "missing.ckpt"], "missing.ckpt cannot be read"),
        (["--round", "8", "--trials", "4"], "a replay needs rounds"),
        (["--register", "missing.py"], "missing.py"),
        (["--train", "LOGS"], "is to be learnt and tested"),
    ],
)
def test_wrong_input_is_one_message_and_status_2(
    arguments: list[str], message: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(logs / f"{LOGS[2]}.json")
    given = [log if argument == "LOGS" else argument for argument in arguments]
    assert main(["evaluate", log, "--models", "gnn,random", *given]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_cpu_and_gpu_logs_are_not_mixed() -> None:
    from tvm_gnn_cost.errors import InvalidArgumentError

    pools = [make_pool("c-1", count=2), make_pool("g-1", count=2, gpu=True)]
    with pytest.raises(InvalidArgumentError, match="c-1 is of a CPU and g-1 of a GPU"):
        one_kind(map(make_problem, pools))


def test_workloads_of_ones_own_are_registered(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    definitions = """
from tvm import auto_scheduler
from tvm_gnn_cost.ansor.tasks import register_all
register_all()
functions = auto_scheduler.workload_registry.WORKLOAD_FUNC_REGISTRY
auto_scheduler.register_workload("my_softmax", f=functions["tvm_gnn_cost.softmax_mn"], override=True)
"""
    Path("mine.py").write_text(definitions)
    text = (logs / f"{LOGS[2]}.json").read_text().replace("tvm_gnn_cost.softmax_mn", "my_softmax")
    Path("log.json").write_text(text)
    command = ["evaluate", "log.json", "--models", "random", "--experiments", "ranking", "--seeds", "1"]
    assert main([*command, "--register", "mine.py"]) == 0
    assert json.loads(Path("evaluation/evaluation.json").read_text())["pools"][0]["operator"] == "my_softmax"
    Path("mine.py").write_text("import nothing_of_the_kind")
    assert main([*command, "--register", "mine.py"]) == 2
    assert "mine.py, line 1: running it fails: ModuleNotFoundError" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished(logs: Path) -> None:
    code = "import sys; from tvm_gnn_cost.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["evaluate", str(logs), "--models", "gnn,random", "--seeds", "1", "--steps", "50"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    results = Path("evaluation/results.jsonl")
    until = time.monotonic() + 120
    while not (results.exists() and results.stat().st_size) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "Stopped early; what is finished is kept" in out
    lines = results.read_bytes()
    assert lines.endswith(b"\n") and len(lines.splitlines()) >= 1
    assert main(arguments) == 0
    assert results.read_bytes().startswith(lines)
