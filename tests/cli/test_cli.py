from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pictures import assert_drawn

from tvm_gnn_cost.cli import main
from tvm_gnn_cost.evaluation.held_out import Ranking
from tvm_gnn_cost.records.comparison import Comparison

QUICK = ["--repeat", "2", "--min-repeat-ms", "1", "--round", "4", "--population", "16"]
MATMUL = ["matmul", "64", "64", "64"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.mark.parametrize(
    "command", [[], ["tune"], ["compare"], ["collect"], ["train"], ["evaluate"], ["inspect"], ["workloads"]]
)
def test_help_shows_what_to_type(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: tvm-gnn-cost" in out
    assert command == ["workloads"] or re.search(r"Examples:\n +tvm-gnn-cost ", out)


def test_workloads_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workloads"]) == 0
    out = capsys.readouterr().out
    assert "conv2d_nhwc" in out and "resnet-18" in out and "n m k" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune"], "name one workload"),
        (["tune", "matmul", "64", "64", "64", "--network", "mlp"], "name one workload"),
        (["tune", "matmull", "64"], "did you mean matmul"),
        (["tune", "matmul", "64", "64"], "matmul takes: n m k"),
        (["tune", *MATMUL, "--target", "lvm"], "did you mean llvm"),
        (["tune", "--network", "resnet18"], "did you mean resnet-18"),
        (["tune", "--network", "mobilenet", "--image-shape", "big"], "--image-shape is 'big'"),
        (["tune", *MATMUL, "--trials", "0"], "--trials"),
        (["tune", *MATMUL, "--cost-model", "svm"], "unknown model 'svm'"),
        (["tune", *MATMUL, "--model", "svm"], "a cost model is chosen with --cost-model: gnn, xgboost"),
        (["tune", *MATMUL, "--pretrained", "missing.ckpt"], "missing.ckpt"),
        (["compare", *MATMUL, "--models", "gnn,svm"], "unknown model 'svm'"),
        (["collect"], "name one workload"),
        (["collect", *MATMUL, "--workloads", "w.txt"], "--workloads stands alone"),
        (["collect", "--workloads", "missing.txt"], "missing.txt cannot be read"),
        (["collect", *MATMUL, "--mix", "4,3"], "--mix is '4,3'"),
        (["collect", *MATMUL, "--rpc", "localhost:9190"], "KEY@HOST:PORT"),
        (["train", "--output", "m.ckpt"], "Missing argument"),
        (["train", "logs"], "Missing option"),
        (["retune"], "No such command"),
    ],
)
def test_wrong_input_is_one_message_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_a_bad_line_of_a_file_of_workloads_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("w.txt").write_text("# two\nmatmul 64 64 64\nmatmull 64\n")
    assert main(["collect", "--workloads", "w.txt"]) == 2
    assert "w.txt, line 3: unknown workload 'matmull'; did you mean matmul" in capsys.readouterr().err
    Path("w.txt").write_text("# none\n")
    assert main(["collect", "--workloads", "w.txt"]) == 2
    assert "w.txt names no workload" in capsys.readouterr().err


