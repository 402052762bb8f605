"""The commands with --scheduler metaschedule, on small workloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import interrupt_at

from tvm_gnn_cost.cli import main
from tvm_gnn_cost.meta_schedule.database import read_database
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.recorded_pools import has_current_graphs
from tvm_gnn_cost.records.comparison import Comparison

MATMUL = ["matmul", "64", "64", "64"]
SCHEDULER = ["--scheduler", "metaschedule"]
MEASURE = ["--repeat", "2", "--min-repeat-ms", "1", "--build-timeout", "60", "--population", "16"]
QUICK = [*SCHEDULER, "--round", "4", *MEASURE]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def test_tune_then_resume_then_look(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", *MATMUL, "--pretrained", "none", "--save-model", "m.ckpt", *QUICK]
    assert main([*command, "--trials", "4"]) == 0
    out = capsys.readouterr().out
    assert "4/4 trials" in out and "GFLOP/s" in out and "log: matmul_64_64_64" in out
    assert main([*command, "--trials", "8"]) == 2
    assert "already holds records" in capsys.readouterr().err
    assert main([*command, "--trials", "8", "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["trials"], result["resumed"], result["log"]) == (4, 4, "matmul_64_64_64")
    (task,) = result["tasks"]
    assert (
        task["workload_key"] == '["tvm_gnn_cost.matmul", 64, 64, 64, "float32", "float32"]' or "matmul" in task["name"]
    )
    found = read_database("matmul_64_64_64")
    assert len(found) == 8 and not found.skipped

    assert main(["inspect", "--log", "matmul_64_64_64", "--pretrained", "m.ckpt", "-o", "best.svg"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("matmul 64 64 64") and "GFLOP/s" in out and "predicted relative throughput" in out
    loops = [line for line in out.splitlines() if line.lstrip().startswith("for ")]
    assert loops, "whichever schedule was the fastest"
    assert Path("best.svg").read_text().startswith("<?xml") or "<svg" in Path("best.svg").read_text()
    assert main(["inspect", "--log", "matmul_64_64_64", "--line", "99"]) == 2
    assert "line 99 is no record that can be shown" in capsys.readouterr().err
    assert main(["inspect", "matmul", "--log", "matmul_64_64_64"]) == 2
    assert "--log matmul_64_64_64 says what its records compute: leave out 'matmul'" in capsys.readouterr().err


def test_a_sampled_schedule_is_shown_and_the_same_for_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for seed in ("3", "3", "4"):
        assert main(["inspect", *MATMUL, *SCHEDULER, "--pretrained", "none", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_compare_writes_everything_and_does_not_repeat_itself(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", *MATMUL, "--pretrained", "none", "--trials", "4", "--output", "out", *QUICK]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "GNNCostModel" in out and "XGBModel" in out and "search (s)" in out
    comparison = Comparison.load("out/comparison.json")
    assert sorted(comparison.models()) == ["gnn", "xgboost"] and comparison.settings["scheduler"] == "metaschedule"
    assert all(len(run.trials) == 4 for run in comparison.runs)
    assert all(len(read_database(f"out/{model}-seed0")) == 4 for model in ("gnn", "xgboost"))
    assert main(command) == 0
    assert "XGBModel, seed 0: done before" in capsys.readouterr().out
    assert main([*command, "--restart", "--trials", "2"]) == 0
    assert len(read_database("out/gnn-seed0.old1")) == 4, "measurements are not thrown away"


def test_a_pool_mixes_its_sources_and_is_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["collect", *MATMUL, *SCHEDULER, *MEASURE, "--batch", "4", "--wait-quiet", "0", "--output", "pools"]
    assert main([*command, "--trials", "8"]) == 0
    out = capsys.readouterr().out
    assert "matmul 64 64 64" in out and "8 (+8)" in out and "pool: pools/matmul-64x64x64" in out
    assert main([*command, "--trials", "10", "--remeasure", "0"]) == 0
    assert "10 (+2)" in capsys.readouterr().out
    found = read_database("pools/matmul-64x64x64")
    assert len(found) == 10 == len({NAMES.structural_hash(record.candidate.sch.mod) for record in found.records})
    about = json.loads(Path("pools/about/matmul-64x64x64.json").read_text())
    origins = [origin for batch in about["batches"] for origin in batch["origins"]]
    assert len(origins) == 10 and {"random", "evolved", "mutated"} == set(origins)
    assert about["scheduler"] == "metaschedule" and about["records"] == 10 and len(about["remeasured"]) == 8
    assert all(batch["quiet"] in (True, False) for batch in about["batches"])
    assert has_current_graphs(Path("pools/matmul-64x64x64"), with_stock=True), "it is learnt from where its TVM is not"
    assert main([*command, "--trials", "12", "--target", "llvm -num-cores=1"]) == 2
    assert "cannot be continued: the target was" in capsys.readouterr().err


def test_ctrl_c_while_schedules_are_searched_ends_a_collection() -> None:
    command = ["collect", *MATMUL, *SCHEDULER, *MEASURE, "--batch", "4", "--wait-quiet", "0", "--trials", "400"]
    log = Path("pools/matmul-64x64x64/database_tuning_record.json")
    status, out, _ = interrupt_at(8, log, command, within=120, ends_within=120)
    assert status == 130, out
    assert "the same command goes on" in out and "Traceback" not in out
    assert len(read_database("pools/matmul-64x64x64")) >= 8


def test_a_dry_run_lists_the_tasks_and_own_operators_are_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(
        "from tvm import te\n\n\ndef twice(n: int):\n    a = te.placeholder((n, n), name='a')\n"
        "    return [a, te.compute((n, n), lambda i, j: a[i, j] + a[i, j], name='b')]\n"
    )
    assert main(["tune", "mine.py:twice", "32", *SCHEDULER, "--dry-run", "--json"]) == 0
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    assert task["flop"] == 1024 and "num-cores" in task["target"] and task["workload_key"] == '["mine.twice", 32]'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune", "matmull", "64"], "did you mean matmul"),
        (["tune", *MATMUL, "--log-file", "x.json"], "--log-file does not go with --scheduler metaschedule"),
        (["tune", *MATMUL, "--target", "lvm"], "did you mean llvm"),
        (["inspect", "--log", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[Any]) -> None:
    assert main([*arguments, *SCHEDULER]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_what_cannot_be_scheduled_is_left_out_of_a_collection(capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.txt").write_text("swiglu 16 16 16\nmatmul 32 32 32\n")
    quick = [*SCHEDULER, *MEASURE, "--wait-quiet", "0", "--trials", "2", "--remeasure", "0"]
    assert main(["collect", "--workloads", "list.txt", *quick]) == 1
    out = capsys.readouterr().out
    assert "2 (+2)" in out and "left out, TVM cannot schedule it" in out
    assert main(["collect", "swiglu", "16", "16", "16", *quick]) == 2
    assert "cannot schedule" in capsys.readouterr().err
