"""Targets from strings, the host's own target, and what the search assumes of a target's hardware."""

from __future__ import annotations

import difflib
import logging
from typing import TYPE_CHECKING

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.machine import num_cores
from tvm_gnn_cost.tvm_compat import require_auto_scheduler, require_tvm

if TYPE_CHECKING:
    from tvm.auto_scheduler import HardwareParams
    from tvm.target import Target

logger = logging.getLogger(__name__)

HOST = "host"


def host_target() -> Target:
    """This machine's CPU as an `llvm` target, with its `-mcpu` and the number of cores this process may use.

    Raises WorkloadError where this TVM was built without LLVM.
    """
    require_auto_scheduler()
    tvm = require_tvm()
    if not tvm.runtime.enabled("llvm"):
        raise WorkloadError("this TVM was built without LLVM, so it cannot compile for the CPU")
    try:
        from tvm.target.codegen import llvm_get_system_cpu

        cpu = llvm_get_system_cpu()
    except Exception as error:
        raise WorkloadError(f"LLVM cannot name this machine's CPU ({error}); give a target string instead") from error
    options = f" -mcpu={cpu}" if cpu else ""
    return tvm.target.Target(f"llvm{options} -num-cores={num_cores()}")


def parse_target(target: str | Target) -> Target:
    """The target for a string: "host" (or "native"), "llvm -mcpu=...", "cuda -arch=sm_80", a tag, or TVM's JSON.

    Raises WorkloadError for what TVM does not know, with close matches, or cannot compile for.
    """
    require_auto_scheduler()
    tvm = require_tvm()
    if isinstance(target, tvm.target.Target):
        return target
    if not isinstance(target, str) or not target.strip():
        raise WorkloadError(f'a target is a string such as "host", "llvm -mcpu=znver4" or "cuda", not {target!r}')
    text = target.strip()
    if text in (HOST, "native"):
        return host_target()
    kinds = list(tvm.target.Target.list_kinds())
    kind = text.split()[0]
    is_plain_kind = not text.startswith("{") and "/" not in kind
    if is_plain_kind and kind not in kinds:
        matches = difflib.get_close_matches(kind, [HOST, *kinds], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(matches)}?" if matches else f"kinds: {', '.join([HOST, *kinds])}"
        raise WorkloadError(f"unknown target {text!r}; {hint}")
    try:
        parsed = tvm.target.Target(text)
    except Exception as error:  # TVM's parser raises ValueError, TypeError, KeyError and its own errors
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise WorkloadError(f"target {text!r} is not valid: {lines[-1] if lines else type(error).__name__}") from error
    if parsed.kind.name == "llvm" and not tvm.runtime.enabled("llvm"):
        raise WorkloadError(f"target {text!r}: this TVM was built without LLVM")
    _check_cpu(parsed)
    return parsed


def hardware_params_for(target: Target) -> HardwareParams | None:
    """What the search should assume of `target`: a CPU's `-num-cores`, a GPU's limits where the target states them.

    None leaves it to TVM, which asks the device and so needs one for a GPU.
    """
    auto_scheduler = require_auto_scheduler()
    attributes = target.attrs
    if target.kind.name == "llvm" and attributes.get("num-cores"):
        return auto_scheduler.HardwareParams(num_cores=int(attributes["num-cores"]), target=target)
    shared, threads = (attributes.get(f"max_{what}_per_block") for what in ("shared_memory", "threads"))
    if target.kind.name in ("cuda", "rocm") and shared is not None and threads is not None:
        return _gpu_params(int(shared), int(threads), int(attributes.get("thread_warp_size") or 32))
    return None


def hardware_params_or_assumed(target: Target) -> HardwareParams | None:
    """As `hardware_params_for`, but where neither target nor device states a GPU's limits: those that GPUs have in
    common. Good for looking at schedules, not for tuning."""
    known = hardware_params_for(target)
    if known is not None or target.kind.name not in ("cuda", "rocm"):
        return known
    if require_tvm().device(target.kind.name).exist:
        return None
    logger.info("no %s device: 48 KiB of shared memory and 1024 threads a block are assumed", target.kind.name)
    return _gpu_params(49152, 1024, 32 if target.kind.name == "cuda" else 64)


def _gpu_params(shared_bytes: int, threads: int, warp: int) -> HardwareParams:
    return require_auto_scheduler().HardwareParams(
        num_cores=-1,
        vector_unit_bytes=16,
        cache_line_bytes=64,
        max_shared_memory_per_block=shared_bytes,
        max_local_memory_per_block=2**31 - 1,  # as TVM: CUDA states no limit
        max_threads_per_block=threads,
        max_vthread_extent=warp // 4,
        warp_size=warp,
    )


def _check_cpu(target: Target) -> None:
    """LLVM takes an unknown `-mcpu` for a generic CPU with only a warning: raise WorkloadError instead."""
    if target.kind.name != "llvm" or not target.attrs.get("mcpu"):
        return
    from tvm.target import codegen

    cpu = str(target.attrs["mcpu"])
    known = [str(name) for name in codegen.llvm_get_cpu_archlist(target)]
    if known and cpu not in known:
        matches = difflib.get_close_matches(cpu, known, n=4, cutoff=0.5)
        hint = f"; did you mean {', '.join(matches)}?" if matches else ""
        raise WorkloadError(f"target {target}: LLVM knows no CPU {cpu!r}{hint}")
