"""A trainer in one file: a zip of JSON and safetensors, written atomically. Nothing in it is code.

| member                | holds                                                                            |
| --------------------- | -------------------------------------------------------------------------------- |
| `meta.json`           | format, versions, config, dimensions, tasks, calibration, generators, `extra`    |
| `weights.safetensors` | the network's parameters, `network.*`, and the scalers' statistics, `scaler.*`   |
| `records.safetensors` | optional: the replay buffer, so that tuning goes on as if it had never stopped   |
"""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ..errors import CheckpointError, InvalidArgumentError
from ..stage_graph.graph import StageGraphBatch
from .calibration import Calibration
from .config import TrainerConfig
from .replay import TaskStats
from .scaling import FeatureScaler
from .trainer import Trainer

logger = logging.getLogger(__name__)

FORMAT = "tvm-gnn-cost"
FORMAT_VERSION = 1
_SCALER_ROWS = ("mean", "variance")
_GRAPH_ARRAYS = ("node_features", "edge_index", "edge_features", "node_ptr", "edge_ptr")
_MIB = 2**20

Tensors = dict[str, NDArray[Any]]


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
        include_records: store the replay buffer too.
        max_record_bytes: a larger replay buffer is left out, with a warning in the log.

    Raises:
        CheckpointError: the file cannot be written (full disk, no permission, no folder).
        InvalidArgumentError: `extra` cannot be written as JSON.
    """
    target = Path(os.path.realpath(path))  # replace the file that a link points to, not the link
    trainer.calibrate()
    include_records = include_records and len(trainer.replay) > 0
    if include_records and trainer.replay.nbytes > max_record_bytes:
        logger.warning(
            "checkpoint %s: %d records (%.0f MiB) are left out, the limit is %.0f MiB",
            target, len(trainer.replay), trainer.replay.nbytes / _MIB, max_record_bytes / _MIB,
        )  # fmt: skip
        include_records = False
    meta, records = _meta(trainer, schema_version, include_records), None
    if include_records:
        records = _record_tensors(trainer)
    try:
        # NaN is not JSON; infinite latencies are stored as null.
        text = json.dumps({**meta, "extra": dict(extra or {})}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"extra must hold finite JSON values: {error}") from error

    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("meta.json", text)
                archive.writestr("weights.safetensors", save_tensors(_weight_tensors(trainer)))
                if records is not None:
                    archive.writestr("records.safetensors", save_tensors(records), zipfile.ZIP_DEFLATED, 1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:  # KeyboardInterrupt too must not leave the temporary file behind
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CheckpointError(f"cannot write checkpoint {target}: {error}; what was there is unchanged") from error
        raise


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
    """
    meta, weights, records = _read(Path(path))
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
    try:
        trainer = Trainer(
            TrainerConfig(**meta["config"]),
            node_dim=meta["node_dim"], edge_dim=meta["edge_dim"], seed=meta["seed"], device=device,
        )  # fmt: skip
    except (KeyError, TypeError, InvalidArgumentError) as error:
        if isinstance(error, InvalidArgumentError) and "device" in str(error):
            raise
        raise CheckpointError(f"{path}: bad meta.json ({error!r}); the file is damaged, fetch it again") from error
    _check_weights(path, trainer, weights)
    state = {name: torch.from_numpy(weights[f"network.{name}"].copy()) for name in trainer.network.state_dict()}
    trainer.network.load_state_dict(state)
    try:
        _restore_scaler(trainer.node_scaler, "node", weights, meta)
        _restore_scaler(trainer.edge_scaler, "edge", weights, meta)
        _restore_rest(trainer, meta, records)
        return trainer, dict(meta["extra"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path}: inconsistent ({error!r}); the file is damaged, fetch it again") from error


def _meta(trainer: Trainer, schema_version: int | str, include_records: bool) -> dict[str, Any]:
    replay, calibration = trainer.replay, trainer.calibration
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "schema_version": schema_version,
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__},
        "config": {name: None if value == math.inf else value for name, value in asdict(trainer.config).items()},
        "node_dim": trainer.node_dim,
        "edge_dim": trainer.edge_dim,
        "seed": trainer.seed,
        "records_seen": trainer.records_seen_,
        "scaler_count": {"node": trainer.node_scaler.count_, "edge": trainer.edge_scaler.count_},
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


def _weight_tensors(trainer: Trainer) -> Tensors:
    tensors: Tensors = {
        f"network.{name}": np.ascontiguousarray(value.cpu().numpy())
        for name, value in trainer.network.state_dict().items()
    }
    for name, scaler in (("node", trainer.node_scaler), ("edge", trainer.edge_scaler)):
        tensors[f"scaler.{name}.mean"] = np.ascontiguousarray(scaler.mean_)
        tensors[f"scaler.{name}.variance"] = np.ascontiguousarray(scaler.variance_)
    return tensors


def _record_tensors(trainer: Trainer) -> Tensors:
    slots = range(len(trainer.replay))
    graphs = trainer.replay.gather(slots)
    tensors: Tensors = {name: np.ascontiguousarray(getattr(graphs, name)) for name in _GRAPH_ARRAYS}
    return {**tensors, "latency": trainer.replay.latency(slots), "flop": trainer.replay.flop(slots)}


def _read(path: Path) -> tuple[dict[str, Any], Tensors, Tensors | None]:
    """meta.json and the tensors of a checkpoint, as far as they can be read; nothing of their content is checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "meta.json" not in names or "weights.safetensors" not in names:
                raise CheckpointError(f"{path}: a zip file, but not a {FORMAT} checkpoint; name another file")
            meta = json.loads(archive.read("meta.json"))
            if not isinstance(meta, dict) or meta.get("format") != FORMAT:
                raise CheckpointError(f"{path}: not a {FORMAT} checkpoint (another format); name another file")
            weights = load_tensors(archive.read("weights.safetensors"))
            records = load_tensors(archive.read("records.safetensors")) if "records.safetensors" in names else None
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint; check the path") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: not a checkpoint, or cut off or damaged ({error}); fetch it again") from error
    except (
        safetensors.SafetensorError, ValueError, KeyError, EOFError, zlib.error, RuntimeError, NotImplementedError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"{path}: damaged ({error}); fetch it again") from error
    config = meta.get("config")
    if isinstance(config, dict) and config.get("max_seconds_per_update", 0) is None:
        config["max_seconds_per_update"] = math.inf  # JSON has no infinity
    return meta, weights, records


def _check_weights(path: str | os.PathLike[str], trainer: Trainer, weights: Tensors) -> None:
    expected = {f"network.{name}": tuple(value.shape) for name, value in trainer.network.state_dict().items()}
    for name, dim in (("node", trainer.node_dim), ("edge", trainer.edge_dim)):
        expected.update({f"scaler.{name}.{row}": (dim,) for row in _SCALER_ROWS})
    if expected.keys() != weights.keys():
        different = ", ".join(sorted(expected.keys() ^ weights.keys())[:3])
        raise CheckpointError(f"{path}: weights.safetensors misses or adds tensors ({different}); fetch it again")
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {weights[name].shape}, its config asks for {shape}; fetch it again"
            )
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; train anew or use an earlier file")


def _restore_scaler(scaler: FeatureScaler, name: str, weights: Tensors, meta: dict[str, Any]) -> None:
    scaler.mean_ = weights[f"scaler.{name}.mean"].astype(np.float64)
    scaler.variance_ = weights[f"scaler.{name}.variance"].astype(np.float64)
    scaler.count_ = int(meta["scaler_count"][name])


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
