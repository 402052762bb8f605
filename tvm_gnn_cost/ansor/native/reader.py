"""The native reader: states read from memory by compiled code, about a thousand times faster than through Python.

`NativeReader.load()` gives it where it may be used, see `trust`.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from tvm_gnn_cost.ansor.native.trust import is_usable
from tvm_gnn_cost.ansor.native.type_keys import REGISTERED_TYPES
from tvm_gnn_cost.ansor.states.reader import state_object
from tvm_gnn_cost.ansor.states.schedule import Loop, Schedule, StageSchedule, Step, StepKind
from tvm_gnn_cost.ansor.states.te_reader import address
from tvm_gnn_cost.graphs.computation import Computation
from tvm_gnn_cost.graphs.graph_writer import GraphWriter
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loops import ComputeAt
from tvm_gnn_cost.graphs.native_writer import native_computation, native_hardware
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.native_extension import import_native

logger = logging.getLogger(__name__)

T = TypeVar("T")


class StageIdentity(NamedTuple):
    """The operation of a stage: what tells the stages that schedules insert (cache, rfactor) from the task's own.

    `axis_extents` is the shape of a placeholder; extents that are not constant are UNKNOWN_EXTENT.
    """

    name: str
    is_placeholder: bool
    axis_extents: tuple[int, ...]
    reduce_extents: tuple[int, ...]


class NativeReader:
    """Reads schedules from memory. Get one from `load`; one that is made directly is unproven.

    Args:
        moved_fields: byte offsets by field of the layout (`_native.LAYOUT_FIELDS`) that differ from TVM 0.19's.
        type_indices: type indices by type key that differ from TVM's. Both serve to try a wrong layout.
    """

    def __init__(
        self, moved_fields: Mapping[str, int] | None = None, type_indices: Mapping[str, int] | None = None
    ) -> None:
        self._native = import_native()
        self._moved_fields = dict(moved_fields or {})
        require_auto_scheduler()
        self._type_indices = {key: _type_index(key) for key in REGISTERED_TYPES} | dict(type_indices or {})

    @classmethod
    def load(cls) -> NativeReader | None:
        """The native reader, or None (and the reason in the log, once) where it cannot or must not be used."""
        return cls() if is_usable() else None

    def read_schedules(self, states: Any, n_threads: int = 0) -> list[Schedule]:
        """The schedule of each state, equal to `reader.read_schedule`'s. Raises RuntimeError for a wrong layout.

        Args:
            states: `State`s, `StateObject`s, or a TVM `Array` of them; bound-inferred.
            n_threads: at most so many threads; 0: one a core.
        """
        return [schedule for schedule, _ in self.read(states, n_threads)]

    def read(self, states: Any, n_threads: int = 0) -> list[tuple[Schedule, tuple[StageIdentity, ...]]]:
        """The schedule of each state and the identity of its stages' operations."""
        flat, ptr, ops = self.call(
            states, lambda address, types: self._native.read_schedules(address, types, n_threads, self._moved_fields)
        )
        identities = [StageIdentity(*op) for op in ops]
        values, bounds = flat.tolist(), ptr.tolist()
        return [_decode(iter(values[begin:end]), identities) for begin, end in pairwise(bounds)]

    def graph_extractor(self, hardware: Hardware) -> Any:
        """A new `_native.GraphExtractor` for tasks on this hardware. Raises RuntimeError if it was built for another
        schema of features."""
        return self._native.GraphExtractor(
            hardware=native_hardware(self._native, hardware), moved_fields=self._moved_fields
        )

    def computation(self, computation: Computation, writer: GraphWriter) -> Any:
        """A computation as the extension has it."""
        return native_computation(self._native, computation, writer)

    def call(self, states: Any, function: Callable[[int, dict[str, int]], T]) -> T:
        """function(address of the states' Array object, type indices), again for each type that is newly met."""
        array = as_array(states)
        while True:
            try:
                return function(address(array), self._type_indices)
            except self._native.UnknownTypeIndexError as error:
                message, index = error.args
                key = _type_key(index)
                if key is None or key not in self._native.TYPE_KEYS or key in self._type_indices:
                    raise RuntimeError(f"{message} (it is {key or 'no type of TVM'})") from error
                self._type_indices = self._type_indices | {key: index}


def as_array(states: Any) -> Any:
    """The states as a TVM Array object; what C++ hands to `predict` is one already."""
    from tvm.ir.container import Array
    from tvm.runtime import convert

    return states if isinstance(states, Array) else convert([state_object(state) for state in states])


def _type_index(key: str) -> int:
    from tvm._ffi.base import _LIB, c_str, check_call

    index = ctypes.c_uint()
    check_call(_LIB.TVMObjectTypeKey2Index(c_str(key), ctypes.byref(index)))
    return index.value


def _type_key(index: int) -> str | None:
    """The key of a type index, or None if TVM has no such type."""
    from tvm._ffi.base import _LIB

    text = ctypes.c_void_p()
    if _LIB.TVMObjectTypeIndex2Key(ctypes.c_uint(index), ctypes.byref(text)) != 0 or not text.value:
        return None
    key = ctypes.string_at(text.value).decode()
    free = ctypes.CDLL(None).free
    free.argtypes, free.restype = [ctypes.c_void_p], None
    free(text)
    return key


def _decode(flat: Iterator[int], ops: Sequence[StageIdentity]) -> tuple[Schedule, tuple[StageIdentity, ...]]:
    """One state from the flat encoding that `_native.read_schedules` documents."""

    def take(count: int) -> list[int]:
        return [next(flat) for _ in range(count)]

    num_stages, num_steps = take(2)
    stages, identities, steps = [], [], []
    for _ in range(num_stages):
        op, compute_at, attach_stage, attach_loop, unroll, offset, num_loops = take(7)
        attach = (attach_stage, attach_loop) if compute_at == ComputeAt.ITER and attach_stage >= 0 else None
        loops = tuple(Loop(*take(3)) for _ in range(num_loops))
        stages.append(StageSchedule(compute_at, attach, unroll, offset, loops))
        identities.append(ops[op])
    for _ in range(num_steps):
        kind, stage_id, index, inner_to_outer, num_values = take(5)
        steps.append(Step(StepKind(kind), stage_id, index, tuple(take(num_values)), bool(inner_to_outer)))
    return Schedule(tuple(stages), tuple(steps)), tuple(identities)
