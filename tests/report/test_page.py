"""Pages of comparisons: what they say, that they need nothing else, and that a browser opens them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import make_comparison, make_run
from html_pages import CHROMIUM, Reader, screenshot

from tvm_gnn_cost import RecordError
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.records.comparison import Comparison
from tvm_gnn_cost.records.tuning_run import Forecast
from tvm_gnn_cost.report.page.page import Page, PageTable, Section
from tvm_gnn_cost.report.page.run_sections import ranked_batches

pytest.importorskip("matplotlib")


@pytest.fixture
def comparison() -> Comparison:
    latencies = [0.004 + 0.0005 * ((7 * n) % 16) for n in range(16)]
    ours = make_run("gnn", 0, [*latencies, None, 0.002])
    promised = [replace(t, score=None if t.latency_s is None else 0.004 / t.latency_s) for t in ours.trials]
    ours = replace(ours, trials=tuple(promised), forecasts=(Forecast(16, 0.25), Forecast(18, 0.01)))
    stock = make_run("xgboost", 0, [0.008, 0.006, None, 0.005], pace=2.0)
    return make_comparison(ours, stock, make_run("xgboost", 1, [0.007, 0.004]))


def page_of(comparison: Comparison, folder: Path) -> str:
    comparison.save(folder / "comparison.json")
    assert main(["report", str(folder)]) == 0
    return (folder / "report.html").read_text()


def test_a_page_says_what_was_reached_and_what_was_promised(comparison: Comparison, tmp_path: Path) -> None:
    text = page_of(comparison, tmp_path)
    page = Reader(text)
    assert ["best latency (ms)", "2", "4.5"] in page.rows
    assert ["of all seeds (ms)", "2 to 2", "4 to 5"] in page.rows
    assert ["building took too long", "1", "1"] in page.rows
    assert ["gnn, seed 0", "16", "25.0%", "50.0%"] in page.rows, "4 ms became 2"
    assert ["gnn, seed 0", "18", "1.0%", "0.0%"] in page.rows
    assert "How well each batch was ranked before it was learnt" in page.headings
    assert text.count("<svg ") == 3 and "xgboost 2.25 times" in text


def test_batches_before_the_first_forecast_stand_where_they_end() -> None:
    """A network has its first forecast when each of its tasks has a latency."""
    run = make_run("gnn", 0, [0.001 * (1 + n) for n in range(48)])
    trials = tuple(replace(t, task=n // 16, score=1 / t.latency_s) for n, t in enumerate(run.trials) if t.latency_s)
    run = replace(run, trials=trials, weights=(1.0,) * 3, forecasts=(Forecast(48, 0.1),))
    assert list(ranked_batches([run])) == [(16.0, 1.0), (32.0, 1.0), (48.0, 1.0)]


def test_a_page_of_a_comparison_of_an_earlier_release_leaves_promises_out(tmp_path: Path) -> None:
    page = Reader(page_of(make_comparison(make_run("gnn", 0, [0.002, 0.001])), tmp_path))
    assert not any("promised" in heading or "expected" in heading or "ranked" in heading for heading in page.headings)


def test_a_page_needs_nothing_else(comparison: Comparison, tmp_path: Path) -> None:
    text = page_of(comparison, tmp_path)
    assert Reader(text).addresses == []
    assert not re.search(r"url\((?!#)|@import|<script", text)


def test_what_a_file_says_is_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    made = replace(make_comparison(make_run("gnn", 0, [0.002])), workload=hostile, settings={hostile: hostile})
    text = page_of(made, tmp_path)
    assert "<script" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["report", "."], "holds no comparison.json"), (["report", "bad.json"], "damaged"), (["report", "gone"], "gone")],
)
def test_wrong_input_is_one_message(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be written"):
        Page("a", "b", [Section("c", table=PageTable([], [["d"]]))]).save(tmp_path / "no" / "page.html")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_opens_it_without_an_error(comparison: Comparison, width: int, tmp_path: Path) -> None:
    page_of(comparison, tmp_path)
    screenshot((tmp_path / "report.html").as_uri(), tmp_path / "page.png", width)
