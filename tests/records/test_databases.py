"""Databases of MetaSchedule as files, and files of stage graphs: what can be told of them without TVM."""

from __future__ import annotations

import base64
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.problems import make_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.records.databases import (
    GRAPHS,
    NAMES,
    RECORDS,
    WORKLOADS,
    DatabaseFiles,
    is_database,
    read_record_lines,
    read_workload_lines,
)
from tvm_gnn_cost.records.graph_file import GraphFile, read_graph_file, write_graph_file
from tvm_gnn_cost.records.logs import find_logs, log_stem
from tvm_gnn_cost.records.pool import RecordedPool
from tvm_gnn_cost.records.rows import Rows
from tvm_gnn_cost.records.task import META_SCHEDULE, StoredTask, task_workload

BLOCK, TILE = ["GetBlock", [], ["C", "main"], ["b0"]], ["SamplePerfectTile", ["l1"], [2, 64], ["v2", "v3"]]
CHOICE = ["SampleCategorical", [], [[0, 16], [0.5, 0.5]], ["v4"]]
RECORD = [0, [[[BLOCK, TILE, CHOICE], [[1, [1, 2]], [2, 1]]], [2e-3, 1e-3], {"kind": "llvm"}, None]]


def write(folder: Path, records: list[Any], version: str = "0.19.0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    module = base64.b64encode(b'\x10\0\0\0\0\0\0\0{"attrs": {"tvm_version": "%s"}}' % version.encode()).decode()
    (folder / WORKLOADS).write_text(json.dumps(["-123", module]) + "\n")
    (folder / RECORDS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def changed(**parts: Any) -> list[Any]:
    names = ("trace", "run_secs", "target", "args_info")
    return [0, [parts.get(name, value) for name, value in zip(names, RECORD[1], strict=True)]]


def test_a_line_says_workload_readings_and_the_release(tmp_path: Path) -> None:
    files = DatabaseFiles.of(write(tmp_path, [RECORD, changed(run_secs=[1e10]), changed(run_secs=[1e10, 3e-3])]))
    assert [(r.line, r.workload, r.readings, r.problem) for r in read_record_lines(files.records)] == [
        (1, 1, (2e-3, 1e-3), None),
        (2, 1, (), None),
        (3, 1, (3e-3,), None),
    ]
    assert [(w.line, w.hash, w.version, w.problem) for w in read_workload_lines(files.workloads)] == [
        (1, "-123", "0.19.0", None)
    ]
    assert files.tvm_version() == "0.19.0"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(run_secs=None), "no measured time"),
        (changed(run_secs=[]), "no measured time"),
        (changed(run_secs=[0.0]), "no positive numbers"),
        (changed(run_secs=["1"]), "no positive numbers"),
        (changed(run_secs=[10**400]), "no positive numbers"),
        (changed(run_secs=[True]), "no positive numbers"),
        (changed(trace=[[]]), r"not \[instructions, decisions\]"),
        (changed(trace=[[BLOCK[:3]], []]), "instruction 0 of its trace is not"),
        (changed(trace=[[["GetBlock", None, [], []]], []]), "instruction 0 of its trace, GetBlock, is malformed"),
        (changed(trace=[[["GetBlock", [], ["C", [None]], ["b0"]]], []]), "GetBlock, has a null attribute"),
        (changed(trace=[[TILE], []]), "instruction 0 of its trace is not decided"),
        (changed(trace=[[BLOCK], [[0, [1, 2]]]]), "decides nothing"),
        (changed(trace=[[TILE], [[7, [1, 2]]]]), "decides nothing"),
        (changed(trace=[[TILE], [[None, [1, 2]]]]), "decides nothing"),
        (changed(trace=[[TILE], [[0, [1, None]]]]), "is no decision of instruction 0 of its trace, SamplePerfectTile"),
        (changed(trace=[[TILE], [[0, [1, 2, 3]]]]), "is no decision"),
        (changed(trace=[[TILE], [[0, [0, 2]]]]), "is no decision"),
        (changed(trace=[[CHOICE], [[0, 2]]]), "is no decision"),
        (changed(trace=[[["SampleComputeLocation", ["b0"], [], ["l5"]]], [[0, "x"]]]), "is no decision"),
        (changed(target=None), "names no target"),
        ([0, RECORD[1][:3]], r"not \[trace, run_secs, target, args_info\]"),
        ([-1, RECORD[1]], r"not \[workload, record\]"),
        ([True, RECORD[1]], r"not \[workload, record\]"),
        ({}, r"not \[workload, record\]"),
    ],
)
def test_what_is_no_record_says_why(tmp_path: Path, record: Any, reason: str) -> None:
    import re

    (line,) = read_record_lines(DatabaseFiles.of(write(tmp_path, [record])).records)
    assert line.problem is not None and re.search(reason, line.problem)


