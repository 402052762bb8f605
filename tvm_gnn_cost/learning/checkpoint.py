"""A trainer in one file (see `archive`).

| member                | holds                                                                            |
| --------------------- | -------------------------------------------------------------------------------- |
| `meta.json`           | format, versions, config, dimensions, tasks, calibration, generators, `extra`    |
| `weights.safetensors` | the network's parameters, `network.*`, and the scalers' statistics, `scaler.*`   |
| `records.safetensors` | optional: the replay buffer, so that tuning goes on as if it had never stopped   |
| `trial.safetensors`   | optional: what a trial costs, see `trial_cost`                                   |
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors
import torch

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.learning.archive import Tensors, read_archive, write_archive
from tvm_gnn_cost.learning.calibration import Calibration
from tvm_gnn_cost.learning.config import TrainerConfig
from tvm_gnn_cost.learning.replay_buffer import TaskStats
from tvm_gnn_cost.learning.trainer import Trainer, resolve_device
from tvm_gnn_cost.learning.trial_cost import TrialCost
from tvm_gnn_cost.learning.weights import load_weights, scaler_counts, weight_tensors

logger = logging.getLogger(__name__)

FORMAT = "tvm-gnn-cost"
FORMAT_VERSION = 3
_GRAPH_ARRAYS = ("node_features", "edge_index", "edge_features", "node_ptr", "edge_ptr")
_MIB = 2**20


def save_checkpoint(
    path: str | os.PathLike[str],
    trainer: Trainer,
    extra: Mapping[str, Any] | None = None,
    *,
    schema_version: int | str = 0,
    include_records: bool = True,
    max_record_bytes: int = 256 * _MIB,
) -> None:
    """Writes the trainer to `path`. On any failure the file that was there before stays as it was.

    Args:
        path: the file; its folder must exist.
        trainer: predictions of the loaded trainer equal its own bit for bit.
        extra: the caller's own JSON values, returned by `load_checkpoint`.
        schema_version: of the features that the trainer was trained on.
        include_records: store the replay buffer too; without it tasks keep their offsets, and their own records speak
            no more (`own_records`).
        max_record_bytes: a larger replay buffer is left out, with a warning in the log.

    Raises:
        CheckpointError: the file cannot be written (full disk, no permission, no folder).
        InvalidArgumentError: `extra` cannot be written as JSON.
    """
    trainer.calibrate()
    include_records = include_records and len(trainer.replay) > 0
    if include_records and trainer.replay.nbytes > max_record_bytes:
        logger.warning(
            "checkpoint %s: %d records (%.0f MiB) are left out, the limit is %.0f MiB",
            path, len(trainer.replay), trainer.replay.nbytes / _MIB, max_record_bytes / _MIB,
        )  # fmt: skip
        include_records = False
    meta, members = _meta(trainer, schema_version, include_records), {"weights": weight_tensors(trainer)}
    if include_records:
        members["records"] = _record_tensors(trainer)
    if trainer.trial_cost is not None:
        members["trial"] = trainer.trial_cost.tensors()
    try:
        # NaN is not JSON; infinite latencies are stored as null.
        text = json.dumps({**meta, "extra": dict(extra or {})}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"extra must hold finite JSON values: {error}") from error
    write_archive(path, text, members, deflated=["records"])


def load_checkpoint(
    path: str | os.PathLike[str], device: str = "auto", *, schema_version: int | str | None = None
) -> tuple[Trainer, dict[str, Any]]:
    """The trainer saved in `path`, and the caller's `extra`.

    Args:
        path: a file that `save_checkpoint` wrote.
        device: as for `Trainer`.
        schema_version: the feature schema in use; None accepts any.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, or of another format or schema version.
        InvalidArgumentError: the device is unknown or not there.
    """
    meta, members = read_archive(path, FORMAT, ["weights"])
    if meta.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {meta.get('format_version')!r}, this release reads {FORMAT_VERSION}; "
            "use the release that wrote it, or train anew"
        )
    if schema_version is not None and meta.get("schema_version") != schema_version:
        raise CheckpointError(
            f"{path}: trained on feature schema {meta.get('schema_version')!r}, in use is {schema_version!r}; "
            "train anew on the records"
        )
    resolve_device(device)  # what is wrong with it is not the file's fault
    try:
        trainer = Trainer(
            TrainerConfig(**_finite_to_config(meta["config"])),
            node_dim=meta["node_dim"], edge_dim=meta["edge_dim"], seed=meta["seed"], device=device,
        )  # fmt: skip
    except (AttributeError, KeyError, TypeError, OverflowError, InvalidArgumentError) as error:
        raise CheckpointError(f"{path}: bad meta.json ({error!r}); the file is damaged, fetch it again") from error
    try:
        load_weights(path, trainer, members["weights"], meta["scaler_count"])
        _restore_rest(trainer, meta, members.get("records"))
        if "trial" in members:
            trainer.trial_cost = _trial_cost(path, trainer, members["trial"])
        return trainer, dict(meta["extra"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{path}: inconsistent ({error!r}); the file is damaged, fetch it again") from error


def finite_config(config: TrainerConfig) -> dict[str, Any]:
    """The options as JSON, which has no infinity: null stands for it."""
    return {name: None if value == math.inf else value for name, value in asdict(config).items()}


def _trial_cost(path: str | os.PathLike[str], trainer: Trainer, tensors: Tensors) -> TrialCost:
    cost = TrialCost(trainer.node_dim, trainer.edge_dim, seed=trainer.seed, device=trainer.device)
    try:
        cost.load(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return cost


def _finite_to_config(saved: dict[str, Any]) -> dict[str, Any]:
    """What `finite_config` gave, with its infinity."""
    seconds = "max_seconds_per_update"
    return {**saved, seconds: math.inf} if saved.get(seconds, 0) is None else saved


def _meta(trainer: Trainer, schema_version: int | str, include_records: bool) -> dict[str, Any]:
    replay, calibration = trainer.replay, trainer.calibration
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "schema_version": schema_version,
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__},
        "config": finite_config(trainer.config),
        "node_dim": trainer.node_dim,
        "edge_dim": trainer.edge_dim,
        "seed": trainer.seed,
        "records_seen": trainer.records_seen_,
        "scaler_count": scaler_counts(trainer),
        "tasks": {
            name: {
                "seen": stats.seen,
                "best_latency": stats.best_latency if math.isfinite(stats.best_latency) else None,
                "flop": stats.flop,
                "offset": calibration.offset.get(name),
            }
            for name, stats in replay.tasks_.items()
        },
        "calibration": {"centre": calibration.centre, "best_score": calibration.best_score},
        "generators": {
            "trainer": trainer.generator.bit_generator.state,
            "replay": replay.generator.bit_generator.state,
        },
        "record_tasks": replay.task(range(len(replay))) if include_records else [],
    }


def _record_tensors(trainer: Trainer) -> Tensors:
    slots = range(len(trainer.replay))
    graphs = trainer.replay.gather(slots)
    tensors: Tensors = {name: np.ascontiguousarray(getattr(graphs, name)) for name in _GRAPH_ARRAYS}
    return {**tensors, "latency": trainer.replay.latency(slots), "flop": trainer.replay.flop(slots)}


def _restore_rest(trainer: Trainer, meta: dict[str, Any], records: Tensors | None) -> None:
    tasks: dict[str, dict[str, Any]] = meta["tasks"]
    stats = {
        name: TaskStats(
            seen=int(saved["seen"]),
            best_latency=math.inf if saved["best_latency"] is None else float(saved["best_latency"]),
            flop=float(saved["flop"]),
        )
        for name, saved in tasks.items()
    }
    graphs, latency, flop = None, np.zeros(0), np.zeros(0)
    if records is not None:
        graphs = StageGraphBatch(*(records[name] for name in _GRAPH_ARRAYS))
        latency, flop = records["latency"], records["flop"]
        if not len(graphs) == len(latency) == len(flop) == len(meta["record_tasks"]):
            raise ValueError("numbers of graphs, latencies and tasks differ")
    trainer.replay.restore(graphs, latency, meta["record_tasks"], flop, stats)
    trainer.replay.generator.bit_generator.state = meta["generators"]["replay"]
    trainer.generator.bit_generator.state = meta["generators"]["trainer"]
    offsets = {name: float(saved["offset"]) for name, saved in tasks.items() if saved["offset"] is not None}
    trainer.calibration = Calibration(
        offsets, set(tasks), float(meta["calibration"]["centre"]), float(meta["calibration"]["best_score"])
    )
    trainer.records_seen_ = int(meta["records_seen"])
