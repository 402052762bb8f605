"""What Python has read of a program's blocks, as flat integers: the contract with `native/tir/stages.h`.

    number of blocks that are stages; for each, in the order of the stages:
        its position in the program, storage_offset, exact, number of variables, of dimensions, of reductions
        for each variable:  extent, tile, how the loop in the body runs (-1: it is a variable of the block)
        for each dimension: extent, tile, number of digits; for each digit: source, divisor, extent, scale
        for each reduction: its variable

With it go, as they are told apart by the buffers that they read:

    inputs         uint64 (inputs,)      the address of each buffer that is a placeholder
    lookup_counts  int64  (blocks,)      how often each block looks up what made a buffer
    looked_up      uint64 (lookups,)     the addresses of the buffers, in the order in which the walk meets them
    found          int64  (lookups, 2)   the stage that made each, and which of its outputs it is
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.stages import BlockStage, Stages


def encode_program(stages: Stages) -> dict[str, NDArray[Any]]:
    """The blocks of a program, with the addresses of the buffers that connect them, by the name that the native code
    gives the arrays; see the top of this file."""
    lookups = [lookup for of_block in stages.lookups for lookup in of_block]
    return {
        "blocks": encode_blocks(stages),
        "inputs": np.array([NAMES.address(buffer) for buffer in stages.buffers[: stages.first]], np.uint64),
        "lookup_counts": np.array([len(of_block) for of_block in stages.lookups], np.int64),
        "looked_up": np.array([NAMES.address(lookup.buffer) for lookup in lookups], np.uint64),
        "found": np.array([n for lookup in lookups for n in (lookup.stage, lookup.output)], np.int64),
    }


def encode_blocks(stages: Stages) -> NDArray[np.int64]:
    """The blocks of a program as the extension takes them; see the top of this file. Raises OverflowError for numbers
    that 64 bits do not hold."""
    flat = [len(stages.blocks)]
    for stage in stages.blocks:
        flat += _encode(stage)
    return np.array(flat, np.int64)


def _encode(stage: BlockStage) -> list[int]:
    axes = stage.axes
    flat = [stage.block, stage.storage_offset, axes.exact, len(axes.variables), len(axes.dimensions), len(axes.reduces)]
    for variable in axes.variables:
        flat += (variable.extent, variable.tile, -1 if variable.inside is None else variable.inside)
    for digits, extent, tile in zip(axes.dimensions, axes.extents, axes.tiles, strict=True):
        flat += (extent, tile, len(digits))
        for digit in digits:
            flat += (digit.source, digit.divisor, digit.extent, digit.scale)
    flat += axes.reduces
    return flat
