"""The neighbours of a schedule: those that differ from it in one choice.

A choice is how a prime factor of a split is placed, how far a stage's loops are unrolled, or which loop a stage is
computed at. TVM's search makes such changes at random; near its end the best schedules are worth trying all of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from tvm_gnn_cost.ansor.schedules.fitting import MOST_INNERMOST, Steps

_UNROLL = "auto_unroll_max_step$"
_UNROLLED_CPU, _UNROLLED_GPU = (0, 16, 64, 512), (0, 16, 64, 512, 1024)
"""Statements up to which TVM's search unrolls (`auto_unroll_configs_cpu` and `_gpu`)."""


def neighbours(steps: Sequence[Sequence[Any]], *, is_gpu: bool) -> Iterator[Steps]:
    """The steps of each neighbour, as a record's JSON has them; none twice. Not all of them fit."""
    seen = {json.dumps(steps)}
    for number, step in enumerate(steps):
        for changed in _changes(step, is_gpu):
            neighbour: Steps = deepcopy([list(one) for one in steps])
            neighbour[number] = changed
            text = json.dumps(neighbour)
            if text not in seen:
                seen.add(text)
                yield neighbour


def _changes(step: Sequence[Any], is_gpu: bool) -> Iterator[list[Any]]:
    """The other forms of one step."""
    code = step[0]
    if code == "SP":
        _, stage, loop, extent, lengths, inner_to_outer = step
        for others in _moved_factors(extent, lengths, bool(inner_to_outer)):
            yield [code, stage, loop, extent, others, inner_to_outer]
    elif code == "PR" and str(step[3]).startswith(_UNROLL):
        for most in _UNROLLED_GPU if is_gpu else _UNROLLED_CPU:
            yield [*step[:3], f"{_UNROLL}{most}"]
    elif code == "CA":
        for loop in (step[3] - 1, step[3] + 1):
            if loop >= 0:
                yield [*step[:3], loop]


def _moved_factors(extent: int, lengths: Sequence[int], inner_to_outer: bool) -> Iterator[list[int]]:
    """The lengths with one prime factor of one part in another; the part that they leave over is one of the parts."""
    total = math.prod(lengths)
    if not total or extent % total:
        return
    rest = [extent // total]
    parts = [*rest, *lengths] if inner_to_outer else [*lengths, *rest]
    innermost = len(parts) - 1
    for source, size in enumerate(parts):
        for prime in _prime_factors(size):
            for target in range(len(parts)):
                if target == source or (target == innermost and parts[target] * prime > MOST_INNERMOST):
                    continue
                moved = list(parts)
                moved[source] //= prime
                moved[target] *= prime
                yield moved[1:] if inner_to_outer else moved[:-1]


def _prime_factors(number: int) -> list[int]:
    """Each once."""
    found = []
    factor = 2
    while factor * factor <= number:
        if number % factor == 0:
            found.append(factor)
            while number % factor == 0:
                number //= factor
        factor += 1
    return [*found, number] if number > 1 else found
