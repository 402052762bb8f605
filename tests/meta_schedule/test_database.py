"""Databases of MetaSchedule as record logs: what is read, and what becomes of damage."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import COUNT, latencies, matmul
from tvm.ir import assert_structural_equal

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.database import read_database, read_database_chunks, read_workloads
from tvm_gnn_cost.meta_schedule.database_repair import repair_database
from tvm_gnn_cost.meta_schedule.object_graph import tells_of_fields, trace_problem
from tvm_gnn_cost.records.databases import RECORDS, WORKLOADS, DatabaseFiles


def lines(table: Path) -> list[str]:
    return table.read_text().splitlines()


def change(table: Path, number: int, function: Callable[[Any], Any]) -> None:
    """Changes the JSON value on a line, from 1."""
    found = lines(table)
    found[number - 1] = json.dumps(function(json.loads(found[number - 1])))
    table.write_text("\n".join(found) + "\n")


def readable_by_tvm(folder: Path) -> int:
    return len(ms.database.JSONDatabase(work_dir=str(folder), allow_missing=False))


def test_records_are_the_candidates_that_were_measured(made: tuple[Path, list[Any]]) -> None:
    folder, tasks = made
    found = read_database(folder)
    assert [record.latency for record in found.records] == latencies(COUNT) * 2
    assert found.records[0].readings == (1e-3, 1.25e-3)
    assert found.records[3].readings == ()
    assert not found.skipped
    searched = [candidate for _, candidates in tasks for candidate in candidates]
    for record, candidate in zip(found.records, searched, strict=True):
        assert_same(record.candidate.sch.mod, candidate.sch.mod)
        assert str(record.candidate.args_info) == str(candidate.args_info)
    for record, module in zip(found.records, [tasks[0][0]] * COUNT + [tasks[1][0]] * COUNT, strict=True):
        assert_same(record.workload.module, module)


def test_a_trace_is_replayed_with_what_the_postprocessors_did(made: tuple[Path, list[Any]]) -> None:
    record = read_database(made[0]).records[0]
    without = record.workload.module
    schedule = type(record.candidate.sch)(without)
    record.candidate.sch.trace.apply_to_schedule(schedule, remove_postproc=True)
    # One of them splits the initialisation of a sum from its updates.
    assert "C_update" in record.candidate.sch.mod.script()
    assert "C_update" not in schedule.mod.script()


def test_a_table_a_folder_and_pieces_are_the_same(made: tuple[Path, list[Any]]) -> None:
    whole = read_database(made[0] / RECORDS)
    pieces = list(read_database_chunks(made[0], 5))
    assert [len(piece) for piece in pieces] == [5, 5, 2]
    assert [record.line for piece in pieces for record in piece.records] == [record.line for record in whole.records]


def test_gzipped_tables_are_read(database: Path) -> None:
    digest = DatabaseFiles.of(database).digest()
    for name in (WORKLOADS, RECORDS):
        (database / f"{name}.gz").write_bytes(gzip.compress((database / name).read_bytes()))
        (database / name).unlink()
    assert len(read_database(database)) == 2 * COUNT
    assert DatabaseFiles.of(database).digest() == digest
    with pytest.raises(RecordError, match="decompress it first"):
        repair_database(database)


def test_bad_lines_are_counted_and_left_out(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = database / RECORDS
    change(records, 1, lambda value: [value[0], [value[1][0], [0.0], *value[1][2:]]])
    change(records, 2, lambda value: [value[0], [value[1][0], None, *value[1][2:]]])
    change(records, 3, lambda value: [7, value[1]])
    change(records, 5, lambda value: [value[0], [[[["Nonsense", [], [], []]], []], *value[1][1:]]])
    change(records, 6, lambda value: value[1])
    change(records, 7, lambda value: [value[0], [*value[1][:2], {"kind": "no such kind"}, value[1][3]]])
    text = records.read_text().replace("[0.002,", "[nan,")
    records.write_text(text[: len(text) - 100])  # the last line is cut short
    found = read_database(database)
    reasons = dict(found.skipped)
    assert sorted(reasons) == [1, 2, 3, 5, 6, 7, 12]
    assert "no positive numbers" in reasons[1]
    assert "no measured time" in reasons[2]
    assert f"line 8 of {WORKLOADS}, is not there" in reasons[3]
    assert "TVM cannot read it" in reasons[5] and "Nonsense" in reasons[5]
    assert "not [workload, record]" in reasons[6]
    assert "TVM cannot read it" in reasons[7]
    assert "truncated or damaged" in reasons[12]
    assert len(found) == 2 * COUNT - 7
    assert f"{len(found)} records used, 7 skipped (line 1: " in caplog.text


def test_times_that_are_no_numbers_are_left_out(database: Path) -> None:
    records = database / RECORDS
    records.write_text(records.read_text().replace("[0.0010000000000000000208,", "[nan,"))
    assert [line for line, _ in read_database(database).skipped] == [1, 7]


def test_records_of_a_workload_that_cannot_be_read_are_left_out(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(database / WORKLOADS, 1, lambda value: [value[0], "!"])
    found = read_database(database)
    assert [record.latency for record in found.records] == latencies(COUNT)
    assert [line for line, _ in found.skipped] == list(range(1, COUNT + 1))
    assert "1 workloads cannot be used; the first is on line 1: its module is not base64" in caplog.text


@pytest.mark.skipif(not tells_of_fields(), reason="this TVM does not say which fields are references")
@pytest.mark.parametrize("kind", ["tirx.For", "ffi.Array"])
def test_a_module_that_holds_itself_is_not_followed(
    database: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(database / WORKLOADS, 1, lambda value: circular(value, kind))
    assert [record.latency for record in read_database(database).records] == latencies(COUNT)
    assert re.search(r"on line 1: its module is damaged: object \d+ refers to one that is not before it", caplog.text)


@pytest.mark.skipif(not tells_of_fields(), reason="this TVM does not say which fields are references")
def test_objects_in_a_trace_are_checked_too() -> None:
    circle = json.dumps({"root_index": 0, "nodes": [{"type": "ffi.Array", "data": [0]}]})
    assert trace_problem([[["TransformLayout", ["b0"], [0, 0, circle], []]], []]) is not None
    assert trace_problem([[["TransformLayout", ["b0"], [0, 0, "[" * 100_000], []]], []]) is not None
    for fine in (circle.replace("[0]", "[]"), "[", "{C.local}", '{"nodes": 3}'):
        assert trace_problem([[["Annotate", ["b0", fine], ["pragma"], []]], []]) is None


def test_a_database_that_another_tvm_wrote_is_an_error_that_names_it(database: Path) -> None:
    for number in (1, 2):
        change(database / WORKLOADS, number, foreign)
    with pytest.raises(RecordError, match=r"was written by TVM 1\.99\.0, and TVM .* cannot read it"):
        read_database(database)


def test_missing_tables_are_an_error(database: Path, tmp_path: Path) -> None:
    (database / WORKLOADS).unlink()
    for function in (read_database, read_workloads, repair_database):
        with pytest.raises(RecordError, match="no such table"):
            function(database)
    assert repair_database(tmp_path / "nowhere") == 0


def test_a_database_in_order_is_not_touched_by_repair(database: Path) -> None:
    before = {path.name: path.read_bytes() for path in database.iterdir()}
    assert repair_database(database) == 0
    assert {path.name: path.read_bytes() for path in database.iterdir()} == before


def test_repair_makes_what_a_kill_left_readable_and_loses_nothing(database: Path) -> None:
    records = database / RECORDS
    text = records.read_text()
    records.write_text(text[: len(text) - 100])
    with pytest.raises(Exception):  # noqa: B017 -- what it raises differs between releases
        readable_by_tvm(database)
    assert repair_database(database) == 1
    assert readable_by_tvm(database) == 2 * COUNT - 1
    assert Path(f"{records}.rejected").read_text() == text.splitlines()[-1][:-99] + "\n"
    assert repair_database(database) == 0


def test_repair_keeps_records_with_their_workloads(database: Path, made: tuple[Path, list[Any]]) -> None:
    workloads = database / WORKLOADS
    first, second = lines(workloads)
    workloads.write_text("\n".join([first[:-50], first[:-60], first, second, first]) + "\n")
    change(database / RECORDS, 1, lambda value: [4, value[1]])  # of the twin
    for number in range(2, 2 * COUNT + 1):
        change(database / RECORDS, number, lambda value: [value[0] + 2, value[1]])
    assert repair_database(database) == 0
    assert readable_by_tvm(database) == 2 * COUNT
    found = read_database(database)
    assert [record.workload.line for record in found.records] == [3] * COUNT + [4] * COUNT
    assert len(lines(Path(f"{workloads}.rejected"))) == 3
    # MetaSchedule's numbers of new workloads go on from there.
    grown = ms.database.JSONDatabase(work_dir=str(database))
    workload = grown.commit_workload(ms.TuneContext(mod=matmul(16)).mod)
    grown.commit_tuning_record(ms.database.TuningRecord(found.records[0].candidate.sch.trace, workload, [1.0]))
    assert json.loads(lines(database / RECORDS)[-1])[0] == len(lines(workloads)) - 1 == 5


def foreign(value: list[str]) -> list[str]:
    """A workload as another release might have written it."""
    content = base64.b64decode(value[1])
    content = re.sub(rb'("tvm_version"\s*:\s*")[^"]+', rb"\g<1>1.99.0", content)
    content = re.sub(rb'"root(_index)?"', b'"origin"', content)
    return [value[0], base64.b64encode(content).decode()]


def assert_same(one: Any, other: Any) -> None:
    assert_structural_equal(one, other)


def circular(value: list[str], kind: str) -> list[str]:
    """A workload whose first object of a kind refers to itself."""
    content = base64.b64decode(value[1])
    graph = json.loads(content[8:])  # behind its length
    number, node = next((n, node) for n, node in enumerate(graph["nodes"]) if node["type"] == kind and node["data"])
    node["data"]["body" if kind == "tirx.For" else 0] = number
    text = json.dumps(graph).encode()
    return [value[0], base64.b64encode(len(text).to_bytes(8, "little") + text).decode()]
