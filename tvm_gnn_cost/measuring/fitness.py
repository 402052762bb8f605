"""Whether an RPC server can run what is built for a target, found out before schedules are measured there.

A small program is built for the target as schedules are, and run on the server. As that shows little of what the
compiler may use, the instruction sets of the target are compared with those of the server's CPU, where its TVM can
name it (one with a compiler can, a runtime alone cannot).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_gnn_cost.errors import MeasurementError, last_line
from tvm_gnn_cost.measuring.program import (
    Program,
    Server,
    device_kind,
    is_open,
    library_builder,
    load_remote,
    make_array,
)

if TYPE_CHECKING:
    from tvm.target import Target

_EXTENT = 256
INSTRUCTION_SETS = frozenset(
    "sse3 ssse3 sse4.1 sse4.2 sse4a avx avx2 fma fma4 xop f16c bmi bmi2 popcnt lzcnt movbe avxvnni avxvnniint8 avxifma "
    "avx512f avx512cd avx512bw avx512dq avx512vl avx512vnni avx512vbmi avx512vbmi2 avx512ifma avx512bitalg avx512bf16 "
    "avx512fp16 avx512vpopcntdq amx-tile amx-int8 amx-bf16 amx-fp16 "
    "neon fullfp16 dotprod bf16 i8mm fp16fml sve sve2 sme sme2 lse rdm "
    "m a f d c v zfh zvfh zba zbb".split()
)
"""LLVM's names of the features by which its code runs on one CPU and not on another; the others only tune it."""
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class FitCheck:
    """Called in a worker process with a session: raises MeasurementError where the server does not fit a target.

    Attributes:
        targets: as strings.
        programs: a small one for each, which adds 1 to an array of `_EXTENT` numbers.
    """

    targets: tuple[str, ...]
    programs: tuple[Program, ...]

    def __call__(self, remote: Any) -> None:
        from tvm.target import Target

        for text, program in zip(self.targets, self.programs, strict=True):
            target = Target(text)
            _check_cpu(remote, target)
            _check_run(remote, _spelled(target), program)


def make_check(targets: Sequence[Target], folder: Path, compiler: str | None) -> FitCheck:
    """The check for these targets, its programs built into `folder`.

    Raises MeasurementError where nothing can be built for a target here.
    """
    distinct = {str(target): target for target in targets}
    programs = []
    for i, target in enumerate(distinct.values()):
        place = folder / f"check{i}"
        place.mkdir()
        try:
            programs.append(_build(target, place, compiler))
        except Exception as error:
            raise MeasurementError(
                f"nothing can be built here for the target {_spelled(target)!r}: {last_line(error)}"
                + (f"; look at `compiler`, {compiler!r}" if compiler else "")
            ) from error
    return FitCheck(tuple(distinct), tuple(programs))


def check_server(server: Server, check: FitCheck, timeout_s: int) -> None:
    """In a worker process: a session with a server, for the check alone. Raises MeasurementError."""
    from tvm import rpc

    try:
        remote = rpc.connect(server.host, server.port, server.match_key, session_timeout=timeout_s)
    except Exception as error:
        raise MeasurementError(f"no session begins: {_tell(error)}") from error
    check(remote)


def describe_cpu(remote: Any) -> tuple[str, str]:
    """The triple and the CPU's name of a session's server, as LLVM names them; "" where its TVM cannot tell."""

    def ask(name: str) -> str:
        try:
            answer = remote.get_function(name)()
            if isinstance(answer, str):
                return str(answer)
            # up to 0.19 an object travels as a reference only, a plain string as itself
            return str(remote.get_function("runtime.GetFFIString")(answer))
        except Exception:
            return ""

    return ask("target.llvm_get_system_triple"), ask("target.llvm_get_system_cpu")


def _build(target: Target, folder: Path, compiler: str | None) -> Program:
    import tvm
    from tvm import te

    given = te.placeholder((_EXTENT,), name="given", dtype="float32")
    result = te.compute((_EXTENT,), lambda i: given[i] + 1.0, name="result")
    room = tvm.s_tir if hasattr(tvm, "s_tir") else tvm.tir  # since and before 0.25
    schedule = room.Schedule(te.create_prim_func([given, result]))
    [axis] = schedule.get_loops((getattr(schedule, "get_sblock", None) or schedule.get_block)("result"))
    outer, inner = schedule.split(axis, [None, 16])
    if "cpu" in target.keys:
        schedule.vectorize(inner)
    else:
        schedule.bind(outer, "blockIdx.x")
        schedule.bind(inner, "threadIdx.x")
    export = library_builder(compiler)
    file = folder / f"check.{export.output_format}"  # type: ignore[attr-defined]
    tvm.build(schedule.mod, target=target).export_library(str(file), fcompile=export)
    return Program(str(file), device_kind(target), [((_EXTENT,), "float32")] * 2, [None, None])


def _spelled(target: Target) -> str:
    """What it says of the CPU or GPU, in short."""
    found = {name: target.attrs.get(name) for name in ("mtriple", "mcpu", "mattr", "arch")}
    options = [
        f"-{name}={value if isinstance(value, str) else ','.join(value)}" for name, value in found.items() if value
    ]
    return " ".join([str(target.kind.name), *options])


def _check_cpu(remote: Any, asked: Target) -> None:
    from tvm.target import Target
    from tvm.target.codegen import llvm_get_cpu_features

    triple, cpu = describe_cpu(remote)
    if asked.kind.name != "llvm" or not triple:
        return
    wanted, found = _architecture(str(asked.attrs.get("mtriple", ""))), _architecture(triple)
    if wanted and wanted != found:
        raise MeasurementError(f"it is a machine of {found}, the target {_spelled(asked)!r} is for {wanted}")
    if not cpu:
        return

    def sets(of: Target) -> set[str]:
        return {str(name) for name in llvm_get_cpu_features(of)} & INSTRUCTION_SETS

    lacking = sets(asked) - sets(Target({"kind": "llvm", "mtriple": triple, "mcpu": cpu}))
    if lacking:
        raise MeasurementError(
            f"its CPU, {cpu}, lacks instructions of the target {_spelled(asked)!r}: {', '.join(sorted(lacking))}; "
            f'for it, the target is like "llvm -mcpu={cpu}"'
        )


def _check_run(remote: Any, target: str, program: Program) -> None:
    problem = "cannot load what is built for"
    try:
        device = remote.device(program.device)
        if not device.exist:
            raise MeasurementError(f"it has no device for the target {target!r}")
        module, device = load_remote(remote, program)
        problem = "cannot run what is built for"
        given, result = (make_array(np.zeros(_EXTENT, "float32"), device) for _ in range(2))
        module[module.entry_name](given, result)
        right = bool((result.numpy() == 1).all())
    except MeasurementError:
        raise
    except Exception as error:
        lost = "" if is_open(remote) else "; its session ended"
        needs = ""
        if problem.startswith("cannot load") and program.file.endswith(".tar"):
            needs = "; a server links what it gets with its own c++ and tar, or name a cross `compiler`"
        raise MeasurementError(f"it {problem} the target {target!r}{lost}: {_tell(error)}{needs}") from error
    if not right:
        raise MeasurementError(f"it computes something else than the target {target!r} asks for")


def _tell(error: BaseException) -> str:
    """The line of TVM's many that tells what went wrong at the other end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "rror:" in line and not line.startswith("RPCError")]
    return (telling or lines or [type(error).__name__])[-1][:200]


def _architecture(triple: str) -> str:
    name = triple.partition("-")[0].lower()
    return _ARCHITECTURES.get(name, name)
