"""A built schedule, and what a worker process does with it: run it here or on an RPC server, and read the clock."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.records.tuning_run import MeasureOptions

if TYPE_CHECKING:
    from tvm.target import Target

READINGS_S = 1.0
"""A slow schedule gets only as many of its readings as fit into so many seconds, and at least one."""

# tvm/auto_scheduler/measure.py, MeasureErrorNo
COMPILE_HOST, COMPILE_DEVICE, RUNTIME_DEVICE, BUILD_TIMEOUT, RUN_TIMEOUT = 2, 3, 4, 6, 7
SESSION_LOST = -1
"""Not TVM's: the session with an RPC server ended before the program did, or never began."""

_TIMED_OUT = "RPCSessionTimeoutError"  # what TVM's server answers when it ends a session


@dataclass(frozen=True)
class Program:
    """A built schedule.

    Attributes:
        file: the library, a tar file of objects or a shared library.
        device: the kind of device (`device_kind`), as in "cpu" or "cuda".
        arguments: shape and dtype of each.
        values: of each argument where it is given, else None and it is filled at random.
        race_s: seconds; where the first reading is more, there is no further one. None: all are read.
    """

    file: str
    device: str
    arguments: Sequence[tuple[tuple[int, ...], str]]
    values: Sequence[NDArray[Any] | None]
    race_s: float | None = None


@dataclass(frozen=True)
class Reading:
    """costs in seconds, one for each reading; or an error number other than 0 with its message."""

    costs: tuple[float, ...]
    error_no: int = 0
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Server:
    """An RPC server that the tracker has given us, for one session; `match_key` opens it, and only for seconds."""

    host: str
    port: int
    match_key: str

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def device_kind(target: Target) -> str:
    """What `tvm.device` and a session with a server call the device of a target."""
    kind = str(target.kind.name)
    return "cpu" if kind == "llvm" else kind  # "llvm" is no device since 0.25


def library_builder(compiler: str | None) -> Callable[..., None]:
    """What `export_library` takes as `fcompile`, with its `output_format`.

    A tar file of objects, which needs no compiler here but one where it is run; or a shared library by `compiler`,
    which needs one here that links for there.
    """
    try:
        from tvm.contrib import cc, tar
    except ImportError:  # since 0.27
        from tvm.support import cc, tar

    if compiler is None:
        return tar.tar  # type: ignore[no-any-return]
    return cc.cross_compiler(compiler, output_format="so")  # type: ignore[no-any-return]


def run_here(program: Program, options: MeasureOptions) -> Reading:
    """Measure a program on this machine. Errors become error numbers."""
    import tvm

    start = time.perf_counter()
    error = COMPILE_DEVICE
    try:
        module, device = tvm.runtime.load_module(program.file), tvm.device(program.device)
        error = RUNTIME_DEVICE
        costs = _read(module, device, _arrays(program, device, None), options, program.race_s)
    except Exception:
        return Reading((), error, traceback.format_exc(), time.perf_counter() - start)
    reading = Reading(costs, seconds=time.perf_counter() - start)
    time.sleep(options.cooldown_s)
    return reading


def run_on_server(
    program: Program, options: MeasureOptions, server: Server, check: Callable[[Any], None] | None
) -> Reading:
    """Measure a program on an RPC server, in a session of its own.

    Errors become error numbers, `SESSION_LOST` where nothing is known of the program. Before it, `check` is called
    with the session: what it raises is raised.
    """
    from tvm import rpc

    start = time.perf_counter()
    try:
        remote = rpc.connect(server.host, server.port, server.match_key, session_timeout=options.run_timeout_s)
    except Exception:
        return Reading((), SESSION_LOST, traceback.format_exc(), time.perf_counter() - start)
    if check is not None:
        check(remote)
    error = COMPILE_DEVICE
    try:
        module, device = load_remote(remote, program)
        error = RUNTIME_DEVICE
        costs = _read(module, device, _arrays(program, device, remote), options, program.race_s)
    except Exception:
        message, seconds = traceback.format_exc(), time.perf_counter() - start
        if _TIMED_OUT in message:
            error = RUN_TIMEOUT
        elif not is_open(remote):  # TVM's C++ server ends a late session without a word
            error = RUN_TIMEOUT if seconds >= 0.95 * options.run_timeout_s else SESSION_LOST
        return Reading((), error, message, seconds)
    reading = Reading(costs, seconds=time.perf_counter() - start)
    time.sleep(options.cooldown_s)  # with the session open, so that nobody else heats the device
    return reading


def load_remote(remote: Any, program: Program) -> tuple[Any, Any]:
    """The module and the device of a program, uploaded in a session. Raises what TVM raises."""
    remote.upload(program.file)
    return remote.load_module(os.path.basename(program.file)), remote.device(program.device)


def is_open(remote: Any) -> bool:
    """Whether a session still answers."""
    try:
        remote.get_function("tvm.rpc.server.load_module")
    except Exception:
        return False
    return True


def make_array(value: NDArray[Any], device: Any) -> Any:
    """TVM's array of it, on a device."""
    import tvm

    make = tvm.nd.array if hasattr(tvm, "nd") else tvm.runtime.tensor  # before and since 0.25
    return make(np.asarray(value), device)


def _arrays(program: Program, device: Any, remote: Any) -> list[Any]:
    import tvm

    empty = tvm.nd.empty if hasattr(tvm, "nd") else tvm.runtime.empty
    name = "tvm.contrib.random.random_fill"
    fill = tvm.get_global_func(name) if remote is None else remote.get_function(name)
    arrays = []
    for (shape, dtype), value in zip(program.arguments, program.values, strict=True):
        if value is None:
            arrays.append(empty(shape, dtype, device))
            fill(arrays[-1])
        else:
            arrays.append(make_array(value, device))
    device.sync()
    return arrays


def _read(
    module: Any, device: Any, arrays: list[Any], options: MeasureOptions, race_s: float | None
) -> tuple[float, ...]:
    """`options.repeat` readings, each a mean over at least `number` runs and `min_repeat_ms`."""

    def readings(number: int, repeat: int, min_repeat_ms: int) -> tuple[float, ...]:
        evaluate = module.time_evaluator(
            module.entry_name,
            device,
            number=number,
            repeat=repeat,
            min_repeat_ms=min_repeat_ms,
            f_preproc="cache_flush_cpu_non_first_arg" if options.flush_cache else "",
        )
        return tuple(float(cost) for cost in evaluate(*arrays).results)

    number, min_repeat_ms = (1, 0) if options.flush_cache else (options.number, options.min_repeat_ms)
    first = readings(1, 1, 0)
    fitting = int(READINGS_S / max(first[0] * number, min_repeat_ms / 1e3, 1e-9))
    if not fitting:
        return first
    repeat = min(options.repeat, fitting)
    if race_s is None or repeat == 1:
        return readings(number, repeat, min_repeat_ms)
    one = readings(number, 1, min_repeat_ms)
    return one if one[0] > race_s else one + readings(number, repeat - 1, min_repeat_ms)
