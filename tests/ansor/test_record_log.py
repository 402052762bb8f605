from __future__ import annotations

import gzip
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import auto_scheduler
from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost import RecordError
from tvm_gnn_cost.ansor.record_format import parse_record
from tvm_gnn_cost.ansor.record_log import append_records, read_records, recover, repair_log
from tvm_gnn_cost.ansor.tasks import make_task


def make_lines() -> list[str]:
    """Six records of a matmul; the fourth is a failed measurement."""
    task = make_task("matmul_relu", (32, 32, 32), "llvm -num-cores=2")
    policy = auto_scheduler.SketchPolicy(task, seed=1, verbose=0)
    states = policy.sample_initial_population()[:6]
    lines = []
    for i, state in enumerate(states):
        failed = i == 3
        costs = [1e10] if failed else [0.001 * (i + 1), 0.0015 * (i + 1)]
        result = auto_scheduler.MeasureResult(costs, 7 if failed else 0, "", 0.5, 1_700_000_000)
        inp = auto_scheduler.MeasureInput(task, state)
        lines.append(auto_scheduler.measure_record.dump_record_to_string(inp, result).strip())
    return lines


LINES = make_lines()


def edited(line: str, **changes: Any) -> str:
    """The record with its costs, error number, workload key, steps or version changed."""
    record = json.loads(line)
    if "costs" in changes:
        record["r"][0] = changes["costs"]
    if "error_no" in changes:
        record["r"][1] = changes["error_no"]
    if "key" in changes:
        record["i"][0][0] = changes["key"]
    if "steps" in changes:
        record["i"][1][1] = changes["steps"]
    return json.dumps(record)


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_text("\n".join(lines) + end)
    return path


def test_a_good_log_is_read_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = read_records(write(tmp_path / "log.json", LINES))
    assert len(log) == len(log.inputs) == len(log.results) == 6
    assert [int(res.error_no) for res in log.results] == [0, 0, 0, 7, 0, 0]
    assert not log.skipped
    assert not caplog.records


def test_a_gzipped_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.json.gz"
    path.write_bytes(gzip.compress("\n".join(LINES).encode()))
    assert len(read_records(path)) == 6


def test_n_lines_limits_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "log.json", ["# a comment", "", *LINES])
    assert len(read_records(path, 2)) == 2
    assert len(read_records(path, 0)) == 0
    with pytest.raises(RecordError, match="n_lines is -1"):
        read_records(path, -1)


def test_rebuilt_states_are_complete(tmp_path: Path) -> None:
    path = write(tmp_path / "log.json", LINES)
    hollow = read_records(path).inputs[0]
    whole = read_records(path, rebuild=True).inputs[0]
    assert len(hollow.state.stages) == 0
    assert len(whole.state.stages) >= 3
    assert str(recover(hollow).state) == str(whole.state)


