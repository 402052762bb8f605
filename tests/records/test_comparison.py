from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparisons import make_comparison, make_run

from tvm_gnn_cost import InvalidArgumentError, RecordError
from tvm_gnn_cost.records.comparison import Comparison, speed_up
from tvm_gnn_cost.records.tuning_run import Trial
from tvm_gnn_cost.report.comparison_plots import median_curve, plot_comparison
from tvm_gnn_cost.report.figures import COLOURS, PlotsNotAvailableError

GNN = make_run("gnn", 0, [None, 0.004, 0.002, 0.003])
XGB = make_run("xgboost", 0, [0.008, 0.006, None, 0.004], pace=2.0)


def test_a_curve_falls_and_skips_failures() -> None:
    assert GNN.curve() == [(2, 2.0, 0.004), (3, 3.0, 0.002)]
    assert GNN.best_latency_s == 0.002
    assert GNN.failed == 1


def test_a_curve_of_several_tasks_begins_when_each_has_a_latency() -> None:
    trials = (Trial(0, 0.002, 1.0), Trial(1, 0.003, 2.0), Trial(0, 0.001, 3.0))
    run = replace(GNN, trials=trials, weights=(2.0, 1.0), flops=(1e9, 4e9))
    assert run.curve() == [(2, 2.0, pytest.approx(0.007)), (3, 3.0, pytest.approx(0.005))]
    assert run.total_flops == 6e9


def test_reaches_gives_the_first_trial_as_fast() -> None:
    assert GNN.reaches(0.004) == (2, 2.0)
    assert GNN.reaches(0.003) == (3, 3.0)
    assert GNN.reaches(0.001) is None


def test_speed_up_is_paired_by_seed() -> None:
    assert speed_up([GNN], [XGB]) == (4 / 2, 8.0 / 2.0)
    assert speed_up([XGB], [GNN]) is None
    assert speed_up([replace(GNN, seed=1)], [XGB]) is None


def test_a_summary_takes_medians_over_seeds() -> None:
    runs = [make_run("gnn", seed, [latency]) for seed, latency in enumerate((0.001, 0.002, 0.004))]
    (summary,) = make_comparison(*runs).summaries()
    assert summary.latency_s == 0.002
    assert summary.latency_range_s == (0.001, 0.004)
    assert summary.gflops == pytest.approx(1000.0)
    assert (summary.runs, summary.trials_to_best, summary.seconds_to_best) == (3, 1, 1.0)


def test_a_run_in_which_everything_failed_is_summarised() -> None:
    (summary,) = make_comparison(make_run("gnn", 0, [None, None])).summaries()
    assert summary.latency_s is None and summary.gflops is None
    assert summary.failed == 2


def test_save_load(tmp_path: Path) -> None:
    comparison = make_comparison(GNN, XGB)
    comparison.save(tmp_path / "c.json")
    assert Comparison.load(tmp_path / "c.json") == comparison


def test_a_run_replaces_its_forerunner() -> None:
    comparison = make_comparison(GNN, XGB).with_run(make_run("gnn", 0, [0.1]))
    assert [(run.model, len(run.trials)) for run in comparison.runs] == [("xgboost", 4), ("gnn", 1)]
    assert comparison.has("gnn", 0) and not comparison.has("gnn", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "not a comparison"),
        ('{"schema": 99}', "not a comparison of schema 1"),
        ('{"schema": 1}', "is damaged"),
        ('{"schema": 1, "runs": [{"model": "gnn"}]}', "is damaged"),
    ],
)
def test_a_wrong_file_gets_a_clear_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=message):
        Comparison.load(path)


def test_a_missing_file_gets_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read: No such file"):
        Comparison.load(tmp_path / "c.json")


def test_a_failed_save_keeps_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.json"
    make_comparison(GNN).save(path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RecordError, match="No space left"):
        make_comparison(GNN, XGB).save(path)
    assert len(json.loads(path.read_text())["runs"]) == 1


def test_the_median_curve_is_a_step_function_within_all_runs() -> None:
    runs = [make_run("gnn", 0, [0.004, 0.002]), make_run("gnn", 1, [None, 0.008, 0.001])]
    assert median_curve(runs, 0) == [(2.0, pytest.approx(0.005))]
    assert median_curve(runs[:1], 0) == [(1.0, 0.004), (2.0, 0.002)]
    assert median_curve([make_run("gnn", 0, [None])], 0) == []


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    to_rgb = pytest.importorskip("matplotlib.colors").to_rgb
    path = tmp_path / "plot.png"
    plot_comparison(make_comparison(GNN, XGB, make_run("gnn", 1, [0.003, 0.0025, 0.001])), path)
    image = pytest.importorskip("matplotlib.image").imread(path)
    assert image.shape == (630, 1650, 4), "11 x 4.2 inches at 150 dots"
    for colour in COLOURS[:2]:
        drawn = np.abs(image[..., :3] - to_rgb(colour)).max(-1) < 0.01
        left, right = drawn[:, :825].sum(), drawn[:, 825:].sum()
        assert left > 500 and right > 500, "each model has its lines in both panels"


def test_nothing_measured_is_nothing_to_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(InvalidArgumentError, match="nothing to plot"):
        plot_comparison(make_comparison(make_run("gnn", 0, [None])), tmp_path / "plot.png")


def test_a_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(PlotsNotAvailableError, match=r"tvm-gnn-cost\[plots\]"):
        plot_comparison(make_comparison(GNN), tmp_path / "plot.png")


def test_no_latency_is_not_a_number_in_disguise(tmp_path: Path) -> None:
    """Nor a nan or an infinity in the file, which is no JSON."""
    comparison = make_comparison(make_run("gnn", 0, [None]), XGB)
    assert comparison.runs[0].best_latency_s is None
    comparison.save(tmp_path / "c.json")

    def fail(constant: str) -> None:
        raise AssertionError(f"{constant} in the file")

    json.loads((tmp_path / "c.json").read_text(), parse_constant=fail)
    again = Comparison.load(tmp_path / "c.json")
    assert [trial.latency_s for run in again.runs for trial in run.trials] == [None, 0.008, 0.006, None, 0.004]
