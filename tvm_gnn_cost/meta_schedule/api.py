"""Where MetaSchedule is in the installed TVM: `tvm.meta_schedule` in 0.19, `tvm.s_tir.meta_schedule` since 0.25.

What differs between releases in MetaSchedule's own interface is told apart here and nowhere else; the names of its
programs (TIR) are in `names`.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tvm_gnn_cost.errors import TuningInterrupted
from tvm_gnn_cost.measuring.tuning_run import Stopped
from tvm_gnn_cost.system.find_tvm import require_meta_schedule

ms: Any = require_meta_schedule()
"""MetaSchedule's own module."""

derived_object: Any = (
    ms.utils.derived_object if hasattr(ms.utils, "derived_object") else import_module("tvm.ir.utils").derived_object
)
"""TVM's decorator that makes a Python class a class of its own."""

default_build: Any = ms.builder.local_builder.default_build
"""What MetaSchedule's LocalBuilder does with a candidate's module."""


def normalized_module(function: Any) -> Any:
    """An IRModule with a PrimFunc as its `main`, as a TuneContext makes one."""
    return ms.tune_context._normalize_mod(function)


TVMCostModel: Any = ms.cost_model.PyCostModel._tvm_metadata["cls"]
"""TVM's own class of cost models that are written in Python."""

COST_MODEL_CALLS: tuple[str, ...] = tuple(ms.cost_model.PyCostModel._tvm_metadata["methods"])
"""The functions that its constructor takes, in order."""


def let_interrupts_through() -> None:
    """Lets what ends a run through C++ that called Python: since 0.25, TVM passes on only errors that it knows."""
    if find_spec("tvm_ffi") is not None:
        for error in (TuningInterrupted, Stopped):
            import_module("tvm_ffi.error").register_error(error.__name__, error)


def know_frozen_frames() -> None:
    """Tells `inspect` which modules the frames of Python's import are of, which it looks for in all modules otherwise.

    TVM asks for the stack at each of the tensor intrinsics that the first TuneContext imports: without this it takes
    17 s (TVM 0.19) and 41 s (0.27) of CPU time where torch is loaded, with it 2 and 6.
    """
    for name in ("_bootstrap", "_bootstrap_external"):
        inspect.modulesbyfile.setdefault(f"<frozen importlib.{name}>", f"importlib.{name}")  # type: ignore[attr-defined]


let_interrupts_through()
know_frozen_frames()