BAD = {
    "truncated": (LINES[0][: len(LINES[0]) // 2], "truncated"),
    "garbage": ("not a record", "not JSON"),
    "binary": ("\x00\x01\x02", "not JSON"),
    "another format": ('{"a": 1}', "not a record"),
    "a list": ("[1, 2]", "not a record"),
    "NaN cost": (edited(LINES[0], costs=[float("nan")]), "NaN"),
    "infinite cost": (edited(LINES[0], costs=[float("inf")]), "Infinity"),
    "zero cost": (edited(LINES[0], costs=[0.0]), "not above zero"),
    "negative cost": (edited(LINES[0], costs=[0.1, -0.1]), "not above zero"),
    "no cost": (edited(LINES[0], costs=[]), "no cost"),
    "text cost": (edited(LINES[0], costs=["fast"]), "not finite numbers"),
    "unknown error": (edited(LINES[0], error_no=99), "error number is 99"),
    "unregistered": (edited(LINES[0], key='["no_such_workload", 1]'), "'no_such_workload' is not registered"),
    "unregistered network": (edited(LINES[0], key='["0123abcd", 1, 2]'), "extract the network's tasks"),
    "malformed key": (edited(LINES[0], key="matmul"), "workload key is malformed"),
    "nested key": (edited(LINES[0], key="[" * 100_000), "workload key is malformed"),
    "wrong arguments": (edited(LINES[0], key='["tvm_gnn_cost.matmul_relu", 1]'), "cannot be built"),
    "unknown step": (edited(LINES[0], steps=[["XX", 1]]), "unknown step"),
    "malformed step": (edited(LINES[0], steps=[["SP", 2, 0]]), "malformed step"),
    "stage out of range": (edited(LINES[0], steps=[["CI", 99]]), "names stage 99 of"),
    # TVM itself takes the process down when it replays this one
    "cached placeholder": (edited(LINES[0], steps=[["CHW", 0, "local"]]), "computes nothing"),
}


@pytest.mark.parametrize("bad", list(BAD))
def test_a_bad_line_is_named_and_the_rest_is_used(bad: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line, reason = BAD[bad]
    path = write(tmp_path / "log.json", [LINES[0], line, LINES[1]])
    with caplog.at_level(logging.WARNING, "tvm_gnn_cost"):
        log = read_records(path, rebuild=True)
    assert len(log) == 2
    assert [number for number, _ in log.skipped] == [2]
    assert reason in log.skipped[0][1]
    assert len(caplog.records) == 1
    assert f"{path}: 2 records used, 1 skipped (line 2: " in caplog.text


def test_one_warning_counts_all_bad_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "log.json", ["x"] * 20 + LINES)
    with caplog.at_level(logging.WARNING, "tvm_gnn_cost"):
        log = read_records(path)
    assert (len(log), len(log.skipped), len(caplog.records)) == (6, 20, 1)
    assert "20 skipped" in caplog.text and "and 15 more" in caplog.text


def test_text_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(b"\xff\xfe\n" + LINES[0].encode() + b"\n")
    log = read_records(path)
    assert (len(log), log.skipped) == (1, [(1, "not UTF-8 text")])


def test_a_damaged_gzip_stream_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "log.json.gz"
    body = gzip.compress("\n".join(LINES * 200).encode())
    path.write_bytes(body[: len(body) // 2])
    log = read_records(path)
    assert len(log) > 0
    assert "damaged" in log.skipped[-1][1]


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="missing.json cannot be read: No such file"):
        read_records(tmp_path / "missing.json")
    with pytest.raises(RecordError, match="directory"):
        read_records(tmp_path)


def test_an_empty_log_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.touch()
    assert len(read_records(path)) == 0


def test_repair_makes_a_log_fit_for_tvm_and_loses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "log.json", [LINES[0], "", "garbage", LINES[1], LINES[2][:50]], end="")
    assert repair_log(path) == 2
    inputs, _ = RecordReader(str(path)).read_lines()
    assert len(inputs) == 2
    assert path.read_text().endswith("\n")
    assert (tmp_path / "log.json.rejected").read_text().splitlines() == ["garbage", LINES[2][:50]]


def test_repair_leaves_a_good_log_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "log.json", LINES)
    before = os.stat(path).st_ino
    assert repair_log(path) == 0
    assert os.stat(path).st_ino == before
    assert repair_log(tmp_path / "missing.json") == 0


def test_appended_records_are_read_back(tmp_path: Path) -> None:
    source = read_records(write(tmp_path / "source.json", LINES))
    path = tmp_path / "new" / "log.json"
    append_records(path, source.inputs[:2], source.results[:2])
    append_records(path, source.inputs[2:], source.results[2:])
    assert [json.loads(line)["i"] for line in path.read_text().splitlines()] == [json.loads(x)["i"] for x in LINES]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error_and_not_a_silent_loss(tmp_path: Path) -> None:
    source = read_records(write(tmp_path / "source.json", LINES))
    with pytest.raises(RecordError, match="6 measurements cannot be written to /dev/full: No space left"):
        append_records("/dev/full", source.inputs, source.results)


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "log.json", [LINES[0], "garbage"])
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RecordError, match="No space left"):
        repair_log(path)
    assert path.read_text() == before
    assert not list(tmp_path.glob(".log.json.*"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_corruption_of_a_record_gets_past_as_an_exception(data: st.DataObject) -> None:
    """Characters of a good record replaced at random: each line is used or skipped, and the process survives."""
    line = list(data.draw(st.sampled_from(LINES)))
    for _ in range(data.draw(st.integers(1, 4))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.sampled_from('0123456789[]{},:"-. xe'))
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"tvm-gnn-cost-fuzz-{os.getpid()}.json"
    try:
        path.write_text("".join(line) + "\n" + LINES[0] + "\n")
        log = read_records(path, rebuild=True)
        assert len(log) + len(log.skipped) in (1, 2)  # a leading blank or # makes a comment
        assert len(log) >= 1
    finally:
        path.unlink(missing_ok=True)


@settings(max_examples=300)
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=8)
)
def test_any_json_is_judged(value: object) -> None:
    record = json.loads(LINES[0])
    for place in ("i", "r", "v"):
        assert isinstance(parse_record(json.dumps(record | {place: value}))[0], str) or isinstance(value, str)
