"""What a collection needs of a scheduler: where schedules come from, how they are built, how a pool is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tvm_gnn_cost.measuring.measurer import Toolchain

if TYPE_CHECKING:
    from tvm_gnn_cost.collection.options import CollectOptions, Workload


@dataclass(frozen=True)
class PoolRecord:
    """A record of a pool.

    Attributes:
        candidate: the schedule, as the wing's toolchain takes it.
        result: as the toolchain gives it.
        readings: seconds; none: it failed.
        error_no: 0 is success; a failure that was read from a pool may have any other number.
        line: in the pool's log, from 1.
    """

    candidate: Any
    result: Any
    readings: tuple[float, ...]
    error_no: int
    line: int

    @property
    def latency_s(self) -> float | None:
        """The best of the readings, as noise only slows; None where it failed."""
        return min(self.readings) if self.readings else None


class Sources(Protocol):
    """Where new schedules of one task come from, and the model that learns them."""

    @property
    def is_warm(self) -> bool:
        """Whether the model knows anything, so that schedules can evolve under it."""
        ...

    def random(self, count: int) -> list[Any]:
        """At least so many samples, if they can be had."""
        ...

    def evolved(self, count: int) -> list[Any]:
        """At least so many of the best that a search under the model finds, if they can be had, the best first."""
        ...

    def mutated(self, parents: Sequence[Any], count: int) -> list[Any]:
        """About so many of these schedules, changed at random."""
        ...

    def key(self, candidate: Any) -> str:
        """The same for schedules that are the same."""
        ...

    def keep(self, records: Sequence[PoolRecord]) -> None:
        """These are measured: the search knows them from now on, and the model learns nothing yet."""
        ...

    def learn(self, records: Sequence[PoolRecord]) -> None:
        """The model learns these."""
        ...


class PoolLog(Protocol):
    """The log of a pool, opened to be gone on with or made anew."""

    @property
    def records(self) -> Sequence[PoolRecord]:
        """What it held when it was opened: what is of the pool's task, and can be read."""
        ...

    @property
    def next_line(self) -> int:
        """Where the next record will be, from 1."""
        ...

    def append(self, candidate: Any, result: Any) -> PoolRecord:
        """Write a record at once. Raises RecordError where it cannot be written."""
        ...

    def complete(self) -> None:
        """No record follows: write what goes beside the log. Raises RecordError where it cannot be written."""
        ...


class Wing(Protocol):
    """One of TVM's schedulers, for a collection."""

    name: str
    """As `records.task` has it."""
    toolchain: Toolchain
    can_be_interrupted: bool
    """Whether a KeyboardInterrupt may be raised in whatever Python code its search calls."""

    def log_path(self, folder: Path, name: str) -> Path:
        """Where the pool of a name is."""
        ...

    def has_records(self, path: Path) -> bool:
        """Whether something is there, whatever it is."""
        ...

    def identity(self, task: Any) -> dict[str, Any]:
        """What tells tasks apart: "workload_key" and "target", and what else the scheduler keeps to."""
        ...

    def is_complete(self, path: Path, lines: int) -> bool:
        """Whether the log there has so many lines, and beside it is what a complete one has; nothing is read of it."""
        ...

    def flop(self, task: Any) -> float:
        """Floating-point operations."""
        ...

    def open_log(self, path: Path, workload: Workload) -> PoolLog:
        """The log of a workload's pool. Raises RecordError where it is unusable."""
        ...

    def readings(self, result: Any) -> list[float]:
        """Of a result, seconds; none: it failed."""
        ...

    def sources(self, workload: Workload, options: CollectOptions, seed: Sequence[int]) -> Sources:
        """Where schedules of a workload come from. Raises WorkloadError where it cannot be scheduled."""
        ...