@pytest.mark.parametrize("text", ["[0,", "nan", "[0, [NaN]]", "[" * 100_000, "\udcff"])
def test_text_that_is_no_json_is_a_problem_of_its_line(tmp_path: Path, text: str) -> None:
    table = tmp_path / RECORDS
    table.write_bytes(text.encode("utf-8", "surrogateescape") + b"\n" + json.dumps(RECORD).encode())
    first, second = read_record_lines(table)
    assert first.problem is not None and second.problem is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_ends_the_reading(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = write(tmp_path_factory.mktemp("damaged"), [RECORD, RECORD])
    for name, read in ((RECORDS, read_record_lines), (WORKLOADS, read_workload_lines)):
        content = bytearray((folder / name).read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        (folder / name).write_bytes(content)
        for line in read(folder / name):
            assert line.problem is None or isinstance(line.problem, str)


def test_databases_are_found_among_logs(tmp_path: Path) -> None:
    tuned = write(tmp_path / "logs" / "tuned", [RECORD])
    (tuned / NAMES).write_text("{}")
    log, pair = tmp_path / "logs" / "a.json", tmp_path / "logs" / "other_tuning_record.json"
    log.write_text("")
    pair.write_text("")
    pair.with_name("other_workload.json").write_text("")
    (tmp_path / "logs" / "about").mkdir()
    (tmp_path / "graphs_only").mkdir()
    (tmp_path / "graphs_only" / GRAPHS).write_bytes(b"")
    assert find_logs([tmp_path / "logs", tmp_path / "graphs_only"]) == [log, pair, tuned, tmp_path / "graphs_only"]
    assert find_logs(sorted(tuned.iterdir())) == [tuned]
    assert log_stem(tuned) == "tuned" and log_stem(pair) == "other_tuning_record"
    assert not is_database(tmp_path) and not is_database(log)
    assert DatabaseFiles.of(tuned / RECORDS) == DatabaseFiles.of(tuned)
    assert DatabaseFiles.of(pair).workloads == pair.with_name("other_workload.json")
    with pytest.raises(RecordError, match="no record log"):
        find_logs([pair.with_name("other_workload.json")])


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", [RECORD]), write(tmp_path / "other", [RECORD])
    (other / f"{RECORDS}.gz").write_bytes(gzip.compress((other / RECORDS).read_bytes()))
    (other / RECORDS).unlink()
    assert DatabaseFiles.of(one).digest() == DatabaseFiles.of(other).digest() != ""
    write(tmp_path / "other", [RECORD, RECORD])
    assert DatabaseFiles.of(one).digest() != DatabaseFiles.of(other).digest()
    (one / WORKLOADS).unlink()
    assert DatabaseFiles.of(one).digest() == ""


def recorded(name: str, *, stock: bool = True, count: int = 12) -> RecordedPool:
    pool = make_pool(name, count=count)
    rows = Rows.of([np.full((i % 3, 5), i, np.float32) for i in range(count)]) if stock else None
    return RecordedPool(pool, np.arange(count) * 2, rows, f"digest of {name}", pool.workload)


def test_a_file_of_graphs_gives_back_what_was_written(tmp_path: Path) -> None:
    pools = (recorded("matmul-8x8x8"), recorded("dense-4x4x4", count=9))
    write_graph_file(tmp_path / GRAPHS, GraphFile("abc", "0.27.0", 3, pools))
    found = read_graph_file(tmp_path / GRAPHS)
    assert (found.digest, found.tvm, found.skipped) == ("abc", "0.27.0", 3)
    for one, other in zip(found.pools, pools, strict=True):
        assert (one.digest, one.workload_key, one.pool.name) == (other.digest, other.workload_key, other.pool.name)
        assert one.pool.stored_task == other.pool.stored_task
        assert one.stock is not None and other.stock is not None
        pairs = [(one.used, other.used), (one.stock.values, other.stock.values), (one.stock.ptr, other.stock.ptr)]
        pairs += [(one.pool.latency, other.pool.latency)]
        pairs += list(zip(one.pool.readings, other.pool.readings, strict=True))
        pairs += [
            (getattr(one.pool.graphs, name), getattr(other.pool.graphs, name))
            for name in StageGraphBatch.__dataclass_fields__
        ]
        for array, expected in pairs:
            np.testing.assert_array_equal(array, expected)


def test_stocks_features_go_along_only_where_all_pools_have_them(tmp_path: Path) -> None:
    pools = (recorded("matmul-8x8x8"), recorded("dense-4x4x4", stock=False))
    write_graph_file(tmp_path / GRAPHS, GraphFile("abc", "0.27.0", 0, pools))
    assert [one.stock for one in read_graph_file(tmp_path / GRAPHS).pools] == [None, None]


def test_a_file_of_graphs_without_a_record_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no record"):
        write_graph_file(tmp_path / GRAPHS, GraphFile("abc", "0.27.0", 0, ()))
    assert not (tmp_path / GRAPHS).exists()


@pytest.mark.parametrize("name", ["edge_index", "num_nodes", "readings", "node_features", "pool"])
def test_arrays_that_do_not_fit_together_are_damage(tmp_path: Path, name: str) -> None:
    path = tmp_path / GRAPHS
    write_graph_file(path, GraphFile("abc", "0.27.0", 0, (recorded("matmul-8x8x8"),)))
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[name] = np.full_like(arrays[name], -1)[..., :-1]
    np.savez_compressed(path, **arrays)
    with pytest.raises(RecordError, match="damaged"):
        read_graph_file(path)


@pytest.mark.parametrize("member", ["num_nodes.npy", "about.npy"])
@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f4',\n"])
def test_members_that_are_no_arrays_are_damage(tmp_path: Path, member: str, content: bytes) -> None:
    path = tmp_path / GRAPHS
    write_graph_file(path, GraphFile("abc", "0.27.0", 0, (recorded("matmul-8x8x8"),)))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, content if name == member else data)
    with pytest.raises(RecordError, match="damaged"):
        read_graph_file(path)


def test_a_task_that_has_no_name_is_its_own_workload() -> None:
    assert task_workload('["[1]", "llvm", "metaschedule"]') == "[1]"
    assert task_workload("0123abc") == "0123abc"
    assert StoredTask("k", 1.0, "w", "o", "llvm", False).scheduler != META_SCHEDULE
