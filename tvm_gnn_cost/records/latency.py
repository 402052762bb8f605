"""One latency for a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence


def latency(costs: Sequence[float], error_no: int) -> float | None:
    """Seconds of a measurement: the minimum of its repeats, since interference only ever slows a run down.

    inf for a failed measurement; None where a measurement without error has no usable cost.
    """
    if error_no != 0:
        return math.inf
    if not costs or any(not math.isfinite(cost) or cost <= 0.0 for cost in costs):
        return None
    return min(costs)
