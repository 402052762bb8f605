"""Blocks as stages: what each computes, which write one buffer, and where what they read comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tvm_gnn_cost.graphs.computation import Computation, analyse
from tvm_gnn_cost.graphs.dtypes import element_bytes, is_float
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.operation import NO_OPERATIONS, Operation, TensorKey, count_operations, operation_keys
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.block_axes import BlockAxes, Variable, plain_axes, tiled_axes, variables_of
from tvm_gnn_cost.meta_schedule.tir.bodies import Body, BodyReader, read_body
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround, Program

Counts = tuple[float, ...]
Origins = Mapping[str, Counts]
"""What an element of each block of the unscheduled module costs, by its name: for bodies that are calls."""

_SUFFIX = re.compile(r"(_o)?(_init|_update)?$")
_CACHE = re.compile(r"([._](global|shared|local|wmma|m16n8k8|warp)([._]\w+)?)+$")
_WRITE_CACHE = re.compile(r"_global$")
_RFACTOR = re.compile(r"_rf$")


@dataclass(frozen=True)
class BlockStage:
    """The stage that a block is: `block` counts those of the program, `init` the one of its initial values, if that is
    a block of its own; `storage_offset` is what `buffer_dim_align` adds to a row, in elements."""

    block: int
    init: int | None
    axes: BlockAxes
    storage_offset: int


class Lookup(NamedTuple):
    """A buffer that a block reads, the stage that made it, and which of that stage's outputs it is."""

    buffer: Any
    stage: int
    output: int


@dataclass(frozen=True)
class Stages:
    """What the blocks of a program compute, whatever their loops are: placeholders first, then `blocks`, in order.

    Attributes:
        buffers: of the program that was read, which the stages make; another that computes the same has its own.
        lookups: of each block of it, what that reads, in the order in which the walk meets it.
    """

    computation: Computation
    operations: tuple[Operation, ...]
    buffers: tuple[Any, ...]
    blocks: tuple[BlockStage, ...]
    lookups: tuple[tuple[Lookup, ...], ...]

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The types of the stages' elements, as "float32"."""
        return tuple(NAMES.dtype(buffer) for buffer in self.buffers)

    @property
    def first(self) -> int:
        """The first stage that is a block."""
        return len(self.operations) - len(self.blocks)


def read_stages(program: Program, origins: Origins) -> Stages:
    """Reads what the blocks compute. Raises ValueError for what cannot be read, with the block's name."""
    return _StagesReader(program, origins).read()


def block_costs(program: Program, stages: Stages) -> dict[str, Counts]:
    """What an iteration of each block costs, by its name: `stages` are those of the program."""
    operations = stages.operations[stages.first :]
    return {program.blocks[s.block].name: o.counts for s, o in zip(stages.blocks, operations, strict=True)}


class _StagesReader:
    def __init__(self, program: Program, origins: Origins) -> None:
        self._program, self._origins = program, origins
        self.extents = program.extents
        self._writers: dict[int, TensorKey] = {}  # buffer -> the stage that wrote it last
        self._inputs: dict[int, Any] = {}
        self._input_keys: dict[int, TensorKey] = {}
        self.lookups: list[tuple[Any, TensorKey]] = []  # of the block at hand
        self._own: set[int] = set()  # buffers that only the block at hand knows
        self._written = {NAMES.address(NAMES.region_buffer(w)) for b in program.blocks for w in b.block.writes}

    def read(self) -> Stages:
        blocks = self._program.blocks
        inits = _merged_inits(blocks)
        operations, outputs, stages, lookups = [], [], [], []
        names = operation_keys([stage_name(_written_buffer(b)) for b in blocks])
        for i, around in enumerate(blocks):
            if i in inits.values():
                continue
            init = blocks[inits[i]] if i in inits else None
            self.lookups = []
            operation, axes = _BlockReader(self, around, init, names[i]).read()
            lookups.append(self.lookups)
            operations.append(operation)
            outputs.append(_written_buffer(around))
            stages.append(BlockStage(i, inits.get(i), axes, _storage_offset(around.block)))
        inputs = [_placeholder(buffer, self._input_keys[a]) for a, buffer in self._inputs.items()]
        everything = (*inputs, *operations)
        keys = [*(self._input_keys[a][:2] for a in self._inputs), *(names[stage.block] for stage in stages)]
        computation = analyse(keys, everything, [False] * len(everything))
        position = {key: stage for stage, key in enumerate(keys)}
        found = tuple(
            tuple(Lookup(buffer, position[key[:2]], key[2]) for buffer, key in of_block) for of_block in lookups
        )
        return Stages(computation, everything, (*self._inputs.values(), *outputs), tuple(stages), found)

    def key_of(self, buffer: Any) -> TensorKey | None:
        """What a load of a buffer reads: what was written there last, or what was there before all."""
        key = self._key_of(buffer)
        if key is not None:
            self.lookups.append((buffer, key))
        return key

    def _key_of(self, buffer: Any) -> TensorKey | None:
        address = NAMES.address(buffer)
        if address in self._own:
            return None
        if address not in self._writers and address not in self._input_keys:
            name = f"{buffer.name}.in" if address in self._written else str(buffer.name)
            taken = sum(key[0] == name for key in self._input_keys.values())
            self._inputs[address] = buffer
            self._input_keys[address] = (name, -1 - taken, 0)
        return self._writers.get(address) or self._input_keys[address]

    def count(self, name: str) -> Counts | None:
        """What an element of this block costs, by the unscheduled module."""
        return self._origins.get(_SUFFIX.sub("", name))


