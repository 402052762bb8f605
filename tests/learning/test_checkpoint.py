"""Checkpoints: round trip, damage, interrupted writes."""

from __future__ import annotations

import errno
import json
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.learning import Trainer, TrainerConfig, load_checkpoint, save_checkpoint
from tvm_gnn_cost.learning.archive import read_archive, write_archive
from tvm_gnn_cost.testing.toy_graphs import EDGE_DIM, NODE_DIM, toy_task

CONFIG = TrainerConfig(
    hidden_dim=16, max_steps_per_update=5, batch_size=16, max_seconds_per_update=math.inf, replay_size=50
)
TEST = toy_task(40, 99)


@pytest.fixture
def trainer() -> Trainer:
    trainer = Trainer(CONFIG, node_dim=NODE_DIM, edge_dim=EDGE_DIM, seed=2, device="cpu")
    for i, name in enumerate("aba"):
        task = toy_task(24, i)
        trainer.partial_fit(task.graphs, task.latency, name, task.flop)
    trainer.partial_fit(task.graphs, np.full(24, np.inf), "failed", task.flop)
    return trainer


def predictions(trainer: Trainer) -> list[np.ndarray]:
    results = [trainer.predict(TEST.graphs, name, 1e6) for name in ("a", "b", "failed", "unseen")]
    return [array for p in results for array in (p.relative_throughput, p.latency, p.time_shares)]


def assert_same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("include_records", [True, False])
def test_round_trip_is_bit_identical(trainer: Trainer, tmp_path: Path, include_records: bool) -> None:
    path = tmp_path / "model.ckpt"
    extra = {"note": "x", "list": [1, 2.5, None]}
    save_checkpoint(path, trainer, extra, schema_version=7, include_records=include_records)
    loaded, got = load_checkpoint(path, "cpu", schema_version=7)
    assert got == extra and loaded.config == trainer.config and loaded.records_seen_ == trainer.records_seen_
    assert len(loaded.replay) == (len(trainer.replay) if include_records else 0)
    if not include_records:
        trainer.forget_records()  # what they say themselves is gone with them
    assert_same(predictions(loaded), predictions(trainer))
    assert os.listdir(tmp_path) == ["model.ckpt"]


