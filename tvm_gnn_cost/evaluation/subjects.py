"""What models are evaluated on: recorded pools, with what each kind of model needs of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.pools import MeasuredStates, read_states
from tvm_gnn_cost.collection.noise import remeasured_pairs
from tvm_gnn_cost.errors import InvalidArgumentError, RecordError
from tvm_gnn_cost.graphs.schema import NODE_FEATURES
from tvm_gnn_cost.records.logs import find_logs, log_stem
from tvm_gnn_cost.records.pool import Pool
from tvm_gnn_cost.records.rows import Rows

logger = logging.getLogger(__name__)

_IS_GPU = [feature.name for feature in NODE_FEATURES].index("is_gpu")


@dataclass(frozen=True)
class Subject:
    """A pool that models learn from or are tested on.

    Attributes:
        pool: the n records as stage graphs.
        stock: stock's features of the same n records; None where no model needs them.
        digest: of the records, and of which of them are used.
        remeasured: float64 (k, 2), seconds: latencies of schedules that were measured twice, as the log's description
            has them.
    """

    pool: Pool
    stock: Rows | None
    digest: str
    remeasured: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pool)

    @property
    def best(self) -> float:
        """Seconds of the fastest record."""
        return float(self.pool.latency.min())

    def generator(self, seed: int, purpose: str) -> np.random.Generator:
        """Random numbers of this pool, seed and purpose: the same whatever else is evaluated."""
        key = hashlib.sha256(f"{self.digest} {purpose}".encode()).digest()
        return np.random.default_rng([seed, int.from_bytes(key[:8], "little")])

    @property
    def kind(self) -> str:
        """ "cpu" or "gpu"."""
        return "gpu" if self.pool.graphs.node_features[:, _IS_GPU].any() else "cpu"


def read_subjects(
    paths: Iterable[str | PathLike[str]],
    *,
    stock_cache: Path | None = None,
    on_read: Callable[[int, int, str], None] | None = None,
) -> list[Subject]:
    """The tasks of the logs, each as a subject, in the logs' order.

    Args:
        paths: logs and folders of logs.
        stock_cache: where stock's features are kept; None: they are not computed. Where they are, records at which
            stock ends the process count for no model.
        on_read: called with (logs read, logs in all, the next log's name).

    Tasks without a measured record are reported in the log and left out. Raises RecordError where nothing is left or a
    path is no record log.
    """
    logs = find_logs(paths)
    subjects = []
    for number, log in enumerate(logs):
        if on_read is not None:
            on_read(number, len(logs), log.name)
        for measured in read_states([log]):
            if not np.isfinite(measured.latency).any():
                logger.warning("%s: %s holds no measured record and is left out", log, measured.name)
                continue
            subject = _subject(measured, stock_cache, log)
            if not np.isfinite(subject.pool.latency).any():
                logger.warning("%s: no measured schedule of %s can be read; it is left out", log, measured.name)
                continue
            subjects.append(subject)
    if on_read is not None:
        on_read(len(logs), len(logs), "")
    if not subjects:
        raise RecordError(f"none of the {len(logs)} logs holds a measured record that can be used")
    return subjects


def one_kind(subjects: Iterable[Subject]) -> str:
    """ "cpu" or "gpu". Raises InvalidArgumentError where there are both: no model is for both kinds of target."""
    names: dict[str, str] = {}
    for subject in subjects:
        names.setdefault(subject.kind, subject.pool.name)
    if len(names) > 1:
        raise InvalidArgumentError(
            f"{names['cpu']} is of a CPU and {names['gpu']} of a GPU: evaluate the logs of each kind of target apart"
        )
    return next(iter(names))


def about_path(log: Path) -> Path:
    """Where `tvm-gnn-cost collect` describes a log."""
    return log.parent / "about" / f"{log_stem(log)}.json"


def _subject(measured: MeasuredStates, stock_cache: Path | None, log: Path) -> Subject:
    pool, readable = measured.pool()
    used = np.flatnonzero(readable)
    rows = None
    if stock_cache is not None:
        from tvm_gnn_cost.evaluation.stock import stock_rows

        all_rows = stock_rows(measured, stock_cache)
        known = np.diff(all_rows.ptr)[used] > 0
        if not known.all():
            pool, used = pool.select(np.flatnonzero(known)), used[known]
        rows = all_rows.select(used)
    digest = hashlib.sha256(measured.digest.encode() + used.tobytes()).hexdigest()
    return Subject(pool, rows, digest, _remeasured(log, measured.task.workload_key))


def _remeasured(log: Path, workload_key: str) -> NDArray[np.float64]:
    about = _load_about(about_path(log))
    if about.get("workload_key") != workload_key:
        return np.zeros((0, 2))
    try:
        return remeasured_pairs(about["remeasured"])
    except (KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%r): its repeated measurements are left out", about_path(log), error)
        return np.zeros((0, 2))


def _load_about(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read (%s): its repeated measurements are left out", path, error)
        return {}
    return about if isinstance(about, dict) else {}
