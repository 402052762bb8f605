"""Pages of runs, of evaluations and of pools, and the one that is served."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import make_comparison, make_run
from html_pages import CHROMIUM, Reader, screenshot

from tvm_gnn_cost import EvaluationError, InvalidArgumentError
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.cli.pages import find_source
from tvm_gnn_cost.evaluation.summary import load_summary
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.tuning_run import Trial
from tvm_gnn_cost.report.page.live import LivePage
from tvm_gnn_cost.report.page.page import Page

pytest.importorskip("matplotlib")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EVALUATIONS = BENCHMARKS / "results" / "evaluation"


def network_run(finished: bool = True) -> Comparison:
    """A run of two tasks, the second of which costs more."""
    trials = (Trial(0, 0.001, 1.0, score=0.5), Trial(1, 0.004, 2.0), Trial(1, None, 3.0, 6), Trial(1, 0.003, 4.0))
    run: Run = replace(
        make_run("gnn", 0, [0.1]), trials=trials, weights=(1.0, 2.0), flops=(1e9, 2e9),
        left=("its trials are used", ""), finished=finished, log_file="net.json",
    )  # fmt: skip
    return replace(make_comparison(run), tasks=("small", "large"), untuned_s=0.02, workload="net batch 1")


def test_a_page_of_a_run_names_its_tasks_costliest_first(tmp_path: Path) -> None:
    network_run().save(tmp_path / "net.run.json")
    (tmp_path / "net.json").write_text("")
    assert main(["report", str(tmp_path / "net.json")]) == 0
    page = Reader((tmp_path / "net.html").read_text())
    tasks = [row for row in page.rows if row[0] in ("small", "large")]
    assert tasks == [
        ["large", "2", "3", "86%", "666.7", "3", "1"],
        ["small", "1", "1", "14%", "1000.0", "1", "0", "its trials are used"],
    ]
    assert ["network untuned (ms)", "20"] in page.rows and ["best latency (ms)", "7"] in page.rows
    assert "Fastest schedules" in page.headings, "the log holds none, and the page says so"


def test_a_page_of_a_run_without_a_latency_says_why_and_has_no_curve(tmp_path: Path) -> None:
    told = network_run()
    told = replace(told, runs=(replace(told.runs[0], trials=told.runs[0].trials[:1]),))
    told.save(tmp_path / "net.run.json")
    assert main(["report", str(tmp_path / "net.run.json")]) == 0
    text = (tmp_path / "net.html").read_text()
    page = Reader(text)
    assert "Best latency" not in page.headings and ["best latency (ms)", "-"] in page.rows
    assert "1 of 2 tasks have no schedule that ran" in text and "Where the time went" in page.headings


@pytest.mark.parametrize("file", sorted(EVALUATIONS.glob("*.json")), ids=lambda file: file.stem)
def test_every_evaluation_that_is_kept_has_a_page(file: Path, tmp_path: Path) -> None:
    assert main(["report", str(file), "--output", str(tmp_path / "page.html")]) == 0
    page = Reader((tmp_path / "page.html").read_text())
    assert "What was found" in page.headings and any(row[:1] == ["gnn"] or "gnn" in row[:2] for row in page.rows)


def test_an_evaluation_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = EVALUATIONS / "search.json"
    summary, about = load_summary(file)
    summary.save(tmp_path / "again.json", about)
    assert load_summary(tmp_path / "again.json") == (summary, about)
    (best, *_) = json.loads(file.read_text())["figures"]
    assert summary.statistics[0].method == best["model"] and summary.statistics[0].median == best["median"]
    (tmp_path / "bad.json").write_text('{"schema": 1, "figures": [{}]}')
    with pytest.raises(EvaluationError, match="damaged"):
        load_summary(tmp_path / "bad.json")


def test_a_page_of_pools_counts_them(tmp_path: Path) -> None:
    folder = BENCHMARKS / "data" / "zen4_generated"
    assert main(["report", str(folder), "--output", str(tmp_path / "pools.html")]) == 0
    page = Reader((tmp_path / "pools.html").read_text())
    count = len(list(folder.glob("*.json.gz")))
    assert ["pools", str(count)] in page.rows and ["complete pools", str(count)] in page.rows
    assert sum(row[0].startswith("random_program") for row in page.rows) == count


def test_a_folder_that_holds_nothing_to_tell_of_says_what_would_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"no comparison.json .* no evaluation.json .* no about/"):
        find_source(str(tmp_path))


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_live_page_follows_the_file(tmp_path: Path) -> None:
    told = network_run(finished=False)
    source = find_source_of(tmp_path, told)
    with LivePage(lambda: source.page(True), source.files, 0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            first = fetch(server.address)
            assert 'http-equiv="refresh"' in first and ["trials", "4"] in Reader(first).rows
            ended = replace(told.runs[0], finished=True, trials=(*told.runs[0].trials, Trial(0, 0.0005, 5.0)))
            replace(told, runs=(ended,)).save(tmp_path / "net.run.json")
            second = fetch(server.address)
            assert "refresh" not in second and ["trials", "5"] in Reader(second).rows
            (tmp_path / "net.run.json").unlink()
            assert "Nothing to show yet" in fetch(server.address)
            with pytest.raises(urllib.error.HTTPError):
                fetch(server.address + "etc/passwd")
            with pytest.raises(InvalidArgumentError, match="cannot be served"):
                LivePage(lambda: Page("", "", []), list, int(server.address.rsplit(":", 1)[1].strip("/")))
        finally:
            server.stop()
            thread.join()


def find_source_of(folder: Path, told: Comparison):  # type: ignore[no-untyped-def]
    told.save(folder / "net.run.json")
    return find_source(str(folder / "net.run.json"))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_a_browser_opens_the_page_of_a_run(width: int, dark: bool, tmp_path: Path) -> None:
    network_run().save(tmp_path / "net.run.json")
    assert main(["report", str(tmp_path / "net.run.json")]) == 0
    screenshot((tmp_path / "net.html").as_uri(), tmp_path / "page.png", width, dark=dark)
