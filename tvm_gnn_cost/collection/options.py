"""What a collection takes and gives, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.noise import Noise
from tvm_gnn_cost.records.tuning_run import MeasureOptions

COLLECT_MEASURE = MeasureOptions(repeat=6, min_repeat_ms=10, number=1, build_timeout_s=12, run_timeout_s=10)


@dataclass(frozen=True)
class Workload:
    """A task to collect a pool for.

    Attributes:
        name: the stem of the pool's file, such as `matmul-512x512x512`.
        label: the name in reports, such as `matmul 512 512 512`.
        task: what is scheduled, as the scheduler has it.
        source: where a network's task comes from, for those who read the pool; empty for a named workload.
    """

    name: str
    label: str
    task: Any
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mix:
    """Where the schedules of a pool come from, as parts of the whole.

    Attributes:
        random: samples of the sketches, or of the design space: bad and middling schedules.
        evolved: the best that evolution finds under a model that learns the pool: near-best schedules.
        mutated: measured schedules among the best, changed at random: the neighbourhood of the best.
    """

    random: float = 4.0
    evolved: float = 3.0
    mutated: float = 1.0

    def __post_init__(self) -> None:
        parts = (self.random, self.evolved, self.mutated)
        if not all(0 <= part < float("inf") for part in parts) or not sum(parts) > 0:
            raise InvalidArgumentError(f"the parts of a mix are {parts}; they must be numbers >= 0, not all 0")

    def share(self, origin: str) -> float:
        """Of an origin, by its name, between 0 and 1."""
        return float(getattr(self, origin)) / (self.random + self.evolved + self.mutated)


@dataclass(frozen=True)
class CollectOptions:
    """How to collect.

    Attributes:
        trials: schedules in each pool, those it already holds included.
        minutes: the most to spend in all; None is as long as it takes.
        batch: schedules chosen, built and measured between two lessons of the model.
        mix: where schedules come from.
        race: a schedule whose first reading takes so many times as long as the pool's best gets no further one; None:
            every schedule gets all of its readings.
        remeasure: the share of each pool that is measured twice, once the pool is complete; at least
            `MIN_REMEASURED` schedules, and none for 0.
        population: schedules in each generation of the evolution.
        measure: how to build and measure, and where.
        pretrained: what the model starts from, as `GNNCostModel` takes it.
        device: where the model runs.
        seed: of the model and the sampling.
        wait_quiet_s: how long to wait, before a batch, for a machine that is not quiet.
    """

    trials: int = 128
    minutes: float | None = None
    batch: int = 16
    mix: Mix = field(default_factory=Mix)
    race: float | None = 1.5
    remeasure: float = 0.1
    population: int = 512
    measure: MeasureOptions = COLLECT_MEASURE
    pretrained: str | None = "auto"
    device: str = "auto"
    seed: int = 0
    wait_quiet_s: float = 60.0

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("batch", 1), ("population", 8), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidArgumentError(f"{name} is {value!r}; it must be an integer of at least {least}")
        if self.minutes is not None and not self.minutes > 0:
            raise InvalidArgumentError(f"minutes is {self.minutes!r}; it must be above 0, or None")
        if self.race is not None and not self.race >= 1:
            raise InvalidArgumentError(f"race is {self.race!r}; it must be at least 1, or None")
        if not 0 <= self.remeasure <= 1:
            raise InvalidArgumentError(f"remeasure is {self.remeasure!r}; it must be between 0 and 1")
        if not self.wait_quiet_s >= 0:
            raise InvalidArgumentError(f"wait_quiet_s is {self.wait_quiet_s!r}; it must be at least 0 seconds")


@dataclass(frozen=True)
class PoolResult:
    """A pool as it is at the end.

    Attributes:
        label: the workload.
        path: the pool's file.
        records: all of them, those of earlier runs included.
        added: those of this run.
        failed: how many of all the records are failures.
        best_s, slowest_s: latencies in seconds; None where nothing ran.
        noise: of the schedules measured twice; None where there are none.
        noisy: records measured while the machine was not quiet.
        exhausted: whether no further schedule was found.
    """

    label: str
    path: Path
    records: int
    added: int
    failed: int
    best_s: float | None
    slowest_s: float | None
    noise: Noise | None
    noisy: int
    exhausted: bool = False


@dataclass(frozen=True)
class CollectResult:
    """The pools, in the order of the workloads; those that were not reached are not among them.

    Attributes:
        interrupted: stopped by Ctrl-C.
        out_of_time: stopped by `CollectOptions.minutes`.
        left_out: the labels of workloads that TVM cannot schedule.
    """

    pools: tuple[PoolResult, ...]
    interrupted: bool = False
    out_of_time: bool = False
    left_out: tuple[str, ...] = ()
