"""The axes of a block's stage: the dimensions of the buffer that it writes, then what it reduces over.

The stage graph counts a stage's axes by its buffer's dimensions; TIR's blocks count their own variables, in any order,
several to a dimension (a packed layout that is written out) or one over several (a layout that is packed). So each
dimension is read as digits of the block's variables, and each variable as digits of the dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.loops import Annotation
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.bodies import Body
from tvm_gnn_cost.meta_schedule.tir.digits import Digit, Index
from tvm_gnn_cost.meta_schedule.tir.indices import axis_values, index_of
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround, loop_annotation

_REDUCTION = 2
"""`IterVar.CommReduce`."""


@dataclass(frozen=True)
class Variable:
    """A variable of a block: it has `extent` values, each of them `tile` elements of an intrinsic (1 without one).

    Or of a loop in its body: then `inside` is how that loop runs.
    """

    address: int
    extent: int
    reduces: bool
    tile: int = 1
    inside: Annotation | None = None


@dataclass(frozen=True)
class BlockAxes:
    """How the variables of a block become axes of its stage.

    Attributes:
        variables: those of the block, then those of the loops in its body.
        dimensions: of the buffer, each as digits of the variables.
        extents: of the dimensions.
        tiles: of each dimension, the elements that one call of an intrinsic writes.
        reduces: the variables that are reduction axes.
        exact: whether the dimensions are no estimates.
        is_called: an intrinsic runs the block.
    """

    variables: tuple[Variable, ...]
    dimensions: tuple[tuple[Digit, ...], ...]
    extents: tuple[int, ...]
    tiles: tuple[int, ...]
    reduces: tuple[int, ...]
    exact: bool
    is_called: bool = False

    @property
    def reduce_extents(self) -> tuple[int, ...]:
        """In elements."""
        return tuple(self.variables[v].extent * self.variables[v].tile for v in self.reduces)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the axes, the reductions last."""
        return tuple(f"a{axis}" for axis in range(len(self.extents) + len(self.reduces)))

    def nodes(self) -> dict[int, Node]:
        """What each variable is of the axes, by its address; of a tiled one, elements divided by the tile."""
        return {variable.address: self._node(v) for v, variable in enumerate(self.variables)}

    def _node(self, v: int) -> Node:
        variable = self.variables[v]
        if v in self.reduces:
            axis = Node("Var", self.names[len(self.extents) + self.reduces.index(v)])
            return _times(axis, 1.0 / variable.tile)
        terms = []
        for d, digits in enumerate(self.dimensions):
            axis = Node("Var", self.names[d])
            for digit in digits:
                if digit.source != v:
                    continue
                if len(digits) == 1 and digit.divisor == 1:
                    terms.append(_times(axis, 1.0 / digit.scale))
                else:
                    terms.append(_times(_place(axis, digit, self.extents[d]), float(digit.divisor)))
        node = terms[0] if terms else Node("Const", 0.0)
        for term in terms[1:]:
            node = Node("Add", None, (node, term))
        return node


def _times(node: Node, factor: float) -> Node:
    return node if factor == 1.0 else Node("Mul", None, (node, Node("Const", factor)))


def _place(axis: Node, digit: Digit, extent: int) -> Node:
    """`axis // scale % extent` of the digit."""
    node = axis if digit.scale == 1 else Node("FloorDiv", None, (axis, Node("Const", float(digit.scale))))
    whole = digit.scale * digit.extent >= extent
    return node if whole else Node("FloorMod", None, (node, Node("Const", float(digit.extent))))


def variables_of(around: BlockAround, body: Body, extents: Mapping[int, int]) -> list[Variable]:
    """The variables of a block, then those of the loops in its body; `extents` are those of the block's, by address."""
    found = []
    values: Sequence[Index] = ()
    for number, axis in enumerate(around.block.iter_vars):
        extent = extents[NAMES.address(axis.var)]
        if type(axis.dom.min).__name__ != "IntImm":  # it follows an axis of a block around it
            values = values or axis_values(around, extents)[0]
            extent = values[number].span
        found.append(Variable(NAMES.address(axis.var), extent, int(axis.iter_type) == _REDUCTION))
    for loop in body.loops:
        inside = loop_annotation(loop)
        found.append(Variable(NAMES.address(loop.loop_var), int(loop.extent.value), False, inside=inside))
    return found


def plain_axes(variables: Sequence[Variable], indices: Sequence[Any], buffer: Any) -> BlockAxes:
    """The axes of a block that stores an element at a time, at `indices` of `buffer`."""
    dimensions = dimensions_of(indices, variables)
    return _axes(variables, dimensions, buffer, (1,) * len(indices))


def tiled_axes(block: Any, variables: Sequence[Variable], region: Any) -> BlockAxes:
    """The axes of a block that an intrinsic runs: `region` is what it writes at once; what it reads tells how large the
    tiles of the variables are."""
    least = [part.min for part in region.region]
    tiles = [_number(part.extent, f"what block {block.name_hint} writes") for part in region.region]
    sizes = _tiles_of_variables(variables, [region, *block.reads])
    variables = [replace(v, tile=size) for v, size in zip(variables, sizes, strict=True)]
    axes = _axes(variables, dimensions_of(least, variables), NAMES.region_buffer(region), tuple(tiles))
    return replace(axes, is_called=True)


def _axes(variables: Sequence[Variable], dimensions: Sequence[Index], buffer: Any, tiles: tuple[int, ...]) -> BlockAxes:
    used = {digit.source for index in dimensions for digit in index.digits}
    extents = tuple(_number(size, f"the shape of {buffer.name}") for size in NAMES.shape(buffer))
    reduces = tuple(v for v, variable in enumerate(variables) if v not in used and _counts(variable))
    exact = all(index.exact for index in dimensions)
    return BlockAxes(tuple(variables), tuple(i.digits for i in dimensions), extents, tiles, reduces, exact)


def _counts(variable: Variable) -> bool:
    """Whether a variable that no dimension moves with is an axis of its own: a reduction, or what repeats the block."""
    return variable.reduces or variable.extent * variable.tile > 1


def dimensions_of(indices: Sequence[Any], variables: Sequence[Variable]) -> list[Index]:
    """Index expressions as digits of variables."""
    values = {variable.address: Index.of(v, variable.extent) for v, variable in enumerate(variables)}
    return [index_of(index, values, {}) for index in indices]


def _tiles_of_variables(variables: Sequence[Variable], regions: Sequence[Any]) -> list[int]:
    """A variable that moves a region by as many elements as the region has runs over tiles of this size."""
    sizes = [1] * len(variables)
    for region in regions:
        for part, index in zip(
            region.region, dimensions_of([part.min for part in region.region], variables), strict=True
        ):
            extent = int(getattr(part.extent, "value", 1))
            for digit in index.digits:
                if extent > 1 and digit.scale == extent and digit.divisor == 1:
                    sizes[digit.source] = max(sizes[digit.source], extent)
    return sizes


def _number(value: Any, what: str) -> int:
    if type(value).__name__ != "IntImm":
        raise ValueError(f"{what} is {value}, which is no number: dynamic shapes are not scheduled")
    return int(value.value)
