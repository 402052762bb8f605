"""Blocks as stages: what a program computes, whatever its loops are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tvm_gnn_cost.graphs.computation import Computation, analyse
from tvm_gnn_cost.graphs.operation import Operation, operation_keys
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.block_axes import BlockAxes
from tvm_gnn_cost.meta_schedule.tir.buffers import Buffers, merged_inits, stage_name, written_buffers
from tvm_gnn_cost.meta_schedule.tir.operations import BlockReader, Counts, Origins, placeholder
from tvm_gnn_cost.meta_schedule.tir.program import Program


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
    blocks = program.blocks
    inits = merged_inits(blocks)
    buffers = Buffers(blocks)
    outputs = [written_buffers(around.block)[0] for around in blocks]
    names = operation_keys([stage_name(buffer) for buffer in outputs])
    operations, stages, looked_up = [], [], []
    for i, around in enumerate(blocks):
        if i in inits.values():
            continue
        init = blocks[inits[i]] if i in inits else None
        buffers.lookups = []
        operation, axes = BlockReader(around, init, names[i], buffers, program.extents, origins).read()
        looked_up.append(buffers.lookups)
        operations.append(operation)
        stages.append(BlockStage(i, inits.get(i), axes, _storage_offset(around.block)))
    inputs = [placeholder(buffer, buffers.input_keys[address]) for address, buffer in buffers.inputs.items()]
    everything = (*inputs, *operations)
    keys = [*(key[:2] for key in buffers.input_keys.values()), *(names[stage.block] for stage in stages)]
    computation = analyse(keys, everything, [False] * len(everything))
    written = (outputs[stage.block] for stage in stages)
    position = {key: stage for stage, key in enumerate(keys)}
    lookups = tuple(tuple(Lookup(buffer, position[key[:2]], key[2]) for buffer, key in block) for block in looked_up)
    return Stages(computation, everything, (*buffers.inputs.values(), *written), tuple(stages), lookups)


def block_costs(program: Program, stages: Stages) -> dict[str, Counts]:
    """What an iteration of each block costs, by its name: `stages` are those of the program."""
    operations = stages.operations[stages.first :]
    return {program.blocks[s.block].name: o.counts for s, o in zip(stages.blocks, operations, strict=True)}


def _storage_offset(block: Any) -> int:
    for key, value in block.annotations.items():
        if str(key) == "buffer_dim_align":
            return max((int(entry[3]) for entry in value), default=0)
    return 0