def test_tuning_goes_on_as_if_it_had_not_stopped(trainer: Trainer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m", trainer)
    loaded, _ = load_checkpoint(tmp_path / "m", "cpu")
    for seed in (5, 6):
        task = toy_task(24, seed)
        for one in (trainer, loaded):
            one.partial_fit(task.graphs, task.latency, "b", task.flop)
    assert_same(predictions(loaded), predictions(trainer))


def test_update_after_loading_without_records(trainer: Trainer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m", trainer, include_records=False)
    loaded, _ = load_checkpoint(tmp_path / "m", "cpu")
    task = toy_task(24, 5)
    loaded.partial_fit(task.graphs, task.latency * 1e3, "a", task.flop)
    assert loaded.replay.tasks_["a"].best_latency == trainer.replay.tasks_["a"].best_latency
    assert all(np.isfinite(x).all() for x in predictions(loaded))


def test_large_buffers_are_left_out(trainer: Trainer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(tmp_path / "m", trainer, max_record_bytes=10)
    assert "left out" in caplog.text
    assert len(load_checkpoint(tmp_path / "m", "cpu")[0].replay) == 0


def test_untrained(tmp_path: Path) -> None:
    fresh = Trainer(CONFIG, node_dim=NODE_DIM, edge_dim=0, device="cpu")
    save_checkpoint(tmp_path / "m", fresh)
    assert load_checkpoint(tmp_path / "m", "cpu")[0].records_seen_ == 0


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Applies `change` to the members of a zip."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def edit_meta(**changes: Any) -> Callable[[Path], None]:
    def change(members: dict[str, bytes]) -> None:
        members["meta.json"] = json.dumps({**json.loads(members["meta.json"]), **changes}).encode()

    return lambda path: rewrite(path, change)


def edit_tensor(name: str, edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def change(members: dict[str, bytes]) -> None:
        tensors = load(members["weights.safetensors"])
        members["weights.safetensors"] = save({**tensors, name: np.ascontiguousarray(edit(tensors[name]))})

    return lambda path: rewrite(path, change)


def drop(member: str) -> Callable[[Path], None]:
    return lambda path: rewrite(path, lambda members: members.pop(member) and None)


def flip_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = data.index(b"network.") + 4000
    data[start : start + 40] = bytes(255 - b for b in data[start : start + 40])
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda p: p.unlink(), "no such checkpoint"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "cannot be read"),
    "empty": (lambda p: p.write_bytes(b""), "not a checkpoint"),
    "text": (lambda p: p.write_text("hello"), "not a checkpoint"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-500]), "not a checkpoint, or cut off"),
    "flipped": (flip_bytes, "damaged"),
    "foreign zip": (drop("meta.json"), "a zip file, but not a tvm-gnn-cost checkpoint"),
    "no weights": (drop("weights.safetensors"), "not a tvm-gnn-cost checkpoint"),
    "bad json": (lambda p: rewrite(p, lambda m: m.update({"meta.json": b"{"})), "damaged"),
    "bad weights": (lambda p: rewrite(p, lambda m: m.update({"weights.safetensors": b"\0" * 40})), "damaged"),
    "other format": (edit_meta(format="onnx"), "another format"),
    "newer format": (edit_meta(format_version=4), "format version 4, this release reads 3"),
    "other schema": (edit_meta(schema_version=6), "feature schema 6, in use is 7"),
    "unknown option": (edit_meta(config={"colour": 1}), "bad meta.json"),
    "bad option": (edit_meta(config={"hidden_dim": -1}), "bad meta.json"),
    "other width": (edit_meta(node_dim=NODE_DIM + 1), "has shape"),
    "no tasks": (edit_meta(tasks=None), "inconsistent"),
    "lost records": (edit_meta(record_tasks=["a"]), "inconsistent"),
    "shape": (edit_tensor("network.head.0.bias", lambda a: a[:-1]), r"network.head.0.bias has shape \(15,\)"),
    "nan": (edit_tensor("network.head.0.bias", lambda a: a * np.nan), "network.head.0.bias holds NaN"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_has_a_clear_error(trainer: Trainer, tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.ckpt"
    save_checkpoint(path, trainer, schema_version=7)
    damage, message = DAMAGE[name]
    damage(path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(path, "cpu", schema_version=7)
    assert "model.ckpt" in str(error.value)


@pytest.mark.parametrize("where", ["replace", "fsync"])
@pytest.mark.parametrize("reason", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_save_leaves_the_old_file(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, reason: BaseException
) -> None:
    path = tmp_path / "model.ckpt"
    save_checkpoint(path, trainer)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise reason

    monkeypatch.setattr(os, where, fail)
    expected = CheckpointError if isinstance(reason, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as error:
        save_checkpoint(path, trainer)
    monkeypatch.undo()
    if expected is CheckpointError:
        assert "model.ckpt" in str(error.value) and "No space left" in str(error.value)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.ckpt"]


def test_unwritable_places_and_values(trainer: Trainer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write"):
        save_checkpoint(tmp_path / "no" / "folder", trainer)
    for extra in ({"a": object()}, {"a": math.nan}):
        with pytest.raises(InvalidArgumentError, match="extra"):
            save_checkpoint(tmp_path / "m", trainer, extra)
    assert os.listdir(tmp_path) == []


def test_all_options_survive(tmp_path: Path) -> None:
    config = replace(CONFIG, loss="rank", learning_rate=1e-4, max_seconds_per_update=2.5, num_layers=1)
    save_checkpoint(tmp_path / "m", Trainer(config, node_dim=3, edge_dim=2, seed=9, device="cpu"))
    loaded, _ = load_checkpoint(str(tmp_path / "m"), "cpu")
    assert loaded.config == config and loaded.seed == 9


def test_a_damaged_file_is_called_damaged_whatever_its_error_says(trainer: Trainer, tmp_path: Path) -> None:
    """An option of the file that is wrong, and happens to be called after a device, is the file's fault."""
    path = tmp_path / "model"
    save_checkpoint(path, trainer)
    meta, members = read_archive(path, "tvm-gnn-cost", ["weights"])
    meta["config"]["network"] = "device"
    write_archive(path, json.dumps(meta), members)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_a_device_that_is_not_there_is_not_the_files_fault(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "model"
    save_checkpoint(path, trainer)
    with pytest.raises(InvalidArgumentError, match="device"):
        load_checkpoint(path, "tpu")
