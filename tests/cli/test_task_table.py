"""What is seen of a network while it is tuned, of a dry run, and what machines read."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from tvm_gnn_cost.cli import main
from tvm_gnn_cost.cli.compare import print_table
from tvm_gnn_cost.cli.problem import Problem, TaskFacts
from tvm_gnn_cost.cli.progress import Display
from tvm_gnn_cost.cli.task_table import NetworkStatus, format_duration, shorten
from tvm_gnn_cost.cli.tune_result import print_result
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.tuning_run import PhaseTimes, TaskProgress, Trial, TuneProgress, TuneResult

NAMES = [
    "vm_mod_fused_nn_contrib_conv2d_winograd_without_weight_transform_add_nn_relu_12",
    "vm_mod_fused_nn_dense_add",
    "vm_mod_fused_nn_softmax",
]
QUICK = ["--repeat", "1", "--min-repeat-ms", "1", "--round", "2", "--population", "8", "--pretrained", "none"]


def network(names: list[str] = NAMES) -> Problem:
    facts = [TaskFacts(name, 1e9, "llvm", f'["{name}"]') for name in names]
    return Problem("a network", names, [float(i + 1) for i in range(len(names))], facts)


def progress(tasks: list[TaskProgress], latency_s: float | None) -> TuneProgress:
    done = sum(task.trials for task in tasks)
    return TuneProgress(
        phase="measure", done=done, total=256, failed=2, latency_s=latency_s, elapsed_s=60.0, task=1, tasks=tuple(tasks)
    )


def shown(width: int, moment: TuneProgress, problem: Problem, untuned_s: float | None = None, height: int = 25) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, no_color=True, legacy_windows=False)
    with Display(console, NetworkStatus(console, problem, "gnn", untuned_s)) as display:
        display(moment)
        display._live.refresh()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


@pytest.mark.parametrize("width", [80, 160])
def test_the_live_table_has_every_figure_at_any_width(width: int) -> None:
    tasks = [
        TaskProgress(64, 3, 1234.5e-3, 0.19),
        TaskProgress(128, 0, 0.001234e-3, 0.02),
        TaskProgress(64, 64, None, None),
    ]
    text = shown(width, progress(tasks, None), network())
    for figure in ("1234", "0.001234", "100%", "64 │     64 │", "19%", "256/256", "nn_dense_add", "elu_12"):
        assert figure in text, figure
    assert "1 of 3 tasks without a latency; about 0 s left" in text
    assert "measuring  no latency yet  2 failed" in text
    assert max(map(len, text.splitlines())) <= width


def test_the_total_stands_beside_the_untuned_one() -> None:
    tasks = [TaskProgress(10, 0, 1e-3, 0.1), TaskProgress(10, 0, 2e-3), TaskProgress(12, 0, 1e-3, 0.0)]
    text = shown(80, progress(tasks, 8e-3), network(), untuned_s=20e-3)
    assert "all tasks, weighted: 8 ms (network untuned: 20 ms); about 7 min left" in text
    rows = [line for line in text.splitlines() if "│" in line]
    assert [row.split("│")[3].strip() for row in rows] == ["50%", "38%", "12%"]  # the costliest first
    assert [row.split("│")[6].strip() for row in rows] == ["-", "0%", "10%"]  # no gain is none, not less than none


def test_a_low_terminal_shows_the_costliest_tasks() -> None:
    names = [f"task_{i}" for i in range(40)]
    tasks = [TaskProgress(1, 0, (i + 1) * 1e-3) for i in range(40)]
    text = shown(80, progress(tasks, 1.0), network(names), height=24)
    assert "and 26 more tasks" in text and "task_39" in text and "task_3 " not in text


def test_without_a_terminal_there_are_lines() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80)
    with Display(console, NetworkStatus(console, network(), "gnn")) as display:
        display(progress([TaskProgress(4, 1, 1e-3)] * 3, 6e-3))
        assert out.getvalue() == "", "no line for each trial"
        display(progress([TaskProgress(6, 1, 1e-3)] * 3, 6e-3))
    assert out.getvalue() == "gnn: 18/256 trials, 60 s, best 6 ms, 1000.0 GFLOP/s, 2 failed\n"


def test_the_result_at_80_columns_has_names_and_figures_whole() -> None:
    trials = tuple(Trial(i % 3, 1e-3, 1.0) for i in range(300))
    result = TuneResult(
        trials, PhaseTimes(1, 2, 3, 1, 6), (1234.5e-3, 0.001234e-3, 1e-3), (1.0, 2.0, 3.0), (1e12, 1e9, 0.0), 0, False,
        False, "x.json", left=("", "", "no schedule of it has run"),
    )  # fmt: skip
    out = io.StringIO()
    print_result(Console(file=out, width=80), network(), result)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines() if "│" in line]
    assert "".join(row[0] for row in cells) == "".join(name.removeprefix("vm_mod_fused_") for name in NAMES)
    assert [row[1:] for row in cells if row[1]] == [
        ["1", "1234", "810.0", "100%", "100"],
        ["2", "0.001234", "810372.8", "0%", "100"],
        ["3", "1", "0.0", "0%", "100"],
    ]  # fmt: skip


def test_a_comparison_at_80_columns_has_its_figures_whole() -> None:
    def run(model: str, seed: int, latency_s: float) -> Run:
        trials = tuple(Trial(0, latency_s, float(i)) for i in range(256))
        return Run(model, seed, "", trials, PhaseTimes(123.4, 1234.5, 234.5, 1.0, 1592.4), (1.0,), (1e9,), "l", False)

    runs = tuple(run(model, seed, (1.25 + seed / 4) * 1e-3) for model in ("gnn", "xgboost") for seed in (0, 1, 2))
    out = io.StringIO()
    print_table(Console(file=out, width=80), Comparison("conv2d_nhwc " + "128 " * 9, {}, {}, {}, "", runs))
    text = out.getvalue()
    for row in ("best latency (ms)", "1.5", "1.25 to 1.75", "666.7", "1 trials, 0 s", "1234.5", "1592.4", "XGBModel"):
        assert row in text, text


def test_names_keep_their_ends_and_times_their_unit() -> None:
    assert shorten("conv2d_add_nn_relu_12", 12) == "conv2…elu_12" and shorten("softmax", 12) == "softmax"
    assert [format_duration(s) for s in (45.2, 720.0, 12600.0)] == ["45 s", "12 min", "3.5 h"]


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("in_empty_folder")
def test_a_dry_run_lists_the_tasks_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--network", "mlp", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "nn_dense_add_nn_relu_1" in out and "4 tasks; nothing was measured" in out and "target: llvm" in out
    assert main(["tune", "--network", "mlp", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["tasks"]) == 4 and all(len(task["key"]) == 8 and task["flop"] > 0 for task in found["tasks"])
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("in_empty_folder")
def test_json_is_one_object_and_progress_goes_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "matmul", "16", "16", "16", "--json", "--trials", "4", *QUICK, "--log-file", "m.json"]) == 0
    out, err = capfd.readouterr()
    result = json.loads(out)
    (task,) = result["tasks"]
    assert task["name"] == "matmul" and task["best_latency_s"] > 0 and task["trials"] == 4 and task["failed"] == 0
    assert result["total_latency_s"] == task["best_latency_s"] and result["log"] == "m.json"
    assert result["seconds"]["total"] >= result["seconds"]["measure"] > 0
    assert result["interrupted"] is False and result["exhausted"] is False and result["model"] == "gnn"
    assert "4/4 trials" in err
