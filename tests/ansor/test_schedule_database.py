"""A database of schedules: what it keeps and finds, and what it survives."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import multiprocessing
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from schedule_steps import TARGET, task_of
from tvm import auto_scheduler

from tvm_gnn_cost import RecordError
from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.structure import distance, structure_of
from tvm_gnn_cost.ansor.task_identity import identity_of
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.records.schedule_index import INDEX
from tvm_gnn_cost.testing.schedules import measured, register_tensors, sample_states


def add_sampled(database: ScheduleDatabase, task: Any, costs: Sequence[float], seed: int = 1) -> None:
    database.add(*measured(task, sample_states(task, len(costs), seed), costs))


def test_what_is_added_is_found(tmp_path: Path) -> None:
    database = ScheduleDatabase(tmp_path / "db")
    small, large = task_of("matmul", 64, 64, 64), task_of("matmul", 128, 128, 64)
    unlike = task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1)
    add_sampled(database, small, [3e-5, 1e-5, 2e-5])
    add_sampled(database, large, [9e-5, 8e-5])
    database.add(*measured(large, sample_states(large, 1, seed=5), [1e10], error_no=4))
    assert database.counts() == (2, 6)
    assert [known.latency_s for known in database.best(small, 2)] == [1e-5, 2e-5]
    similar = database.similar(small)
    assert [known.latency_s for known in similar] == [8e-5, 9e-5]  # what failed is no schedule
    assert similar[0].distance > 0 and similar[0].task.key == identity_of(large).key
    assert database.best(unlike) == [] and database.similar(unlike) == []
    on_another = make_task("matmul", [64, 64, 64], "llvm -mcpu=znver4 -num-cores=2")
    assert database.best(on_another) == []
    assert [known.distance for known in database.similar(on_another)[:3]] == [1.0] * 3
    again = ScheduleDatabase(tmp_path / "db")
    assert again.counts() == (2, 6) and [k.latency_s for k in again.best(small, 2)] == [1e-5, 2e-5]
    logs = [path for path in (tmp_path / "db").glob("*.json") if not path.name.endswith(".tasks.json")]
    assert sorted(len(read_records(log)) for log in logs) == [3, 3]


def test_how_far_the_nearest_is_that_is_known(tmp_path: Path) -> None:
    database = ScheduleDatabase(tmp_path)
    small, wide = task_of("matmul", 64, 64, 64), task_of("matmul", 64, 256, 64)
    assert database.nearest(small) == math.inf
    add_sampled(database, small, [3e-5, 1e-5])
    assert database.nearest(small) == 0.0
    _, extents = structure_of(small)
    assert database.nearest(wide) == pytest.approx(distance(extents, structure_of(wide)[1]))
    assert database.nearest(task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1)) == math.inf


@pytest.mark.parametrize("damage", ["missing", "foreign", "truncated", "renamed", "newer"])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [3e-5, 1e-5])
    database.close()
    index = tmp_path / INDEX
    if damage == "missing":
        index.unlink()
    elif damage == "foreign":
        index.write_bytes(b"no database at all" * 100)
    elif damage == "truncated":
        index.write_bytes(index.read_bytes()[:5000])
    elif damage == "renamed":
        index.write_bytes(index.read_bytes().replace(b"bytes INTEGER", b"bytez INTEGER"))
    else:
        with sqlite3.connect(index) as newer:
            newer.execute("PRAGMA user_version = 99")
    with caplog.at_level(logging.WARNING):
        again = ScheduleDatabase(tmp_path)
    assert [known.latency_s for known in again.best(task, 4)] == [1e-5, 3e-5]
    assert ("made again" in caplog.text) == (damage != "missing")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE task SET extents = '[1'",
        "UPDATE task SET extents = x'ab12'",
        "UPDATE task SET extents = '[64]'",
        "UPDATE task SET extents = '[64, 64, -1]'",
        "UPDATE task SET name = CAST(x'ff' AS TEXT), extents = 7",
    ],
)
def test_rows_that_are_damaged_are_not_found(tmp_path: Path, change: str) -> None:
    small, large = task_of("matmul", 64, 64, 64), task_of("matmul", 128, 128, 64)
    add_sampled(ScheduleDatabase(tmp_path), large, [9e-5, 8e-5])
    with contextlib.closing(sqlite3.connect(tmp_path / INDEX)) as index, index:
        index.execute(change)
    database = ScheduleDatabase(tmp_path)
    assert database.similar(small) == [] and database.nearest(small) == math.inf


def test_places_that_are_damaged_are_misses(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    add_sampled(ScheduleDatabase(tmp_path), task, [9e-5, 8e-5])
    with contextlib.closing(sqlite3.connect(tmp_path / INDEX)) as index, index:
        index.execute("UPDATE record SET offset = 'x' WHERE latency_s = 8e-5")
        index.execute("UPDATE record SET log = '../../etc/passwd' WHERE latency_s = 9e-5")
    assert ScheduleDatabase(tmp_path).best(task) == []


def test_logs_put_in_by_hand_are_taken_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = task_of("matmul", 64, 64, 64)
    inputs, results = measured(task, sample_states(task, 3), [3e-5, 1e-5, 2e-5])
    append_records(tmp_path / "mine.json", inputs, results)
    with open(tmp_path / "mine.json", "a") as log:
        log.write('{"i": [["[\\"nobody_knows_it\\", 4]", "llvm')
    with caplog.at_level(logging.WARNING):
        database = ScheduleDatabase(tmp_path)
    assert [known.latency_s for known in database.best(task, 4)] == [1e-5, 2e-5, 3e-5]
    assert "mine.json: 1 lines are not in the database's index" in caplog.text
    lines = (tmp_path / "mine.json").read_text().splitlines()
    (tmp_path / "mine.json").write_text(lines[0] + "\n")  # shortened by hand
    assert [known.latency_s for known in ScheduleDatabase(tmp_path).best(task, 4)] == [3e-5]
    (tmp_path / "mine.json").unlink()
    assert ScheduleDatabase(tmp_path).best(task, 4) == []


def test_an_entry_that_was_overwritten_is_a_miss(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [3e-5, 1e-5])
    (log,) = (path for path in tmp_path.glob("*.json") if not path.name.endswith(".tasks.json"))
    log.write_bytes(b"x" * log.stat().st_size)
    assert database.best(task, 4) == []
    log.unlink()
    assert database.best(task, 4) == []


def test_a_line_that_was_cut_short_stays_alone(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [3e-5])
    (log,) = (path for path in tmp_path.glob("*.json") if not path.name.endswith(".tasks.json"))
    with open(log, "a") as out:
        out.write('{"i": [["[')
    add_sampled(database, task, [2e-5], seed=2)
    assert [known.latency_s for known in ScheduleDatabase(tmp_path).best(task, 4)] == [2e-5, 3e-5]
    assert len(read_records(log)) == 2


def test_tasks_of_the_users_own_are_found_without_their_script(tmp_path: Path) -> None:
    from tvm import te

    def tensors(rows: int) -> list[Any]:
        x = te.placeholder((rows, 32), name="x")
        return [x, te.compute((rows, 32), lambda i, j: x[i, j] * 2.0, name="twice")]

    key = json.dumps(["only_in_this_test", 16])
    task = register_tensors(key, tensors(16), TARGET)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [2e-6])
    database.close()
    (tmp_path / INDEX).unlink()
    auto_scheduler.workload_registry.WORKLOAD_FUNC_REGISTRY.pop(key)
    database = ScheduleDatabase(tmp_path)
    assert database.counts() == (1, 1)
    assert len(database.similar(register_tensors(json.dumps(["another", 24]), tensors(24), TARGET))) == 1


def _add_many(folder: str, seed: int) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(folder)
    states = sample_states(task, 8, seed)
    for n, state in enumerate(states):
        database.add(*measured(task, [state], [(10 * seed + n) * 1e-6]))


def test_several_processes_add_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(str(tmp_path), seed)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    best = database.best(task, 100)
    assert database.counts() == (1, len(best)) and len(best) >= 12
    assert [known.latency_s for known in best] == sorted(known.latency_s for known in best)


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="database of schedules"):
        ScheduleDatabase(tmp_path / "file")
