"""How much measurements can be trusted: the machine's quietness before a batch, and schedules measured twice."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

OTHERS_LIMIT = 0.15  # cores
STEAL_LIMIT = 0.02
SPREAD_LIMIT = 0.25
_LISTEN_S = 0.5
_LOOPS = 40


@dataclass(frozen=True)
class Noise:
    """What measuring schedules a second time showed; a schedule's latency is the minimum of its readings.

    Attributes:
        schedules: how many were measured twice.
        median: the median of the relative differences between the two latencies, |a - b| / min(a, b).
        p90: their 90th percentile.
        agreement: the share of pairs of schedules that both measurements order alike; nan for fewer than two
            schedules. No model can be expected to rank better than this.
    """

    schedules: int
    median: float
    p90: float
    agreement: float


def remeasured_pairs(remeasured: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Latencies of the schedules measured twice, float64 (k, 2) in seconds, from a pool's description.

    Schedules that failed the second time are left out.
    """
    pairs = [(min(p["first_s"]), min(p["second_s"])) for p in remeasured if p["second_s"]]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def noise_of(first: ArrayLike, second: ArrayLike) -> Noise:
    """The noise of n schedules' latencies, in seconds, in a first and a second measurement."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if not len(a):
        return Noise(0, math.nan, math.nan, math.nan)
    difference = np.abs(a - b) / np.minimum(a, b)
    i, j = np.triu_indices(len(a), k=1)
    alike = np.sign(a[i] - a[j]) == np.sign(b[i] - b[j])
    agreement = float(alike.mean()) if len(alike) else math.nan
    return Noise(len(a), float(np.median(difference)), float(np.quantile(difference, 0.9)), agreement)


@dataclass(frozen=True)
class Quietness:
    """What the machine was busy with while this program was not.

    Attributes:
        others: cores that other programs kept busy; None where the system does not tell.
        steal: the share of the time that the hypervisor gave to others; None where the system does not tell.
        spread: by how much the 90th percentile of a short loop's times exceeds their minimum, as a share of it.
        waited_s: how long the check waited for the machine to become quiet.
    """

    others: float | None
    steal: float | None
    spread: float
    waited_s: float = 0.0

    @property
    def is_quiet(self) -> bool:
        return not self.problems()

    def problems(self) -> list[str]:
        """What disturbs measurements, in words; empty on a quiet machine."""
        found = []
        if self.others is not None and self.others > OTHERS_LIMIT:
            found.append(f"other programs keep {self.others:.1f} cores busy")
        if self.steal is not None and self.steal > STEAL_LIMIT:
            found.append(f"the hypervisor takes {self.steal:.0%} of the time")
        if self.spread > SPREAD_LIMIT:
            found.append(f"a loop that should always take the same time varies by {self.spread:.0%}")
        return found


def check_quiet() -> Quietness:
    """Listens for half a second, in which this program must do nothing else, then times a short loop."""
    before = _cpu_times()
    time.sleep(_LISTEN_S)
    after = _cpu_times()
    others = steal = None
    if before is not None and after is not None:
        busy, stolen, total = (b - a for a, b in zip(before, after, strict=True))
        if total > 0:
            cores = total / (_LISTEN_S * os.sysconf("SC_CLK_TCK"))
            others, steal = busy / total * cores, stolen / total
    times = []
    for _ in range(_LOOPS):
        start = time.perf_counter()
        sum(range(40_000))
        times.append(time.perf_counter() - start)
    spread = float(np.quantile(times, 0.9)) / min(times) - 1
    return Quietness(others, steal, spread)


def wait_until_quiet(limit_s: float, check: Callable[[], Quietness] = check_quiet) -> Quietness:
    """Checks until the machine is quiet or `limit_s` seconds have passed; the last check."""
    start = time.monotonic()
    while True:
        found = check()
        waited = time.monotonic() - start
        if found.is_quiet or waited >= limit_s:
            return Quietness(found.others, found.steal, found.spread, round(waited, 1))
        time.sleep(min(2.0, max(0.0, limit_s - waited)))


def _cpu_times() -> tuple[int, int, int] | None:
    """Clock ticks (busy, stolen, all) summed over the cores that this process may use; None but on Linux."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        allowed = {f"cpu{i}" for i in os.sched_getaffinity(0)}
        rows = [[int(field) for field in line.split()[1:9]] for line in lines if line.split(" ")[0] in allowed]
    except (OSError, ValueError, AttributeError):
        return None
    if not rows or any(len(row) < 8 for row in rows):
        return None
    user, nice, system, idle, wait, irq, soft, steal = (sum(column) for column in zip(*rows, strict=True))
    return user + nice + system + irq + soft, steal, user + nice + system + idle + wait + irq + soft + steal
