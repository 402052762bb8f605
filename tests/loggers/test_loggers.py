"""Loggers against the real libraries: what was observed is what the tracker gives back."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tvm_gnn_cost import InvalidArgumentError
from tvm_gnn_cost.cli.logger_options import make_loggers
from tvm_gnn_cost.loggers import JSONLLogger, MetricLogger, MLflowLogger, TensorBoardLogger, WandbLogger, observed_by
from tvm_gnn_cost.records.tuning_run import TaskProgress, TuneProgress
from tvm_gnn_cost.training.pretraining import Check, PretrainProgress

CONFIG = {"workload": "matmul 8 8 8", "trials": 4}


def moment(done: int, latency_s: float | None, gain_left: float | None = None, **more: Any) -> TuneProgress:
    return TuneProgress(
        phase="measure", done=done, total=4, failed=0, latency_s=latency_s, elapsed_s=float(done), task=0,
        gain_left=gain_left, **more,
    )  # fmt: skip


def observe(logger: MetricLogger) -> None:
    """A run of four trials in two rounds; what is left is known after each has been learnt."""
    with logger:
        for each in (
            moment(0, None),
            moment(2, 0.004),
            moment(2, 0.004, 0.5),
            moment(4, 0.002),
            moment(4, 0.002, 0.25),
        ):
            logger(each)


def test_a_line_a_step_with_all_that_became_known_of_it(tmp_path: Path) -> None:
    observe(JSONLLogger(tmp_path / "m.jsonl", CONFIG))
    config, *steps = map(json.loads, (tmp_path / "m.jsonl").read_text().splitlines())
    assert config == {"config": CONFIG}
    assert [(s["step"], s.get("best_latency_ms"), s.get("gain_left")) for s in steps] == [
        (0, None, None),
        (2, 4.0, 0.5),
        (4, 2.0, 0.25),
    ]


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    observe(TensorBoardLogger(tmp_path / "runs", CONFIG))
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("best_latency_ms")] == [(2, 4.0), (4, 2.0)]
    assert [e.step for e in events.Scalars("seconds")] == [0, 2, 4]
    (text,) = events.Tensors("config/text_summary")
    assert b"matmul 8 8 8" in text.tensor_proto.string_val[0]


def test_mlflow_finds_the_run_with_its_metrics_and_parameters(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    observe(MLflowLogger(tmp_path / "store", "convolutions", CONFIG))
    client = mlflow.MlflowClient((tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("convolutions")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params == {"workload": "matmul 8 8 8", "trials": "4"}
    history = client.get_metric_history(run.info.run_id, "best_latency_ms")
    assert [(metric.step, metric.value) for metric in history] == [(2, 4.0), (4, 2.0)]


def test_wandb_keeps_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.delenv("WANDB_MODE", raising=False)
    observe(WandbLogger("convolutions", tmp_path, CONFIG))
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    found = []
    for data in leveldb_records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        items = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        if "best_latency_ms" in items:
            found.append((record.history.step.num, items["best_latency_ms"]))
    assert found == [(2, 4.0), (4, 2.0)]


def leveldb_records(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log behind a header of 7 bytes: blocks of 32 KiB, in which a record lies in pieces of
    checksum, length, type (1: whole, 2: first, 3: middle, 4: last) and data."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def test_tasks_and_trainings_have_metrics_of_their_own() -> None:
    tasks = (TaskProgress(3, 1, 0.001), TaskProgress())
    _, metrics = moment(4, None, tasks=tasks).metrics()
    assert metrics["task_0/best_latency_ms"] == 1.0 and metrics["task_1/trials"] == 0.0
    assert "task_1/best_latency_ms" not in metrics
    check = Check(40, 1.5, 2.0, 0.25, accuracy=0.75)
    told = PretrainProgress(phase="train", done=0.5, total=1.0, epoch=1.5, seconds=2.0, check=check, is_checked=True)
    assert told.metrics() == (
        40,
        {"epoch": 1.5, "seconds": 2.0, "loss": 0.25, "held_out_pairwise_accuracy": 0.75},
    )


def test_a_tracker_that_fails_is_reported_once_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MetricLogger):
        def write(self, step: int, metrics: Mapping[str, float]) -> None:
            raise OSError("disk full")

        def end(self) -> None:
            """There is none."""

    seen: list[TuneProgress] = []
    with caplog.at_level(logging.WARNING), observed_by(seen.append, [Broken()]) as observer:
        for done in range(4):
            observer(moment(done, 0.001))
    assert len(seen) == 4
    assert [r.getMessage() for r in caplog.records] == [
        "Broken failed (OSError: disk full); the run goes on without it"
    ]


def test_a_store_that_cannot_be_used_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(InvalidArgumentError, match="MLflow cannot use"):
        MLflowLogger("nonsense://here")


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be written"):
        JSONLLogger(tmp_path / "no" / "m.jsonl")


def test_loggers_are_closed_where_a_later_one_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be written") as caught:
        make_loggers([f"jsonl={tmp_path / 'metrics.jsonl'}", f"jsonl={tmp_path}"], CONFIG)
    opened = {file.path for file in psutil.Process().open_files()}
    assert str(tmp_path / "metrics.jsonl") not in opened, caught


def test_an_unknown_kind_is_refused_before_any_logger_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="the kinds are tensorboard"):
        make_loggers([f"jsonl={tmp_path / 'metrics.jsonl'}", "nonsense"], CONFIG)
    assert not list(tmp_path.iterdir())
