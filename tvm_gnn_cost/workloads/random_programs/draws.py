"""Seeded choices, the same on every machine and Python, and extents that look like those of real programs.

Of `random.Random` only `random()` is used, whose values Python promises to keep.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

_POWERS = (1024, 1069, 1117, 1166, 1218, 1272, 1328, 1387, 1448, 1512, 1579, 1649, 1722, 1798, 1878, 1961)
"""1024 * 2 ** (n / 16)."""

SIXTEENTHS = 16
"""Logarithms of sizes are whole sixteenths of a bit, so that no rounding decides what a seed means."""

_TYPICAL = (
    1,
    3,
    7,
    10,
    12,
    14,
    20,
    28,
    49,
    56,
    77,
    80,
    96,
    100,
    112,
    160,
    196,
    197,
    224,
    300,
    384,
    768,
    1000,
    1500,
    3072,
)
"""Extents met in networks."""


def power(sixteenths: int) -> int:
    """2 to the power of so many sixteenths, rounded; at least 1."""
    whole, part = divmod(max(0, sixteenths), SIXTEENTHS)
    return max(1, ((_POWERS[part] << whole) + 512) >> 10)


def logarithm(value: int) -> int:
    """The base-2 logarithm in sixteenths, rounded down; `value` is at least 1."""
    whole = value.bit_length() - 1
    scaled = (value << 10) >> whole
    return whole * SIXTEENTHS + sum(scaled >= step for step in _POWERS) - 1


class Draws:
    """A stream of choices.

    Args:
        seed: at least 0.
        attempt: another stream of the same seed.
    """

    def __init__(self, seed: int, attempt: int = 0) -> None:
        self._random = random.Random((seed << 8) + attempt)

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""
        return int(self._random.random() * count)

    def between(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.below(100) < percent

    def choose(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def weighted(self, weights: Mapping[T, int]) -> T:
        """One of the keys, as often as its weight says."""
        place = self.below(sum(weights.values()))
        for item, weight in weights.items():
            place -= weight
            if place < 0:
                return item
        raise AssertionError("the weights sum to less than their sum")

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in another order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]

    def subset(self, items: Sequence[T], count: int) -> list[T]:
        """So many of the items, in their order."""
        chosen = set(self.shuffled(range(len(items)))[:count])
        return [item for i, item in enumerate(items) if i in chosen]

    def extent(self, sixteenths: int) -> int:
        """An extent near 2 to that power: a power of two, a rounder or an odder number, or a prime."""
        near = power(sixteenths)
        kind = self.weighted({"power": 34, "round": 22, "typical": 16, "any": 14, "prime": 14})
        if kind == "power":
            return 1 << ((sixteenths + SIXTEENTHS // 2) // SIXTEENTHS)
        if kind == "round":
            step = self.choose((4, 8, 16))
            return near if near < step else near // step * step
        if kind == "typical":
            return min(_TYPICAL, key=lambda extent: abs(logarithm(extent) - sixteenths))
        if kind == "prime":
            while not _is_prime(near):
                near += 1
            return near
        return near

    def shape(self, rank: int, sixteenths: int) -> tuple[int, ...]:
        """Extents whose product is about 2 to that power."""
        parts = [1 + self.below(6) for _ in range(rank)]
        return tuple(self.extent(sixteenths * part // sum(parts)) for part in parts)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))
