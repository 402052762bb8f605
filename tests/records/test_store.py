"""Stage graphs on disk: what is read equals what was written, and nothing else is taken for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tvm_gnn_cost.errors import InvalidArgumentError, RecordError
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.learning.replay_buffer import ReplayBuffer
from tvm_gnn_cost.records import store as store_module
from tvm_gnn_cost.records.shards import Shard, ShardSource, open_shard, write_shard
from tvm_gnn_cost.records.source import JoinedRecords
from tvm_gnn_cost.records.store import GraphStore
from tvm_gnn_cost.records.task import StoredTask
from tvm_gnn_cost.testing.toy_graphs import EDGE_DIM, NODE_DIM, ToyTask, toy_task

SOURCE = ShardSource("abc", 7, "")
ARRAYS = ("node_features", "edge_index", "edge_features", "node_ptr", "edge_ptr")


def stored(name: str, toy: ToyTask) -> StoredTask:
    return StoredTask(name, toy.flop, f"workload of {name}", "toy", "llvm", False)


def write(path: Path, tasks: dict[str, ToyTask], source: ShardSource = SOURCE, chunk: int = 7) -> Shard:
    """A shard in which the tasks take turns, a chunk each."""
    with write_shard(path, source, path.name, NODE_DIM, EDGE_DIM) as writer:
        for begin in range(0, max(len(toy.latency) for toy in tasks.values()), chunk):
            for name, toy in tasks.items():
                ids = np.arange(begin, min(begin + chunk, len(toy.latency)))
                if len(ids):
                    writer.add(stored(name, toy), toy.graphs.select(ids), toy.latency[ids])
        writer.skipped = 3
    return open_shard(path, source)


def assert_equal(a: StageGraphBatch, b: StageGraphBatch) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype


@pytest.fixture
def toys() -> dict[str, ToyTask]:
    return {"a": toy_task(20, 0), "b": toy_task(11, 1, size=3), "c": toy_task(5, 2, size=2)}


def test_a_shard_holds_what_was_added(tmp_path: Path, toys: dict[str, ToyTask]) -> None:
    shard = write(tmp_path / "one", toys)
    assert (len(shard), shard.log, shard.skipped, shard.source) == (36, "one", 3, SOURCE)
    assert shard.tasks == tuple(stored(name, toy) for name, toy in toys.items())
    store = GraphStore([shard])
    for ids, toy in zip(store.ids_by_task(), toys.values(), strict=True):
        assert_equal(store.gather(ids), toy.graphs)
        np.testing.assert_array_equal(store.latency(ids), toy.latency)
        np.testing.assert_array_equal(store.flop(ids), np.full(len(ids), toy.flop))
    assert isinstance(shard.map_graphs().node_features.base, np.memmap)


@pytest.mark.parametrize("mapped", [1, 128])
def test_gathering_from_shards_equals_selecting_in_memory(
    tmp_path: Path, toys: dict[str, ToyTask], monkeypatch: pytest.MonkeyPatch, mapped: int
) -> None:
    monkeypatch.setattr(store_module, "_MAPPED_SHARDS", mapped)
    more = {"b": toy_task(4, 8, size=3), "d": toy_task(6, 9)}
    parts = [toys, {"a": toy_task(9, 5)}, more]
    store = GraphStore([write(tmp_path / str(i), part, chunk=100) for i, part in enumerate(parts)])
    everything = [(name, toy) for part in parts for name, toy in part.items()]
    graphs = StageGraphBatch.concatenate([toy.graphs for _, toy in everything])
    names = [name for name, toy in everything for _ in toy.latency]
    assert len(store) == len(graphs) == len(names)
    ids = np.random.default_rng(0).integers(len(store), size=200)
    assert_equal(store.gather(ids), graphs.select(ids))
    assert_equal(store.gather(iter([3])), graphs.select([3]))
    assert store.task(ids) == [names[i] for i in ids]
    assert [task.key for task in store.tasks] == ["a", "b", "c", "d"]
    assert [len(found) for found in store.ids_by_task()] == [29, 15, 5, 6]
    with pytest.raises(InvalidArgumentError, match="at least one"):
        store.gather([])


def test_an_empty_shard_adds_nothing(tmp_path: Path, toys: dict[str, ToyTask]) -> None:
    with write_shard(tmp_path / "empty", SOURCE, "empty", NODE_DIM, EDGE_DIM):
        pass
    empty = open_shard(tmp_path / "empty", SOURCE)
    assert len(empty) == 0
    assert len(GraphStore([empty, write(tmp_path / "one", toys), empty])) == 36
    with pytest.raises(InvalidArgumentError, match="at least one record"):
        GraphStore([empty])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 255
    path.write_bytes(data)


def forget(path: Path, key: str) -> None:
    manifest = json.loads(path.read_text())
    del manifest[key]
    path.write_text(json.dumps(manifest))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda p: flip(p / "node_features.npy"),
    "flipped pointers": lambda p: flip(p / "edge_ptr.npy"),
    "truncated": lambda p: os.truncate(p / "edge_features.npy", 300),
    "empty": lambda p: os.truncate(p / "latency.npy", 0),
    "missing": lambda p: (p / "task.npy").unlink(),
    "pickled": lambda p: np.save(p / "task.npy", np.array([{}] * 36), allow_pickle=True),
    "no description": lambda p: (p / "shard.json").unlink(),
    "bad description": lambda p: (p / "shard.json").write_text("[1]"),
    "description without tasks": lambda p: forget(p / "shard.json", "tasks"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(tmp_path: Path, toys: dict[str, ToyTask], name: str) -> None:
    write(tmp_path / "one", toys)
    DAMAGE[name](tmp_path / "one")
    with pytest.raises(RecordError, match="one: .*damaged"):
        open_shard(tmp_path / "one", SOURCE)


@pytest.mark.parametrize("change", [{"digest": "abd"}, {"schema": 8}, {"definitions": "x"}])
def test_a_shard_of_something_else_is_outdated(
    tmp_path: Path, toys: dict[str, ToyTask], change: dict[str, object]
) -> None:
    write(tmp_path / "one", toys)
    with pytest.raises(RecordError, match="outdated"):
        open_shard(tmp_path / "one", replace(SOURCE, **change))  # type: ignore[arg-type]


def test_an_interrupted_shard_leaves_what_was_there(tmp_path: Path, toys: dict[str, ToyTask]) -> None:
    write(tmp_path / "one", toys)
    with pytest.raises(KeyboardInterrupt):
        with write_shard(tmp_path / "one", SOURCE, "new", NODE_DIM, EDGE_DIM) as writer:
            writer.add(stored("a", toys["a"]), toys["a"].graphs, toys["a"].latency)
            raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["one"]
    assert open_shard(tmp_path / "one", SOURCE).log == "one"
    assert write(tmp_path / "one", {"z": toys["a"]}).tasks[0].key == "z"


def test_joined_records_are_those_of_both(tmp_path: Path, toys: dict[str, ToyTask]) -> None:
    store = GraphStore([write(tmp_path / "one", {"a": toys["a"]})])
    replay, other = ReplayBuffer(100), toys["b"]
    replay.add(other.graphs, other.latency, ["b"] * 11, np.full(11, other.flop))
    joined = JoinedRecords(store, len(store), replay)
    everything = StageGraphBatch.concatenate([toys["a"].graphs, other.graphs])
    ids = np.random.default_rng(1).permutation(31)
    assert_equal(joined.gather(ids), everything.select(ids))
    for only in (ids[ids < 20], ids[ids >= 20]):
        assert_equal(joined.gather(only), everything.select(only))
    np.testing.assert_array_equal(joined.latency(ids), np.concatenate([toys["a"].latency, other.latency])[ids])
    assert joined.task(ids) == ["a" if i < 20 else "b" for i in ids]
    np.testing.assert_array_equal(joined.flop(ids), np.where(ids < 20, toys["a"].flop, other.flop))


def test_what_trials_took_is_kept_where_it_is_known(tmp_path: Path, toys: dict[str, ToyTask]) -> None:
    a, b = toys["a"], toys["b"]
    with write_shard(tmp_path / "s", SOURCE, "s", NODE_DIM, EDGE_DIM) as writer:
        writer.add(stored("a", a), a.graphs, a.latency, np.arange(20.0))
        writer.add(stored("b", b), b.graphs, b.latency)
    store = GraphStore([open_shard(tmp_path / "s", SOURCE)])
    np.testing.assert_array_equal(store.seconds([3, 19, 25]), [3.0, 19.0, np.nan])
