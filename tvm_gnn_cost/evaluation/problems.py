"""What methods are evaluated on: recorded pools, with what each kind of method needs of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError, RecordError
from tvm_gnn_cost.records import description
from tvm_gnn_cost.records.pool import Pool, RecordedPool
from tvm_gnn_cost.records.rows import Rows
from tvm_gnn_cost.system.progress import Observer, Progress, unobserved

logger = logging.getLogger(__name__)


Reader = Callable[[Path], Iterable[RecordedPool]]
"""The tasks of a log. Raises RecordError for a path that is no record log."""


@dataclass(frozen=True)
class Problem:
    """A pool that methods learn from or are tested on.

    Attributes:
        pool: the n records as stage graphs.
        stock: stock's features of the same n records; None where no method needs them.
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
        return "gpu" if self.pool.is_gpu else "cpu"


def read_problems(logs: Sequence[Path], reader: Reader, observer: Observer[Progress] = unobserved) -> list[Problem]:
    """The tasks of the logs, each as a problem, in the logs' order.

    Args:
        logs: their paths.
        reader: reads one of them.
        observer: told, in the phase "read", of each log that comes next.

    Tasks without a measured schedule are reported in the log and left out. Raises RecordError where nothing is left.
    """
    problems = []
    for number, log in enumerate(logs):
        observer(Progress(phase="read", done=number, total=len(logs), note=log.name))
        for recorded in reader(log):
            if np.isfinite(recorded.pool.latency).any():
                problems.append(_problem(recorded, log))
            else:
                logger.warning("%s: no measured schedule of %s can be read; it is left out", log, recorded.pool.name)
    observer(Progress(phase="read", done=len(logs), total=len(logs)))
    if not problems:
        raise RecordError(f"none of the {len(logs)} logs holds a measured record that can be used")
    return problems


def one_kind(problems: Iterable[Problem]) -> str:
    """ "cpu" or "gpu". Raises InvalidArgumentError where there are both: no method is for both kinds of target."""
    names: dict[str, str] = {}
    for problem in problems:
        names.setdefault(problem.kind, problem.pool.name)
    if len(names) > 1:
        raise InvalidArgumentError(
            f"{names['cpu']} is of a CPU and {names['gpu']} of a GPU: evaluate the logs of each kind of target apart"
        )
    return next(iter(names))


def _problem(recorded: RecordedPool, log: Path) -> Problem:
    digest = hashlib.sha256(recorded.digest.encode() + recorded.used.tobytes()).hexdigest()
    return Problem(recorded.pool, recorded.stock, digest, description.remeasured(log, recorded.workload_key))
