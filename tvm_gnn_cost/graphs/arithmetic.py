"""Sums and products in one order, so that the native code can give the same to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2


def log2p(x: float) -> float:
    """log2(1 + x): how every size enters a feature."""
    return log2(1.0 + x)


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """The plain sum of products; from Python 3.12 on, `sum` compensates rounding, which the native code does not."""
    result = 0.0
    for x, y in zip(a, b, strict=True):
        result += x * y
    return result


def total(values: Sequence[float]) -> float:
    """The plain sum, as `dot`'s."""
    result = 0.0
    for value in values:
        result += value
    return result


def ratio(a: float, b: float) -> float:
    """a / b; of nothing, which has extents of 0, there is nothing: a."""
    return a / b if b != 0.0 else a


def product(values: Sequence[float]) -> float:
    result = 1.0
    for value in values:
        result *= value
    return result