class _BlockReader:
    """Reads one block, with the block that gives its initial values, if there is one."""

    def __init__(self, stages: _StagesReader, around: BlockAround, init: BlockAround | None, key: tuple[str, int]):
        self._stages, self._around, self._init, self._key = stages, around, init, key

    def read(self) -> tuple[Operation, BlockAxes]:
        """The operation and its axes. What comes after reads this block's buffers from it."""
        block, stages = self._around.block, self._stages
        body = read_body(block.body)
        outputs = _outputs(block)
        before = [stages._writers.get(NAMES.address(buffer)) for buffer in outputs]
        starts = self._init is not None or block.init is not None
        keys: list[TensorKey] = [(*self._key, number) for number in range(len(outputs))]
        if starts:
            self._write(outputs, keys)
        if body.is_opaque or len(block.match_buffers) or not body.stores:
            axes = tiled_axes(block, self._variables(self._around, body), block.writes[0])
            nodes, counts = self._called(axes)
        else:
            store = _store_of(body, outputs[0])
            axes = plain_axes(self._variables(self._around, body), store.indices, outputs[0])
            nodes = self._stored(body, axes)
            counts = count_operations(nodes)
        init = self._initial(axes, outputs[0])
        if not starts and before[0] is not None and not _reads(nodes, before[0]):
            init = (
                *init,
                Node("Load", before[0], tuple(Node("Var", name) for name in axes.names[: len(axes.extents)])),
            )
        self._write(outputs, keys)
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
        return variables_of(around, body, self._stages.extents)

    def _write(self, outputs: Sequence[Any], keys: Sequence[TensorKey]) -> None:
        for buffer, key in zip(outputs, keys, strict=True):
            self._stages._writers[NAMES.address(buffer)] = key

    def _reader(self, axes: Mapping[int, Node]) -> BodyReader:
        return BodyReader(self._around.name, axes, self._stages.key_of)

    def _stored(self, body: Body, axes: BlockAxes) -> tuple[Node, ...]:
        """What the stores evaluate, and the conditions around them."""
        reader = self._reader(axes.nodes())
        nodes = [reader.under(store.value, lets) for store, lets in body.stores]
        for condition in body.conditions:
            nodes.append(Node("Condition", None, (reader.node(condition),), "select"))
        return tuple(nodes)

    def _called(self, axes: BlockAxes) -> tuple[tuple[Node, ...], Counts]:
        """An intrinsic's body: it reads the regions that the block says, and costs what the unscheduled block did."""
        reader = self._reader(axes.nodes())
        loads = []
        for region in self._around.block.reads:
            key = self._stages.key_of(NAMES.region_buffer(region))
            if key is not None:
                loads.append(Node("Load", key, tuple(_corner(part, reader) for part in region.region)))
        return tuple(loads), self._stages.count(self._around.name) or NO_OPERATIONS

    def _initial(self, axes: BlockAxes, buffer: Any) -> tuple[Node, ...]:
        """What is evaluated once an element, before the reduction."""
        if self._init is not None:
            block = self._init.block
            body = read_body(block.body)
            if body.is_opaque or len(block.match_buffers) or not body.stores:
                return ()
            theirs = plain_axes(self._variables(self._init, body), _store_of(body, buffer).indices, buffer)
            return self._stored_by(body, theirs)
        init = self._around.block.init
        if init is None:
            return ()
        body = read_body(init)
        return self._stored_by(body, axes)

    def _stored_by(self, body: Body, axes: BlockAxes) -> tuple[Node, ...]:
        reader = self._reader(axes.nodes())
        return tuple(reader.under(store.value, lets) for store, lets in body.stores)


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


def _outputs(block: Any) -> list[Any]:
    """The buffers that a block writes, each once. Raises ValueError if there are none."""
    found = {NAMES.address(buffer): buffer for buffer in map(NAMES.region_buffer, block.writes)}
    if not found:
        raise ValueError(f"block {block.name_hint} writes nothing that it names")
    return list(found.values())


def _written_buffer(around: BlockAround) -> Any:
    return _outputs(around.block)[0]


def _merged_inits(blocks: Sequence[BlockAround]) -> dict[int, int]:
    """The blocks that reduce (by position) with the ones that give their initial values, split off them: those wrote
    the same buffer last, reduce over nothing, and nobody has read it since."""
    inits: dict[int, int] = {}
    writer: dict[int, int] = {}
    for i, around in enumerate(blocks):
        block = around.block
        written = {NAMES.address(NAMES.region_buffer(region)) for region in block.writes}
        read = {NAMES.address(NAMES.region_buffer(region)) for region in block.reads}
        reduces = any(int(axis.iter_type) == 2 for axis in block.iter_vars)
        for address in written:
            before = writer.get(address)
            if reduces and block.init is None and before is not None and before not in inits.values():
                inits[i] = before
        for address in read - written:
            writer.pop(address, None)
        for address in written:
            writer.pop(address, None)
            if not reduces:
                writer[address] = i
    return inits


def _storage_offset(block: Any) -> int:
    for key, value in block.annotations.items():
        if str(key) == "buffer_dim_align":
            return max((int(entry[3]) for entry in value), default=0)
    return 0


def _placeholder(buffer: Any, key: TensorKey) -> Operation:
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


def stage_name(buffer: Any) -> str:
    """The name of the stage that writes a buffer, as `graphs` has them: "C.local", "A.shared", "C.rf".

    The cache of a tile that MetaSchedule writes in plain memory ("C_global") is what Ansor calls local.
    """
    name, scope = str(buffer.name), NAMES.scope(buffer)
    if scope in ("", "global") and not _WRITE_CACHE.search(name):
        return _RFACTOR.sub(".rf", name)
    base = _RFACTOR.sub(".rf", _CACHE.sub("", name))
    return f"{base}.{'shared' if scope.startswith('shared') else 'local'}"
