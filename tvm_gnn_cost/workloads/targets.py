"""Targets from strings, and the host's own target."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_tvm
from tvm_gnn_cost.system.machine import num_cores
from tvm_gnn_cost.workloads.target_options import make_target

if TYPE_CHECKING:
    from tvm.target import Target


HOST = "host"
HOST_NAMES = (HOST, "native")


def host_target() -> Target:
    """This machine's CPU as an `llvm` target, with its `-mcpu` and the number of cores this process may use.

    Raises WorkloadError where this TVM was built without LLVM.
    """
    tvm = require_tvm()
    if not tvm.runtime.enabled("llvm"):
        raise WorkloadError("this TVM was built without LLVM, so it cannot compile for the CPU")
    try:
        from tvm.target.codegen import llvm_get_system_cpu

        cpu = llvm_get_system_cpu()
    except Exception as error:
        raise WorkloadError(f"LLVM cannot name this machine's CPU ({error}); give a target string instead") from error
    return tvm.target.Target({"kind": "llvm", "num-cores": num_cores()} | ({"mcpu": cpu} if cpu else {}))


def parse_target(target: str | Target) -> Target:
    """The target for a string: "host" (or "native"), "llvm -mcpu=...", "cuda -arch=sm_80", a tag, or TVM's JSON.

    Raises WorkloadError for what TVM does not know, with close matches, or cannot compile for.
    """
    tvm = require_tvm()
    if isinstance(target, tvm.target.Target):
        return target
    if not isinstance(target, str) or not target.strip():
        raise WorkloadError(f'a target is a string such as "host", "llvm -mcpu=znver4" or "cuda", not {target!r}')
    text = target.strip()
    if text in HOST_NAMES:
        return host_target()
    kinds = list(tvm.target.Target.list_kinds())
    kind = text.split()[0]
    is_plain_kind = not text.startswith("{") and "/" not in kind
    if is_plain_kind and kind not in kinds:
        matches = difflib.get_close_matches(kind, [HOST, *kinds], n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(matches)}?" if matches else f"kinds: {', '.join([HOST, *kinds])}"
        raise WorkloadError(f"unknown target {text!r}; {hint}")
    try:
        parsed = make_target(text)
    except Exception as error:  # TVM's parser raises ValueError, TypeError, KeyError and its own errors
        raise WorkloadError(f"target {text!r} is not valid: {last_line(error)}") from error
    if parsed.kind.name == "llvm" and not tvm.runtime.enabled("llvm"):
        raise WorkloadError(f"target {text!r}: this TVM was built without LLVM")
    _check_cpu(parsed)
    return parsed


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
