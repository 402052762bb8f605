"""The description beside a log: `FOLDER/about/NAME.json` says how `FOLDER/NAME.json` was measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.logs import ABOUT, log_stem
from tvm_gnn_cost.records.noise import remeasured_pairs
from tvm_gnn_cost.system.files import read_json

logger = logging.getLogger(__name__)

SCHEMA = 1


def about_path(log: Path) -> Path:
    """Where `tvm-gnn-cost collect` describes a log."""
    return log.parent / ABOUT / f"{log_stem(log)}.json"


def load(log: Path) -> Mapping[str, Any]:
    """The description of a log; empty where there is none. One that cannot be read is reported and taken for none."""
    path = about_path(log)
    if not path.exists():
        return {}
    try:
        about = read_json(path, "description", RecordError)
    except RecordError as error:
        logger.warning("%s; its repeated measurements are left out", error)
        return {}
    return about if isinstance(about, dict) else {}


def remeasured(log: Path, workload_key: str) -> NDArray[np.float64]:
    """Latencies of the log's schedules that were measured twice, float64 (k, 2) in seconds.

    None (k = 0) where the description is of another workload or damaged.
    """
    about = load(log)
    if about.get("workload_key") != workload_key:
        return np.zeros((0, 2))
    try:
        return remeasured_pairs(about["remeasured"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        logger.warning("%s is damaged (%r): its repeated measurements are left out", about_path(log), error)
        return np.zeros((0, 2))
