"""What one block computes, as an operation of the stage graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tvm_gnn_cost.graphs.dtypes import element_bytes, is_float
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.operation import NO_OPERATIONS, Operation, OperationKey, TensorKey, count_operations
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.block_axes import BlockAxes, Variable, plain_axes, tiled_axes, variables_of
from tvm_gnn_cost.meta_schedule.tir.bodies import Body, BodyReader, read_body
from tvm_gnn_cost.meta_schedule.tir.buffers import Buffers, written_buffers
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround

Counts = tuple[float, ...]
Origins = Mapping[str, Counts]
"""What an iteration of each block of the unscheduled module costs, by its name: for bodies that are calls."""

_SUFFIX = re.compile(r"(_o)?(_init|_update)?$")
"""What schedules add to the name of a block."""


class BlockReader:
    """Reads one block as an operation.

    Args:
        around: the block.
        init: the block that gives its initial values, if there is one.
        key: what names the operation in the loads of others.
        buffers: of the program, as the blocks before left them; what comes after reads this block's from it.
        extents: of the program's variables, by address.
        origins: see `Origins`.
    """

    def __init__(
        self,
        around: BlockAround,
        init: BlockAround | None,
        key: OperationKey,
        buffers: Buffers,
        extents: Mapping[int, int],
        origins: Origins,
    ) -> None:
        self._around, self._init, self._key, self._buffers = around, init, key, buffers
        self._extents, self._origins = extents, origins
        self._own = {NAMES.address(buffer) for buffer in around.block.alloc_buffers}

    def read(self) -> tuple[Operation, BlockAxes]:
        """The operation and its axes."""
        block = self._around.block
        body = read_body(block.body)
        outputs = written_buffers(block)
        before = self._buffers.writer(outputs[0])
        starts = self._init is not None or block.init is not None
        keys: list[TensorKey] = [(*self._key, number) for number in range(len(outputs))]
        if starts:
            self._buffers.write(outputs, keys)
        if _is_called(block, body):
            axes = tiled_axes(block, self._variables(self._around, body), block.writes[0])
            nodes, counts = self._called(axes)
        else:
            store = _store_of(body, outputs[0])
            axes = plain_axes(self._variables(self._around, body), store.indices, outputs[0])
            nodes = self._stored(body, axes)
            counts = count_operations(nodes)
        init = self._initial(axes, outputs[0])
        if not starts and before is not None and not _reads(nodes, before):
            there = tuple(Node("Var", name) for name in axes.names[: len(axes.extents)])
            init = (*init, Node("Load", self._buffers.key_of(outputs[0]), there))
        self._buffers.write(outputs, keys)
        dtypes = [NAMES.dtype(buffer) for buffer in outputs]
        sizes = tuple(element_bytes(dtype) for dtype in dtypes)
        operation = Operation(
            name=self._key[0],
            is_placeholder=False,
            axis_names=axes.names,
            axis_extents=axes.extents,
            reduce_extents=axes.reduce_extents,
            body=nodes,
            element_bytes=sum(sizes),
            is_float=all(is_float(dtype) for dtype in dtypes),
            is_constant=False,
            counts=counts,
            init=init,
            init_counts=count_operations(init),
            output_bytes=sizes if len(sizes) > 1 else (),
        )
        return operation, axes

    def _variables(self, around: BlockAround, body: Body) -> list[Variable]:
        return variables_of(around, body, self._extents)

    def _reader(self, axes: Mapping[int, Node]) -> BodyReader:
        return BodyReader(self._around.name, axes, self._key_of)

    def _key_of(self, buffer: Any) -> TensorKey | None:
        return None if NAMES.address(buffer) in self._own else self._buffers.key_of(buffer)

    def _stored(self, body: Body, axes: BlockAxes) -> tuple[Node, ...]:
        """What the stores evaluate, and the conditions around them."""
        reader = self._reader(axes.nodes())
        conditions = (Node("Condition", None, (reader.node(condition),), "select") for condition in body.conditions)
        return (*reader.stored(body), *conditions)

    def _called(self, axes: BlockAxes) -> tuple[tuple[Node, ...], Counts]:
        """An intrinsic's body: it reads the regions that the block says, and costs what the unscheduled block did."""
        reader = self._reader(axes.nodes())
        loads = []
        for region in self._around.block.reads:
            key = self._key_of(NAMES.region_buffer(region))
            if key is not None:
                loads.append(Node("Load", key, tuple(_corner(part, reader) for part in region.region)))
        return tuple(loads), self._origins.get(_SUFFIX.sub("", self._around.name), NO_OPERATIONS)

    def _initial(self, axes: BlockAxes, buffer: Any) -> tuple[Node, ...]:
        """What is evaluated once an element, before the reduction."""
        if self._init is not None:
            block = self._init.block
            body = read_body(block.body)
            if _is_called(block, body):
                return ()
            theirs = plain_axes(self._variables(self._init, body), _store_of(body, buffer).indices, buffer)
            return self._reader(theirs.nodes()).stored(body)
        init = self._around.block.init
        if init is None:
            return ()
        return self._reader(axes.nodes()).stored(read_body(init))


def _is_called(block: Any, body: Body) -> bool:
    """Whether the body is a call to an intrinsic; one that does not say what it writes is read by its stores."""
    if not len(block.writes):
        return not body.stores
    return body.is_opaque or bool(len(block.match_buffers)) or not body.stores


def _corner(part: Any, reader: BodyReader) -> Node:
    """An index of a region that an intrinsic reads: where it begins; of one that no variable moves, all of it."""
    node = reader.node(part.min)
    extent = int(getattr(part.extent, "value", 1))
    if extent > 1 and node.kind == "Const":
        return Node("Select", None, (Node("Const", 0.0), node, Node("Const", node.value + extent - 1.0)))
    return node


def _reads(nodes: Sequence[Node], key: TensorKey) -> bool:
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node.kind == "Load" and node.value == key:
            return True
        stack.extend(node.children)
    return False


def _store_of(body: Body, buffer: Any) -> Any:
    """The store to a buffer, or the first there is."""
    address = NAMES.address(buffer)
    stores = [store for store, _ in body.stores]
    return next((store for store in stores if NAMES.address(store.buffer) == address), stores[0])


def placeholder(buffer: Any, key: TensorKey) -> Operation:
    """The operation of a buffer that a program is given. Raises ValueError for a shape that is not all numbers."""
    shape = []
    for size in NAMES.shape(buffer):
        if type(size).__name__ != "IntImm":
            raise ValueError(f"the shape of {buffer.name} is no number: dynamic shapes are not scheduled")
        shape.append(int(size.value))
    dtype = NAMES.dtype(buffer)
    return Operation(
        name=key[0],
        is_placeholder=True,
        axis_names=(),
        axis_extents=tuple(shape),
        reduce_extents=(),
        body=(),
        element_bytes=element_bytes(dtype),
        is_float=is_float(dtype),
        is_constant=False,
        counts=NO_OPERATIONS,
    )
