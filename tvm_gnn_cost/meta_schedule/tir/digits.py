"""What part of an axis each loop runs over: TIR's index expressions as sums of digits of the loops.

A block's `iter_values` are sums of `loop // d % m * s`. Such a term is a digit: the loop counts in a mixed number
system, and the axis moves by `s` with one of the places. Sums of loops are divided again (a fused loop that was split
for threads and vectors); where a division falls between places, the digits stay whole numbers. Where it does not, as in
a row of 18 elements that vectors of 4 copy, no sum of digits is equal: then there is an estimate, which says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor


@dataclass(frozen=True)
class Digit:
    """`scale * (source // divisor % extent)`; `source` is a loop, or an axis of a block, by number."""

    source: int
    divisor: int
    extent: int
    scale: int


@dataclass(frozen=True)
class Index:
    """`sum(digits) + constant`; where `exact` is False, that is an estimate of where it moves."""

    digits: tuple[Digit, ...] = ()
    constant: int = 0
    exact: bool = True

    @staticmethod
    def of(source: int, extent: int) -> Index:
        """A loop, or an axis, as a whole."""
        return Index((Digit(source, 1, extent, 1),) if extent > 1 else ())

    @property
    def span(self) -> int:
        """How many values lie between the least and the greatest, both included."""
        return 1 + sum((digit.extent - 1) * abs(digit.scale) for digit in self.digits)


UNKNOWN = Index(exact=False)

Limits = Mapping[frozenset[Digit], tuple[int, int]]
"""Sums of digits that a predicate keeps between two bounds, the second excluded."""


def add(a: Index, b: Index, sign: int = 1) -> Index:
    """a + b, or a - b."""
    other = b.digits if sign > 0 else tuple(replace(d, scale=-d.scale) for d in b.digits)
    return Index(_joined((*a.digits, *other)), a.constant + sign * b.constant, a.exact and b.exact)


def scaled(a: Index, factor: int) -> Index:
    """a * factor."""
    digits = tuple(replace(d, scale=d.scale * factor) for d in a.digits) if factor else ()
    return Index(digits, a.constant * factor, a.exact)


def divided(a: Index, by: int, limits: Limits) -> Index:
    """a // by, of numbers that are not negative."""
    if by <= 0:
        return UNKNOWN
    high, _, exact = _split(a, by)
    total = min(a.span, limits.get(frozenset(a.digits), (0, a.span))[1])
    return _fitted(Index(high, a.constant // by, exact), -(-total // by))


def remainder(a: Index, by: int, limits: Limits) -> Index:
    """a % by, of numbers that are not negative."""
    if by <= 0:
        return UNKNOWN
    _, low, exact = _split(a, by)
    total = min(a.span, limits.get(frozenset(a.digits), (0, a.span))[1])
    return _fitted(Index(low, a.constant % by, exact), min(by, total))


def _fitted(a: Index, values: int) -> Index:
    """What is left of it where it has at most so many values. An estimate gets as many as it should have: the outermost
    loop that it has a digit of makes up the difference."""
    index = capped(a, values)
    if a.exact or not index.digits or any(digit.scale < 0 for digit in index.digits):
        return index
    outermost = max(index.digits, key=lambda digit: digit.scale)
    others = [digit for digit in index.digits if digit is not outermost]
    rest = values - Index(tuple(others)).span
    if rest < 0:
        return index
    steps, left = divmod(rest, outermost.scale)
    digits = [replace(outermost, extent=steps + 1), *others] if steps else others
    if left:
        beyond = outermost.divisor * outermost.extent
        digits.append(Digit(outermost.source, beyond, left + 1, 1))
    return replace(index, digits=tuple(digits))


def capped(a: Index, values: int) -> Index:
    """What a predicate or the size of the axis leaves of it: at most so many values. The outermost digits give way.

    It may still span more: tiles that overlap reach over the edge, and the last one is cut off there.
    """
    if a.span <= values or any(digit.scale < 0 for digit in a.digits):
        return a
    outermost_first = sorted(a.digits, key=lambda digit: -digit.scale)
    for number, digit in enumerate(outermost_first):
        extent = min(digit.extent, -(-values // digit.scale))
        if extent > 1:
            rest = outermost_first[number + 1 :]
            return replace(a, digits=(replace(digit, extent=extent), *rest))
    return replace(a, digits=())


def _split(a: Index, by: int) -> tuple[tuple[Digit, ...], tuple[Digit, ...], bool]:
    """The digits of a // by, those of a % by, and whether they are exact."""
    high: list[Digit] = []
    low: list[Digit] = []
    exact = a.exact
    for digit in a.digits:
        scale, extent = digit.scale, digit.extent
        if scale < 0:
            exact = False
            scale = -scale
        if scale >= by:
            exact = exact and scale % by == 0
            high.append(replace(digit, scale=max(1, floor(scale / by + 0.5))))
        elif scale * extent <= by:
            low.append(digit)
        else:
            places = -(-by // scale)
            whole = by % scale == 0 and (extent % places == 0 or extent <= places)
            exact = exact and whole
            low.append(replace(digit, extent=min(extent, places)))
            outer = -(-extent // places)
            if outer > 1:
                high.append(Digit(digit.source, digit.divisor * places, outer, 1))
    if Index(tuple(low)).span - 1 + a.constant % by >= by:  # a carry
        exact = False
    return _joined(high), _joined(low), exact


def _joined(digits: Iterable[Digit]) -> tuple[Digit, ...]:
    """Digits that are of the same place of the same loop added up."""
    result: dict[tuple[int, int, int], Digit] = {}
    for digit in digits:
        place = digit.source, digit.divisor, digit.extent
        scale = digit.scale + (result[place].scale if place in result else 0)
        result[place] = replace(digit, scale=scale)
    return tuple(digit for digit in result.values() if digit.scale)


def composed(outer: Sequence[Digit], values: Sequence[Index], extents: Sequence[int], limits: Limits) -> Index:
    """What digits of axes are of the loops: `values` are the axes' own indices, `extents` how many values they have."""
    result = Index()
    for digit in outer:
        value = values[digit.source]
        if digit.divisor > 1:
            value = divided(value, digit.divisor, limits)
        if digit.divisor * digit.extent < extents[digit.source]:
            value = remainder(value, digit.extent, limits)
        result = add(result, scaled(value, digit.scale))
    return result
