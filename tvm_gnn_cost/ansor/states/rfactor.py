"""Operations made by rfactor with a factor that was never read, from others that were.

A task's schedules come with hundreds of rfactor factors, and reading the operations of one costs TVM milliseconds. Two
of them differ in numbers alone (extents, strides), each a constant times a power of the factor: what a pair of them
tells is believed once it gives a third one exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.operation import Operation

_MOST_READ = 8
"""Operations of a family that are read before it is given up."""


class RfactorFamily:
    """The operations of one stage made by rfactor, by its factor."""

    def __init__(self) -> None:
        self._read: dict[int, Operation] = {}
        self._pair: tuple[int, int] | None = None

    def add(self, factor: int, operation: Operation) -> None:
        """An operation that was read."""
        if self._pair is not None or len(self._read) >= _MOST_READ:
            return
        self._read[factor] = operation
        for pair in combinations(self._read, 2):
            others = (other for other in self._read.items() if other[0] not in pair)
            if any(self._between(pair, other_factor) == other for other_factor, other in others):
                self._pair = pair
                return

    def get(self, factor: int) -> Operation | None:
        """The operation with this factor, or None if it has to be read."""
        return None if self._pair is None else self._between(self._pair, factor)

    def _between(self, pair: tuple[int, int], factor: int) -> Operation | None:
        a, b = pair
        try:
            return _Interpolation(a, b, factor).operation(self._read[a], self._read[b])
        except _NoPattern:
            return None


class _NoPattern(Exception):
    """The operations differ in more than the factor, or the new one would be of another form."""


class _Interpolation:
    def __init__(self, a: int, b: int, factor: int) -> None:
        self._a, self._b, self._factor = a, b, factor

    def operation(self, x: Operation, y: Operation) -> Operation:
        if replace(x, axis_extents=(), reduce_extents=(), body=()) != replace(
            y, axis_extents=(), reduce_extents=(), body=()
        ):
            raise _NoPattern
        extents = [
            self._extents(p, q) for p, q in ((x.axis_extents, y.axis_extents), (x.reduce_extents, y.reduce_extents))
        ]
        return replace(x, axis_extents=extents[0], reduce_extents=extents[1], body=self._nodes(x.body, y.body))

    def _extents(self, x: Sequence[int], y: Sequence[int]) -> tuple[int, ...]:
        if len(x) != len(y):
            raise _NoPattern
        extents = tuple(int(self._number(p, q)) for p, q in zip(x, y, strict=True))
        # TVM drops loops of extent 1 from the body, which is another form then
        if any(e == 1 and p > 1 for e, p in zip(extents, x, strict=True)):
            raise _NoPattern
        return extents

    def _nodes(self, x: Sequence[Node], y: Sequence[Node]) -> tuple[Node, ...]:
        if len(x) != len(y):
            raise _NoPattern
        return tuple(self._node(p, q) for p, q in zip(x, y, strict=True))

    def _node(self, x: Node, y: Node) -> Node:
        if x == y:
            return x
        if x.kind != y.kind or x.category != y.category:
            raise _NoPattern
        value = x.value
        if value != y.value:
            if x.kind != "Const":
                raise _NoPattern
            value = float(self._number(value, y.value))
        return Node(x.kind, value, self._nodes(x.children, y.children), x.category)

    def _number(self, x: float, y: float) -> float:
        """What stands where a has x and b has y."""
        if x == y:
            return x
        if x * self._b == y * self._a:  # a multiple of the factor
            value, rest = divmod(x * self._factor, self._a)
        elif x * self._a == y * self._b:  # what the factor leaves of an extent
            value, rest = divmod(x * self._a, self._factor)
        else:
            raise _NoPattern
        if rest:
            raise _NoPattern
        return value
