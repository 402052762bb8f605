"""Whether the machine is quiet enough to measure on: what else keeps it busy, and how steady its clock is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil

OTHERS_LIMIT = 0.15  # cores
STEAL_LIMIT = 0.02
SPREAD_LIMIT = 0.25
_LISTEN_S = 0.5
_LOOPS = 40


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
            others, steal = busy / _LISTEN_S, stolen / total
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


def _cpu_times() -> tuple[float, float, float] | None:
    """Seconds (busy, stolen, all) summed over the cores that this process may use; None but on Linux."""
    if not psutil.LINUX:
        return None
    try:
        cores = psutil.cpu_times(percpu=True)
        allowed = psutil.Process().cpu_affinity()
    except (OSError, psutil.Error):
        return None
    if max(allowed) >= len(cores):  # a container that numbers its cores anew
        return None
    used = [cores[core] for core in allowed]
    busy = sum(core.user + core.nice + core.system + core.irq + core.softirq for core in used)
    steal = sum(core.steal for core in used)
    return busy, steal, busy + steal + sum(core.idle + core.iowait for core in used)
