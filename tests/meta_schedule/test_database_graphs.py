"""What is learnt from a database: the graphs that the model scored, in whichever file they travel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import COUNT, TARGET, latencies, write_database
from tvm.target import Target
from tvm.te import create_prim_func

from tvm_gnn_cost.errors import RecordError, TVMNotAvailableError
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.logs.pools import read_recorded
from tvm_gnn_cost.logs.shards import read_logs
from tvm_gnn_cost.meta_schedule import recorded_pools
from tvm_gnn_cost.meta_schedule.database_graphs import read_graphs
from tvm_gnn_cost.meta_schedule.recorded_pools import keep_graphs, read_pools
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.workload_names import keep_workloads
from tvm_gnn_cost.records.databases import GRAPHS, RECORDS, WORKLOADS
from tvm_gnn_cost.records.graph_file import read_graph_file
from tvm_gnn_cost.records.store import GraphStore
from tvm_gnn_cost.workloads import find_workload

ARRAYS = ("node_features", "edge_index", "edge_features", "node_ptr", "edge_ptr")
KEYS = tuple(f'["tvm_gnn_cost.matmul", {n}, {n}, {n}, "float32", "float32"]' for n in (32, 64))


@pytest.fixture
def named(database: Path, made: tuple[Path, list[Any]]) -> Path:
    """With names for its workloads."""
    target = Target(TARGET)
    tasks = [TuningTask("matmul", module, target, key) for (module, _), key in zip(made[1], KEYS, strict=True)]
    keep_workloads(database, tasks, [1.0, 2.0], "a test")
    return database


def searched(tasks: list[Any]) -> StageGraphBatch:
    """The graphs that a cost model scores during the search."""
    return StageGraphBatch.concatenate(
        [make_source(module, Target(TARGET)).build(candidates).graphs for module, candidates in tasks]
    )


def assert_equal(found: StageGraphBatch, expected: StageGraphBatch) -> None:
    """To the bit."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