def test_tune_then_resume(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", *MATMUL, "--cost-model", "xgboost", "--log-file", "logs/m.json", *QUICK]
    assert main([*command, "--trials", "4"]) == 0
    out = capsys.readouterr().out
    assert "4/4 trials" in out and "GFLOP/s" in out and "log: logs/m.json" in out
    assert main([*command, "--trials", "8"]) == 2
    assert "already holds records" in capsys.readouterr().err
    assert main([*command, "--trials", "8", "--resume"]) == 0
    assert "4 trials measured (0 failed), 4 from the log" in capsys.readouterr().out
    assert len(Path("logs/m.json").read_text().splitlines()) == 8


def test_budgets_by_task_and_what_a_log_holds_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    from tvm_gnn_cost.ansor.record_log import append_records
    from tvm_gnn_cost.ansor.tasks import make_task
    from tvm_gnn_cost.testing.schedules import measured

    elsewhere = make_task("matmul", (64, 64, 64), "llvm -mcpu=nehalem -num-cores=1")
    append_records("m.json", *measured(elsewhere, [elsewhere.compute_dag.get_init_state()], [1e-9]))
    budget = ["--trials", "4", "--per-task-trials", "1", "--early-stopping", "3", "--minutes", "5"]
    assert main(["tune", *MATMUL, "--model", "xgboost", "--log-file", "m.json", "--resume", *QUICK, *budget]) == 0
    out = capsys.readouterr().out
    assert "1 trials measured (0 failed), 0 from the log" in out
    assert "matmul was left: its trials are used" in out
    assert "1 records of the log are of other tasks or targets" in out


def test_tune_with_the_gnn_model_saves_it(capsys: pytest.CaptureFixture[str]) -> None:
    from tvm_gnn_cost import GNNCostModel

    arguments = ["tune", *MATMUL, "--pretrained", "none", "--trials", "8", "--save-model", "m.ckpt", *QUICK]
    assert main(arguments) == 0
    assert Path("matmul_64_64_64.json").exists()
    assert GNNCostModel.load("m.ckpt").is_warm


def test_tune_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tune", "--network", "mlp", "--model", "xgb", "--trials", "5", "--log-file", "mlp.json", *QUICK]
    assert main(arguments) == 0
    out = capsys.readouterr()
    assert "5 trials measured" in out.out and "softmax" in out.out
    assert "--cost-model" in out.err  # --model named the cost model once; now it is a file


def test_compare_writes_everything_and_does_not_repeat_itself(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    command = ["compare", *MATMUL, "--pretrained", "none", "--trials", "4", "--output", "out", *QUICK]
    assert main([*command, "--models", "xgb"]) == 0
    before = Path("out/xgboost-seed0.json").read_bytes()
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "XGBModel, seed 0: done before" in out
    assert "GNNCostModel" in out and "out/comparison.png" in out and "gnn-seed0.json" in out
    assert Path("out/xgboost-seed0.json").read_bytes() == before
    assert_drawn("out/comparison.png")
    comparison = Comparison.load("out/comparison.json")
    assert [run.model for run in comparison.runs] == ["xgboost", "gnn"]
    assert all(len(run.trials) == 4 for run in comparison.runs)
    assert comparison.machine["cpu"] and comparison.versions["xtc-tvm-python-bindings"] == "0.19.0.12"

    capsys.readouterr()
    assert main([*command, "--repeat", "3"]) == 2
    assert "repeat was 2, now 3" in capsys.readouterr().err
    assert main(["compare", "softmax_mn", "32", "32", "--output", "out"]) == 2
    assert "compares 'matmul 64 64 64'" in capsys.readouterr().err


def test_a_damaged_comparison_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/comparison.json").write_text(json.dumps({"schema": 1}))
    assert main(["compare", *MATMUL, "--output", "out"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_models_have_one_name_in_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """tune and compare called stock's model xgb, evaluate xgboost; the former name is still understood."""
    from tvm_gnn_cost.cli.options import MODELS, model_name
    from tvm_gnn_cost.evaluation.registry import METHOD_NAMES
    from tvm_gnn_cost.training.held_out import TaskRanking

    assert set(MODELS) <= set(METHOD_NAMES)
    assert model_name("xgb") == model_name("xgboost") == "xgboost"
    assert main(["tune", *MATMUL, "--cost-model", "xgbost"]) == 2
    assert "unknown model 'xgbost'; known: gnn, xgboost" in capsys.readouterr().err
    assert {"top1", "top5"} <= set(TaskRanking.__dataclass_fields__) & set(Ranking.__dataclass_fields__)


def test_comparisons_of_an_earlier_release_are_read() -> None:
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "tuning" / "layer_norm.json"
    assert '"model": "xgb"' in results.read_text()
    assert sorted(Comparison.load(results).models()) == ["gnn", "xgboost"]
