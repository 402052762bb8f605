"""What a worker process does with a candidate: build its module, as MetaSchedule's own builder does.

A worker that builds for a CPU needs TVM alone: importing MetaSchedule would take it seconds.
"""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

import tvm

from tvm_gnn_cost.meta_schedule.names import NAMES


def build_module(module: str, target: str, export: Callable[..., None]) -> tuple[str | None, str, float]:
    """Build a module for a target, both in TVM's JSON.

    Args:
        module: one function, scheduled and post-processed.
        target: what for.
        export: for `export_library`, with its `output_format`.

    Returns: the library's file, in a folder of its own, or None; what went wrong; seconds.
    """
    start = time.perf_counter()
    try:
        library = _build(tvm.ir.load_json(module), tvm.ir.load_json(target))
        file = os.path.join(tempfile.mkdtemp(), f"program.{export.output_format}")  # type: ignore[attr-defined]
        library.export_library(file, fcompile=export)
    except Exception:
        return None, traceback.format_exc(), time.perf_counter() - start
    return file, "", time.perf_counter() - start


def _build(module: Any, target: Any) -> Any:
    if target.kind.name != "llvm":
        from tvm_gnn_cost.meta_schedule.api import default_build

        return default_build(module, target, None)
    # the same without the import of the tensor intrinsics, which gives a CPU nothing
    return tvm.driver.build(NAMES.as_built(module), target=target)
