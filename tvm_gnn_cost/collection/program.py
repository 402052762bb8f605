"""What a worker process does with a built schedule: run it here or on an RPC server, and read the clock."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.records.tuning_run import MeasureOptions

READINGS_S = 1.0
"""A slow schedule gets only as many of its readings as fit into so many seconds, and at least one."""

# tvm/auto_scheduler/measure.py, MeasureErrorNo
COMPILE_DEVICE, RUNTIME_DEVICE = 3, 4


@dataclass(frozen=True)
class Tracker:
    """TVM's RPC tracker, and the key of the servers that measure."""

    key: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.key}@{self.host}:{self.port}"


@dataclass(frozen=True)
class Program:
    """A built schedule.

    Attributes:
        file: the library, a tar file.
        device: the kind of device, as in "llvm".
        arguments: shape and dtype of each.
        values: of each argument where it is given, else None and it is filled at random.
    """

    file: str
    device: str
    arguments: Sequence[tuple[tuple[int, ...], str]]
    values: Sequence[NDArray[Any] | None]


@dataclass(frozen=True)
class Reading:
    """costs in seconds, one for each reading; or an error number other than 0 with its message."""

    costs: tuple[float, ...]
    error_no: int = 0
    message: str = ""
    seconds: float = 0.0


def run_program(program: Program, options: MeasureOptions, tracker: Tracker | None) -> Reading:
    """Measure a program. Errors become error numbers, except a lost connection to the tracker (RuntimeError)."""
    import tvm
    from tvm import rpc

    start = time.perf_counter()
    remote: Any = None
    if tracker is not None:
        session = rpc.connect_tracker(tracker.host, tracker.port)
        remote = session.request(tracker.key, session_timeout=options.run_timeout_s)
        start = time.perf_counter()  # waiting for a server is not the program's time
    error = COMPILE_DEVICE
    try:
        if remote is None:
            module, device = tvm.runtime.load_module(program.file), tvm.device(program.device)
        else:
            remote.upload(program.file)
            module, device = remote.load_module(os.path.basename(program.file)), remote.device(program.device)
        error = RUNTIME_DEVICE
        costs = _read(module, device, _arrays(program, device, remote), options)
    except Exception:
        return Reading((), error, traceback.format_exc(), time.perf_counter() - start)
    return Reading(costs, seconds=time.perf_counter() - start)


def _arrays(program: Program, device: Any, remote: Any) -> list[Any]:
    import tvm

    name = "tvm.contrib.random.random_fill"
    fill = tvm.get_global_func(name) if remote is None else remote.get_function(name)
    arrays = []
    for (shape, dtype), value in zip(program.arguments, program.values, strict=True):
        if value is None:
            arrays.append(tvm.nd.empty(shape, dtype, device))
            fill(arrays[-1])
        else:
            arrays.append(tvm.nd.array(np.asarray(value), device))
    device.sync()
    return arrays


def _read(module: Any, device: Any, arrays: list[Any], options: MeasureOptions) -> tuple[float, ...]:
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
    return readings(number, min(options.repeat, fitting), min_repeat_ms) if fitting else first
