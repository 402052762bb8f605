"""Statistics of an evaluation: means over pools for each seed, and their spread over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Statistic:
    """One number of a method.

    It is the mean over pools for each seed, and of these means the median and the range over seeds.

    Attributes:
        experiment: its name.
        setting: what it is measured on: "64 records learnt", "unseen operator", "32 trials", ...
        metric: what is measured.
        method: its name.
        median, low, high: over seeds.
        pools: that were averaged, the most of any seed.
        seeds: with a value.
        scheduler: whose pools they are, where those of several are tested; "": all that are.
    """

    experiment: str
    setting: str
    metric: str
    method: str
    median: float
    low: float
    high: float
    pools: int
    seeds: int
    scheduler: str = ""


class Samples:
    """Values of single pools, of which an experiment makes statistics."""

    def __init__(self, experiment: str) -> None:
        self._experiment = experiment
        self._values: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = {}

    def add(self, setting: str, metric: str, method: str, seed: int, value: float) -> None:
        """A value of one pool; nan where it has none."""
        by_method = self._values.setdefault((setting, metric), {})
        by_method.setdefault(method, {}).setdefault(seed, []).append(value)

    def statistics(self, methods: Sequence[str]) -> list[Statistic]:
        """Those of each setting and metric in the order in which they were met, then of these methods in their order;
        none where no seed has a value.
        """
        return [
            Statistic(self._experiment, setting, metric, method, *found)
            for (setting, metric), by_method in self._values.items()
            for method in methods
            if (found := spread(by_method.get(method, {}))) is not None
        ]


def spread(by_seed: Mapping[int, Sequence[float]]) -> tuple[float, float, float, int, int] | None:
    """(median, low, high) over seeds of the means of each, the most values of a seed, and the seeds; nan is left out.

    None where no seed has a value.
    """
    known = {seed: [v for v in values if math.isfinite(v)] for seed, values in by_seed.items()}
    means = [statistics.fmean(values) for values in known.values() if values]
    if not means:
        return None
    return statistics.median(means), min(means), max(means), max(map(len, known.values())), len(means)