def without_tvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another TVM is installed than the one that wrote a database, or none."""

    def fail(*_: Any) -> None:
        raise TVMNotAvailableError("TVM is not installed")

    monkeypatch.setattr(recorded_pools, "_from_tables", fail)
    monkeypatch.setattr("tvm_gnn_cost.meta_schedule.log_shards._fill_from_tables", fail)


def test_graphs_are_those_that_the_model_scored(made: tuple[Path, list[Any]]) -> None:
    folder, tasks = made
    recorded = list(read_recorded(folder))
    assert_equal(StageGraphBatch.concatenate([one.pool.graphs for one in recorded]), searched(tasks))
    for one, (module, _) in zip(recorded, tasks, strict=True):
        assert one.pool.latency.tolist() == latencies(COUNT)
        assert [len(readings) for readings in one.pool.readings] == [2, 2, 2, 0, 2, 2]
        assert one.pool.scheduler == "metaschedule" and not one.pool.is_gpu
        assert one.pool.task == make_source(module, Target(TARGET)).key  # as the model knows it during a search
        assert one.pool.operator == "C+D"
    assert recorded[0].pool.flop == 2 * 32**3 + 32**2
    assert [one.pool.name.partition(" ")[0] for one in recorded] == ["tuned:", "tuned:"]
    assert len({one.pool.name for one in recorded}) == len({one.pool.workload for one in recorded}) == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("attention", (2, 16, 16)),  # TVM packs a matrix for it
        ("conv2d_nhwc_bn_relu", (1, 14, 14, 8, 16, 3, 1, 1)),
        ("softmax_mn", (32, 32)),  # with an rfactor
    ],
)
def test_graphs_of_other_operators_are_those_too(name: str, arguments: tuple[int, ...], tmp_path: Path) -> None:
    with Target(TARGET):
        function = create_prim_func(find_workload(name, arguments).tensors())
    tasks = write_database(tmp_path, [function], 12, failed=())
    (recorded,) = read_recorded(tmp_path)
    assert_equal(recorded.pool.graphs, searched(tasks))


def test_a_cost_model_is_given_the_same(made: tuple[Path, list[Any]]) -> None:
    folder, tasks = made
    found = list(read_graphs(folder))
    assert_equal(StageGraphBatch.concatenate([measured.graphs for _, measured, _ in found]), searched(tasks))
    for source, measured, unreadable in found:
        assert measured.task == [source.key] * COUNT and unreadable == 0
        assert measured.latency.tolist() == latencies(COUNT)


def test_the_file_of_graphs_holds_the_same(named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_tables = read_pools(named)
    assert keep_graphs(named) == named / GRAPHS
    without_tvm(monkeypatch)
    assert_same_pools(read_pools(named), from_tables)
    for table in (WORKLOADS, RECORDS):
        (named / table).unlink()
    assert_same_pools(read_pools(named), from_tables)


def assert_same_pools(found: Any, expected: Any) -> None:
    assert (found.digest, found.tvm, found.skipped) == (expected.digest, expected.tvm, expected.skipped)
    for one, other in zip(found.pools, expected.pools, strict=True):
        assert_equal(one.pool.graphs, other.pool.graphs)
        np.testing.assert_array_equal(one.pool.latency, other.pool.latency)
        np.testing.assert_array_equal(one.used, other.used)
        for readings, others in zip(one.pool.readings, other.pool.readings, strict=True):
            np.testing.assert_array_equal(readings, others)
        assert (one.pool.name, one.pool.stored_task) == (other.pool.name, other.pool.stored_task)
        assert (one.digest, one.workload_key) == (other.digest, other.workload_key)


def test_a_named_workload_is_known_by_its_name(named: Path) -> None:
    pools = [one.pool for one in read_recorded(named)]
    assert [pool.workload for pool in pools] == list(KEYS)
    assert [pool.operator for pool in pools] == ["matmul", "matmul"]
    assert [json.loads(pool.task)[::2] for pool in pools] == [[key, "metaschedule"] for key in KEYS]


def test_shards_are_of_the_tables_or_of_the_graphs(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shard,) = read_logs([database], tmp_path / "a")
    keep_graphs(database)
    without_tvm(monkeypatch)
    (other,) = read_logs([database], tmp_path / "b")
    assert shard.tasks == other.tasks and {task.scheduler for task in shard.tasks} == {"metaschedule"}
    first, second = GraphStore([shard]), GraphStore([other])
    assert_equal(first.gather(range(len(first))), second.gather(range(len(second))))
    np.testing.assert_array_equal(shard.latency, np.array(latencies(COUNT) * 2))
    np.testing.assert_array_equal(shard.latency, other.latency)


def test_a_shard_is_made_anew_when_records_come(database: Path, tmp_path: Path) -> None:
    text = (database / RECORDS).read_text().splitlines(keepends=True)
    (database / RECORDS).write_text("".join(text[:-1]))
    assert [len(shard) for shard in read_logs([database], tmp_path / "graphs")] == [2 * COUNT - 1]
    (database / RECORDS).write_text("".join(text))
    assert [len(shard) for shard in read_logs([database], tmp_path / "graphs")] == [2 * COUNT]


def test_graphs_older_than_the_tables_are_used_only_where_the_tables_cannot_be_read(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text = (database / RECORDS).read_text().splitlines(keepends=True)
    (database / RECORDS).write_text("".join(text[:-1]))
    keep_graphs(database)
    (database / RECORDS).write_text("".join(text))
    assert sum(len(one.pool) for one in read_pools(database).pools) == 2 * COUNT
    without_tvm(monkeypatch)
    assert sum(len(one.pool) for one in read_pools(database).pools) == 2 * COUNT - 1
    assert "an earlier state of the tables" in caplog.text


def test_damaged_foreign_and_outdated_graphs_are_told(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = keep_graphs(database)
    good = graphs.read_bytes()
    without_tvm(monkeypatch)
    for data in (good[: len(good) // 2], b"nothing", good[:2000] + b"x" + good[2001:], b""):
        graphs.write_bytes(data)
        with pytest.raises(RecordError, match="damaged, or no file of stage graphs"):
            read_graph_file(graphs)
        with pytest.raises(RecordError, match=r"TVM is not installed .*damaged"):
            read_pools(database)
    np.savez_compressed(graphs, about=np.frombuffer(b"{}", np.uint8))
    with pytest.raises(RecordError, match="holds no stage graphs"):
        read_graph_file(graphs)
    graphs.write_bytes(good)
    monkeypatch.setattr("tvm_gnn_cost.records.graph_file.SCHEMA_VERSION", 999)
    with pytest.raises(RecordError, match=r"features of schema \d+, and this release has schema 999"):
        read_graph_file(graphs)
    with pytest.raises(RecordError, match="neither tables nor stage graphs"):
        read_pools(tmp_path / "nowhere")
