"""Where MetaSchedule is in the installed TVM: `tvm.meta_schedule` in 0.19, `tvm.s_tir.meta_schedule` since 0.25.

What differs between releases in MetaSchedule's own interface is told apart here and nowhere else; the names of its
programs (TIR) are in `names`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tvm_gnn_cost.system.find_tvm import require_meta_schedule, require_tvm

ms: Any = require_meta_schedule()
"""MetaSchedule's own module."""

derived_object: Any = (
    ms.utils.derived_object if hasattr(ms.utils, "derived_object") else import_module("tvm.ir.utils").derived_object
)
"""TVM's decorator that makes a Python class a class of its own."""

default_build: Any = ms.builder.local_builder.default_build
"""What MetaSchedule's LocalBuilder does with a candidate's module."""


def without_layout_blocks(module: Any) -> Any:
    """A module without the blocks that stand for the rewriting of weights' layouts, which are not to be timed."""
    transform = import_module("tvm.s_tir.transform" if ms.__name__.startswith("tvm.s_tir") else "tvm.tir.transform")
    return transform.RemoveWeightLayoutRewriteBlock(True)(module)


def normalized_module(function: Any) -> Any:
    """An IRModule with a PrimFunc as its `main`, as a TuneContext makes one."""
    return ms.tune_context._normalize_mod(function)


def structural_hash(module: Any) -> int:
    """TVM's hash of what a module computes and how: alike for two that differ in names alone."""
    place = require_tvm().ir
    if not hasattr(place, "structural_hash"):  # since 0.25
        place = import_module("tvm_ffi")
    return int(place.structural_hash(module)) & (2**64 - 1)
