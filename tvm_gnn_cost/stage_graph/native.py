"""The native reader: states read from memory by compiled code, about a thousand times faster than through Python.

`NativeReader.load()` gives it where it may be used. It rests on the memory layout of TVM 0.19's objects, so it is used
only after it has shown, in a child process and on this very TVM build, that it reads the same as `reader.read_schedule`
(`native_proof`). A crash, a time-out or a difference there means the Python reader, and a warning in the log.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tvm_gnn_cost import __version__
from tvm_gnn_cost.stage_graph.hardware import Hardware
from tvm_gnn_cost.stage_graph.loops import ComputeAt
from tvm_gnn_cost.stage_graph.reader import state_object
from tvm_gnn_cost.stage_graph.schedule import Loop, Schedule, StageSchedule, Step, StepKind
from tvm_gnn_cost.stage_graph.schema import SCHEMA_VERSION
from tvm_gnn_cost.stage_graph.type_keys import REGISTERED_TYPES
from tvm_gnn_cost.tvm_compat import require_auto_scheduler

logger = logging.getLogger(__name__)

SWITCH = "TVM_GNN_COST_NATIVE"
"""Environment variable: 0 turns the native reader off."""

PROOF_SECONDS = 120.0
"""The child process gets so long; it needs about two seconds on an idle machine."""

KEPT_PROOFS = 32
"""So many installations are remembered as proved."""

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
        self._native = _import_native()
        self._moved_fields = dict(moved_fields or {})
        require_auto_scheduler()
        self._type_indices = {key: _type_index(key) for key in REGISTERED_TYPES} | dict(type_indices or {})

    @classmethod
    def load(cls) -> NativeReader | None:
        """The native reader, or None (and the reason in the log, once) where it cannot or must not be used."""
        return cls() if _is_usable() else None

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
        if self._native.SCHEMA_VERSION != SCHEMA_VERSION:
            raise RuntimeError(
                f"the extension module was built for schema {self._native.SCHEMA_VERSION} of the features, and this is "
                f"schema {SCHEMA_VERSION}: build it again"
            )
        return self._native.GraphExtractor(
            is_gpu=hardware.is_gpu,
            cores=hardware.cores,
            simd_bytes=hardware.simd_bytes,
            cache_line_bytes=hardware.cache_line_bytes,
            warp_size=hardware.warp_size,
            cache_bytes=np.array(hardware.cache_bytes, np.float64),
            register_bytes=hardware.processor.register_bytes,
            max_threads=hardware.processor.max_threads,
            max_blocks=hardware.processor.max_blocks,
            register_file_bytes=hardware.processor.register_file_bytes,
            shared_bytes=hardware.processor.shared_bytes,
            features=hardware.features().astype(np.float32),
            moved_fields=self._moved_fields,
        )

    def call(self, states: Any, function: Callable[[int, dict[str, int]], T]) -> T:
        """function(address of the states' Array object, type indices), again for each type that is newly met."""
        array = as_array(states)
        while True:
            try:
                return function(object_address(array), self._type_indices)
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


def object_address(obj: Any) -> int:
    """Where a TVM object lies in memory."""
    address: int = getattr(obj.handle, "value", obj.handle)
    return address


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


# --- whether it may be used ---


def _import_native() -> ModuleType:
    return importlib.import_module("tvm_gnn_cost._native")


@cache
def _is_usable() -> bool:
    """Decided once a process; the reason for a no is logged."""
    if os.environ.get(SWITCH) == "0":
        logger.info("the native state reader is turned off (%s=0); states are read through Python", SWITCH)
        return False
    reason = _unfit_platform() or _unproven()
    if reason is not None:
        logger.warning(
            "the native state reader is not used: %s; states are read through Python, which is slower", reason
        )
    return reason is None


def _unfit_platform() -> str | None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "AMD64") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return f"it is for 64-bit Linux on x86-64, and this is {sys.platform} on {machine}"
    try:
        _import_native()
    except ImportError as error:
        return f"the extension module was not built or cannot be loaded ({error})"
    return None


def _unproven() -> str | None:
    """Why the reader did not prove itself, or None if it did: now, or earlier in this installation."""
    file, key = _proved_file(), _installation_key()
    proved = _proved_installations(file)
    if key in proved:
        return None
    reason = run_proof()
    if reason is None:  # only success is kept: a passing trouble must not be remembered
        _keep_proved(file, [*proved, key][-KEPT_PROOFS:])
    return reason


def run_proof(arguments: Sequence[str] = ()) -> str | None:
    """Runs `native_proof` in a child process. Returns what was wrong, or None if it read everything as Python did."""
    command = [
        sys.executable,
        "-m",
        "tvm_gnn_cost.stage_graph.native_proof",
        "--libtvm",
        str(libtvm_path()),
        *arguments,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        child = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROOF_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"its proof took more than {PROOF_SECONDS:.0f} s"
    except OSError as error:
        return f"its proof could not be started ({error})"
    if child.returncode == 0:
        return None
    last_line = (child.stderr.strip().splitlines() or ["no message"])[-1]
    if child.returncode < 0:
        return f"its proof was killed by signal {-child.returncode} on this TVM build"
    return f"its proof failed on this TVM build ({last_line})"


def libtvm_path() -> Path:
    """The TVM library that is loaded."""
    require_auto_scheduler()
    from tvm._ffi.base import _LIB

    return Path(_LIB._name).resolve()


def _installation_key() -> str:
    """Changes whenever TVM's library, this extension or this package does (its specification of features as well)."""
    parts: list[Any] = [__version__]
    extension, specification = Path(str(_import_native().__file__)).resolve(), Path(__file__).resolve().parent
    for path in (libtvm_path(), extension, *sorted(specification.glob("*.py"))):
        info = path.stat()
        parts += [str(path), info.st_size, info.st_mtime_ns]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _proved_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tvm-gnn-cost" / "native-proved.json"


def _proved_installations(file: Path) -> list[Any]:
    try:
        keys = json.loads(file.read_text())
    except (OSError, ValueError):
        return []
    return keys if isinstance(keys, list) else []


def _keep_proved(file: Path, keys: list[Any]) -> None:
    """Replaces the file; where it cannot be written the proof simply runs again in the next process."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as temporary:
            json.dump(keys, temporary)
        os.replace(temporary.name, file)
    except OSError as error:
        logger.debug("cannot remember that the native reader proved itself: %s", error)
