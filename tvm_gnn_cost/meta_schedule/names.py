"""Names of TIR's classes and attributes in the installed TVM: they changed in every release from 0.25 to 0.27.

This is the one gate: no other file asks for a version. What is not in the table is the same everywhere: `For`,
`SeqStmt`, `IfThenElse`, `BufferStore`, the expressions' own names (their modules moved, their classes did not).

|                  | 0.19              | 0.25                | 0.26                | 0.27                |
| ---------------- | ----------------- | ------------------- | ------------------- | ------------------- |
| TIR              | `tvm.tir`         | `tvm.tirx`          | `tvm.tirx`          | `tvm.tirx`          |
| block            | `Block`           | `SBlock`            | `SBlock`            | `SBlock`            |
| load             | `BufferLoad.buffer` | `BufferLoad.buffer` | `BufferLoad.buffer` | `TensorLoad.source` |
| region           | `.buffer`         | `.buffer`           | `.buffer`           | `.source`           |
| buffer           | `Buffer`          | `Buffer`            | a `Var`, `.ty`      | a `Var`, `.ty`      |
| type             | `.dtype`          | `.dtype`            | `.ty.dtype`         | `.ty.dtype`         |
| parameters       | `buffer_map`      | `buffer_map`        | are the buffers     | are the buffers     |
| structural hash  | `tvm.ir`          | `tvm_ffi`           | `tvm_ffi`           | `tvm_ffi`           |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tvm_gnn_cost.errors import TVMNotAvailableError
from tvm_gnn_cost.system.find_tvm import require_tvm


@dataclass(frozen=True)
class Release:
    """What one release calls things.

    Attributes:
        tir: the module of TIR's classes.
        block, load: the classes' names; a block is realised by one called after it.
        load_buffer, region_buffer: the attributes that hold the buffer of a load, and of a region of one.
        typed_buffers: whether a buffer is a variable whose type has its shape, and a parameter of a function.
        hash_module: where `structural_hash` is.
        transforms: the module of the passes for scheduled programs.
    """

    tir: str
    block: str
    load: str
    load_buffer: str
    region_buffer: str
    typed_buffers: bool
    hash_module: str
    transforms: str


RELEASES: Mapping[str, Release] = {
    "0.19": Release("tvm.tir", "Block", "BufferLoad", "buffer", "buffer", False, "tvm.ir", "tvm.tir.transform"),
    "0.25": Release("tvm.tirx", "SBlock", "BufferLoad", "buffer", "buffer", False, "tvm_ffi", "tvm.s_tir.transform"),
    "0.26": Release("tvm.tirx", "SBlock", "BufferLoad", "buffer", "buffer", True, "tvm_ffi", "tvm.s_tir.transform"),
    "0.27": Release("tvm.tirx", "SBlock", "TensorLoad", "source", "source", True, "tvm_ffi", "tvm.s_tir.transform"),
}


def release_of(version: str) -> Release:
    """The names in a release. Raises TVMNotAvailableError, which names those that work, for one that is not known."""
    known = RELEASES.get(".".join(version.split(".")[:2]))
    if known is None:
        works = ", ".join(RELEASES)
        raise TVMNotAvailableError(
            f"the programs of TVM {version} cannot be read here: its names are not known; TVM {works} work"
        )
    return known


class Names:
    """The names of the installed TVM, and what is asked of its objects through them."""

    def __init__(self, version: str) -> None:
        release = release_of(version)
        self.release = release
        self.tir: Any = import_module(release.tir)
        self.block_realize = f"{release.block}Realize"
        self.load = release.load
        self._has_ffi = release.hash_module == "tvm_ffi"
        self._without_layout_rewrites: Any = import_module(release.transforms).RemoveWeightLayoutRewriteBlock(True)
        self._hash: Any = import_module(release.hash_module).structural_hash

    def loaded(self, load: Any) -> Any:
        """The buffer that a load reads."""
        return getattr(load, self.release.load_buffer)

    def region_buffer(self, region: Any) -> Any:
        """The buffer of an entry of a block's `reads` or `writes`, or of what a matched buffer stands for."""
        return getattr(region, self.release.region_buffer)

    def shape(self, buffer: Any) -> Any:
        """The extents of a buffer, TVM's expressions."""
        return buffer.ty.shape if self.release.typed_buffers else buffer.shape

    def scope(self, buffer: Any) -> str:
        """The storage scope of a buffer: "global", "shared", "shared.dyn", "local", "wmma.accumulator"..."""
        return str(buffer.ty.storage_scope) if self.release.typed_buffers else str(buffer.scope())

    def dtype(self, value: Any) -> str:
        """The element type of a buffer, or the type of an expression, as "float32"."""
        return str(value.ty.dtype) if self.release.typed_buffers else str(value.dtype)

    def parameters(self, function: Any) -> list[Any]:
        """The buffers that a function is given; other parameters are left out."""
        if self.release.typed_buffers:
            return [p for p in function.params if type(p.ty).__name__ == "BufferType"]
        return [function.buffer_map[p] for p in function.params if p in function.buffer_map]

    def address(self, value: Any) -> int:
        """The address of one of TVM's objects: its identity, as long as somebody holds it."""
        if self._has_ffi:
            return int(value.__chandle__())
        handle = value.handle
        return int(getattr(handle, "value", handle) or 0)

    def as_built(self, module: Any) -> Any:
        """A module as MetaSchedule's builders compile it: without the blocks that bring weights into a layout of the
        schedule's own (`RewriteLayout`), since the weights then come in that layout."""
        return self._without_layout_rewrites(module)

    def structural_hash(self, value: Any) -> int:
        """A hash of what is written there: the same in every process; variables from outside count as they come."""
        return int(self._hash(value, map_free_vars=True))


NAMES = Names(str(require_tvm().__version__))
"""Of the TVM that is installed."""
