"""The buffers of a program: what the stages that write them are called, and who wrote what is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.graphs.operation import TensorKey
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.tir.bodies import read_body
from tvm_gnn_cost.meta_schedule.tir.program import BlockAround

_CACHE = re.compile(r"([._](global|shared|local|wmma|m16n8k8|warp)([._]\w+)?)+$")
_WRITE_CACHE = re.compile(r"_global$")
_RFACTOR = re.compile(r"_rf$")


def stage_name(buffer: Any) -> str:
    """The name of the stage that writes a buffer, as `graphs` has them: "C.local", "A.shared", "C.rf".

    The cache of a tile that MetaSchedule writes in plain memory ("C_global") is what Ansor calls local.
    """
    name, scope = str(buffer.name), NAMES.scope(buffer)
    if scope in ("", "global") and not _WRITE_CACHE.search(name):
        return _RFACTOR.sub(".rf", name)
    base = _RFACTOR.sub(".rf", _CACHE.sub("", name))
    return f"{base}.{'shared' if scope.startswith('shared') else 'local'}"


def written_buffers(block: Any) -> list[Any]:
    """The buffers that a block writes, each once: those that it names, or else those that it stores to.

    Raises ValueError if there are none.
    """
    found = {NAMES.address(buffer): buffer for buffer in map(NAMES.region_buffer, block.writes)}
    if not found:
        own = {NAMES.address(buffer) for buffer in block.alloc_buffers}
        stored = [store.buffer for store, _ in read_body(block.body).stores]
        found = {a: buffer for a, buffer in ((NAMES.address(b), b) for b in stored) if a not in own}
    if not found:
        raise ValueError(f"block {block.name_hint} writes nothing that it names")
    return list(found.values())


class Buffers:
    """Who wrote each buffer of a program last, while its blocks are read one by one.

    Attributes:
        inputs: the buffers that are read before any block writes them, by address.
        input_keys: their names, in the loads.
        lookups: what the block at hand read, with the keys of what made it.
    """

    def __init__(self, blocks: Sequence[BlockAround]) -> None:
        self.inputs: dict[int, Any] = {}
        self.input_keys: dict[int, TensorKey] = {}
        self.lookups: list[tuple[Any, TensorKey]] = []
        self._writers: dict[int, TensorKey] = {}
        self._written = {NAMES.address(buffer) for around in blocks for buffer in written_buffers(around.block)}

    def key_of(self, buffer: Any) -> TensorKey:
        """What a load of a buffer reads: what was written there last, or what was there before all."""
        address = NAMES.address(buffer)
        if address not in self._writers and address not in self.input_keys:
            name = f"{buffer.name}.in" if address in self._written else str(buffer.name)
            taken = sum(key[0] == name for key in self.input_keys.values())
            self.inputs[address] = buffer
            self.input_keys[address] = (name, -1 - taken, 0)
        key = self._writers.get(address) or self.input_keys[address]
        self.lookups.append((buffer, key))
        return key

    def writer(self, buffer: Any) -> TensorKey | None:
        """The stage that wrote a buffer last; None where none has yet."""
        return self._writers.get(NAMES.address(buffer))

    def write(self, buffers: Sequence[Any], keys: Sequence[TensorKey]) -> None:
        """From here on these buffers hold what the stages of these keys make."""
        for buffer, key in zip(buffers, keys, strict=True):
            self._writers[NAMES.address(buffer)] = key


def merged_inits(blocks: Sequence[BlockAround]) -> dict[int, int]:
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
