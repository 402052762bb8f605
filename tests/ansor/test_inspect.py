"""`tvm-gnn-cost inspect`, and the views and pictures it is made of."""

from __future__ import annotations

import gzip
import html
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import assert_drawn

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.inspection import inspect_state
from tvm_gnn_cost.ansor.record_log import append_records
from tvm_gnn_cost.ansor.tasks import make_task as make_workload
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.schedule_view import ScheduleView
from tvm_gnn_cost.report.formats import format_bytes, format_count
from tvm_gnn_cost.report.loop_text import schedule_text
from tvm_gnn_cost.testing.schedules import make_task, measured, sample_states

LATENCIES = [3e-3, 1e-3, 2e-3]
LOOP = re.compile(r"^ *(\S+) (\S+) \((?:.*,)?(\d+)\)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def records() -> tuple[Any, list[Any]]:
    task = make_workload("conv2d_nhwc_bn_relu", (1, 14, 14, 32, 64, 3, 1, 1), "llvm -num-cores=4")
    return task, sample_states(task, len(LATENCIES))


@pytest.fixture
def log(records: tuple[Any, list[Any]]) -> str:
    append_records("conv.json", *measured(*records, LATENCIES))
    return "conv.json"


def view_of(task: Any, state: Any, pretrained: str | None = "auto") -> ScheduleView:
    return inspect_state(task, state, GNNCostModel(pretrained, device="cpu"), title="a schedule")


def loops_of(text: str) -> list[tuple[str, ...]]:
    """(annotation, name, extent) of every loop, sorted: TVM lists the stages attached to one loop in another order."""
    return sorted(loop for loop in LOOP.findall(text) if loop[2] != "1")


def svg_texts(path: str) -> set[str]:
    return {html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", Path(path).read_text())}


def test_the_best_record_is_shown_with_what_was_measured_and_predicted(
    log: str, records: tuple[Any, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "--log", log, "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("conv2d_nhwc_bn_relu 1 14 14 32 64 3 1 1 1 float32 float32\n")
    assert "conv.json, line 2: measured 1 ms, 7.3 GFLOP/s" in out and "predicted relative throughput" in out
    assert loops_of(out) == loops_of(str(records[1][1]))
    assert re.search(r"^Conv2dOutput +.*reduction.* \d+%$", out, re.MULTILINE)
    assert main(["inspect", "--log", log, "--line", "3", "--pretrained", "none"]) == 0
    out = capsys.readouterr().out
    assert "line 3: measured 2 ms" in out and "no trained network" in out and "share" not in out


def test_a_gzipped_log_is_read(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("conv.json.gz").write_bytes(gzip.compress(Path(log).read_bytes()))
    assert main(["inspect", "--log", "conv.json.gz", "--best", "--pretrained", "none"]) == 0
    assert "conv.json.gz, line 2" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["llvm -num-cores=4", "cuda"])
def test_text_has_every_loop_as_tvm_prints_it(target: str) -> None:
    for name in ("matmul", "softmax", "conv2d_bn_relu"):
        task = make_task(name, target)
        for state in sample_states(task, 4):
            view = view_of(task, state, None)
            loops = loops_of(schedule_text(view))
            assert loops and loops == loops_of(str(state))


@pytest.mark.parametrize("target", ["llvm -num-cores=2", "cuda"])
def test_pictures_of_a_sampled_schedule(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    from tvm_gnn_cost.report.picture.drawing import schedule_layout

    command = ["inspect", "attention", "4", "32", "16", "--target", target, "--seed", "2", "--device", "cpu"]
    assert main([*command, "-o", "a.svg", "-o", "a.png"]) == 0
    out = capsys.readouterr().out
    assert_drawn("a.png")
    texts = svg_texts("a.svg")
    stages = re.findall(r"^(\S+) +(?:input|inlined|compute|reduction|shared|local|rfactor)\b", out, re.MULTILINE)
    assert len(stages) > 8 and set(stages) <= texts
    assert "colour and number: the stage's share of the time, as the network predicts it" in texts
    whole = re.findall(r"^\S+ +\S+ +([\d.]+ [KM]?i?B) +([\d.]+ [KM]?i?B)(?:  made|$)", out, re.MULTILINE)
    assert whole and all(total in texts or f"{part} of {total}" in texts for part, total in whole)

    assert main([*command, "-o", "b.svg"]) == 0
    assert Path("b.svg").read_bytes() == Path("a.svg").read_bytes()

    task = make_task("winograd", "llvm")
    boxes, labels, layout = schedule_layout(view_of(task, sample_states(task, 1)[0]))
    sizes = [(box.width, box.height) for box in boxes] + [(20.0, 8.0) for label in labels if label]
    centres = [*layout.centres, *(r.label for r, label in zip(layout.routes, labels, strict=True) if label)]
    for ((x, y), (w, h)), ((u, v), (s, t)) in itertools.combinations(zip(centres, sizes, strict=True), 2):
        assert abs(x - u) >= (w + s) / 2 or abs(y - v) >= (h + t) / 2


def test_time_shares_sum_to_one() -> None:
    task = make_task("conv2d_bn_relu")
    states = sample_states(task, 2)
    model = GNNCostModel(device="cpu")
    parts = [model.time_shares(task, state) for state in states]
    assert all(len(part) == len(state.stages) and (part >= 0).all() for part, state in zip(parts, states, strict=True))
    np.testing.assert_allclose([part.sum() for part in parts], 1.0, atol=1e-5)
    assert np.isnan(GNNCostModel(None, device="cpu").time_shares(task, states[0])).all()
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        model.time_shares(make_task("matmul"), "no state")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect"], "name a workload"),
        (["inspect", "matmul", "8", "8", "8", "--log", "x.json"], "leave out 'matmul 8 8 8'"),
        (["inspect", "matmull", "8", "8", "8"], "did you mean matmul"),
        (["inspect", "matmul", "8", "8"], "matmul takes: n m k"),
        (["inspect", "matmul", "8", "8", "8", "--line", "2"], "give it with --log"),
        (["inspect", "--log", "conv.json", "--seed", "2"], "for a sampled schedule"),
        (["inspect", "--log", "conv.json", "--line", "2", "--best"], "exclude each other"),
        (["inspect", "--log", "missing.json"], "missing.json cannot be read: No such file"),
        (["inspect", "--log", "conv.json", "--line", "9"], "line 9 is no record that can be shown: there is no such"),
        (["inspect", "--log", "conv.json", "--line", "4"], "line 4 is no record that can be shown: not JSON"),
        (["inspect", "--log", "conv.json", "--line", "5"], "workload 'unheard_of' is not registered"),
        (["inspect", "--log", "two.json"], "two.json holds 2 tasks: choose with --line"),
        (["inspect", "--log", "conv.json", "-o", "a.pdf"], "a.pdf: a picture's name ends in .png or .svg"),
        (["inspect", "--log", "conv.json", "-o", "gone/a.svg"], "there is no folder gone"),
        (["inspect", "--log", "conv.json", "--pretrained", "gone.ckpt"], "gone.ckpt"),
    ],
)
def test_wrong_input_is_one_message_and_status_2(
    arguments: list[str], message: str, log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path(log).read_text().splitlines()
    foreign = lines[0].replace("tvm_gnn_cost.conv2d_nhwc_bn_relu", "unheard_of")
    Path("two.json").write_text("\n".join([lines[0], lines[1].replace("cores=4", "cores=2")]) + "\n")
    Path(log).write_text("\n".join([*lines, lines[0][:50], foreign]) + "\n")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_missing_library_is_named(log: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "networkx", None)
    assert main(["inspect", "--log", log, "-o", "a.svg", "--pretrained", "none"]) == 2
    assert 'pip install "tvm-gnn-cost[plots]"' in capsys.readouterr().err


def test_sizes_are_readable() -> None:
    assert [format_bytes(n) for n in (0, 96, 1536, 999 * 1024, 5 << 30)] == [
        "0 B",
        "96 B",
        "1.5 KiB",
        "999 KiB",
        "5 GiB",
    ]
    assert [format_count(n) for n in (960, 1200, 113_246_208)] == ["960", "1.2 k", "113 M"]
