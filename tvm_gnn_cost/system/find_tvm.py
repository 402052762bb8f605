"""The one place that looks for TVM: it is imported when first needed, and a missing or unfit TVM gets a clear error."""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType

from tvm_gnn_cost.errors import TVMNotAvailableError

EXTRA = 'pip install "tvm-gnn-cost[tvm]"'
META_SCHEDULE = ("tvm.s_tir.meta_schedule", "tvm.meta_schedule")
"""Where MetaSchedule may be: since TVM 0.25, and before."""


def require_tvm() -> ModuleType:
    """The `tvm` module. Raises TVMNotAvailableError where it is not installed or cannot be loaded."""
    if not _is_findable("tvm"):
        raise TVMNotAvailableError(f"TVM is not installed; TVM 0.19 with auto_scheduler is needed: {EXTRA}")
    try:
        return importlib.import_module("tvm")
    except (ImportError, OSError, RuntimeError) as error:
        raise TVMNotAvailableError(
            f"TVM is installed but cannot be imported ({_first_line(error)}); in a fresh environment: {EXTRA}"
        ) from error


def has_auto_scheduler() -> bool:
    """Whether the TVM that is installed has auto_scheduler. Raises TVMNotAvailableError where none can be loaded."""
    require_tvm()
    return _is_findable("tvm.auto_scheduler")


def require_auto_scheduler() -> ModuleType:
    """The `tvm.auto_scheduler` module. Raises TVMNotAvailableError for no TVM, or one without auto_scheduler."""
    tvm = require_tvm()
    if not _is_findable("tvm.auto_scheduler"):
        found = getattr(tvm, "__version__", None) or _installed_version() or "of unknown version"
        raise TVMNotAvailableError(
            f"TVM {found} has no auto_scheduler, which was removed after TVM 0.19; both packages are called `tvm`, "
            f"so make a separate environment without it and run there: {EXTRA}"
        )
    try:
        return importlib.import_module("tvm.auto_scheduler")
    except (ImportError, OSError, RuntimeError) as error:
        raise TVMNotAvailableError(
            f"tvm.auto_scheduler cannot be imported ({_first_line(error)}); in a fresh environment: {EXTRA}"
        ) from error


def require_meta_schedule() -> ModuleType:
    """MetaSchedule, wherever the installed TVM has it. Raises TVMNotAvailableError for no TVM, or one without."""
    tvm = require_tvm()
    for name in META_SCHEDULE:
        if _is_findable(name):
            try:
                return importlib.import_module(name)
            except (ImportError, OSError, RuntimeError) as error:
                raise TVMNotAvailableError(f"{name} cannot be imported ({_first_line(error)})") from error
    found = getattr(tvm, "__version__", None) or _installed_version() or "of unknown version"
    raise TVMNotAvailableError(f"TVM {found} has no MetaSchedule")


def _is_findable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _installed_version() -> str | None:
    for name in ("xtc-tvm-python-bindings", "apache-tvm", "tvm"):
        try:
            return distribution(name).version
        except PackageNotFoundError:
            continue
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
