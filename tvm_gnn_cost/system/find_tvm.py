"""The one place that looks for TVM: it is imported when first needed, and a missing or unfit TVM gets a clear error.

There are two packages called `tvm`: 0.19 has auto_scheduler and MetaSchedule, later ones MetaSchedule alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from functools import cache
from types import ModuleType

from tvm_gnn_cost.errors import TVMNotAvailableError
from tvm_gnn_cost.system import tvm_packages

logger = logging.getLogger(__name__)

EXTRA = 'pip install "tvm-gnn-cost[tvm]"'
NEWER_EXTRA = 'pip install "tvm-gnn-cost[apache-tvm]"'
META_SCHEDULE = ("tvm.s_tir.meta_schedule", "tvm.meta_schedule")
"""Where MetaSchedule may be: since TVM 0.25, and before."""


@cache
def require_tvm() -> ModuleType:
    """The `tvm` module. Raises TVMNotAvailableError where it is not installed, cannot be loaded, or has no tuner.

    So it does for packages that are installed over one another, and for apache-tvm with an apache-tvm-ffi that it is
    known to crash with: before anything of them is loaded.
    """
    if not _is_findable("tvm"):
        raise TVMNotAvailableError(
            f"TVM is not installed: {EXTRA} for TVM 0.19, with auto_scheduler and MetaSchedule, or {NEWER_EXTRA} for "
            "today's, with MetaSchedule"
        )
    misfit = tvm_packages.misfit()
    if misfit is not None:
        raise TVMNotAvailableError(misfit)
    tvm = _load("tvm", "TVM is installed but cannot be imported")
    if not any(map(_is_findable, ("tvm.auto_scheduler", *META_SCHEDULE))):
        raise TVMNotAvailableError(
            f"TVM {_version_of(tvm)} has no tuner, neither auto_scheduler nor MetaSchedule; in a fresh environment: "
            f"{EXTRA}, or {NEWER_EXTRA}"
        )
    return tvm


@cache
def has_auto_scheduler() -> bool:
    """Whether the TVM that is installed has auto_scheduler. Raises TVMNotAvailableError where none can be loaded."""
    require_tvm()
    return _is_findable("tvm.auto_scheduler")


@cache
def has_relay() -> bool:
    """Whether networks are Relay programs in the TVM that is installed, as up to 0.19; else they are Relax programs."""
    require_tvm()
    return _is_findable("tvm.relay")


def require_relay(what: str) -> None:
    """Raises TVMNotAvailableError where the TVM that is installed has no Relay; `what` is that which needs it."""
    if not has_relay():
        raise TVMNotAvailableError(
            f"{what} needs Relay, which TVM has up to 0.19; with this one give the file of an exported PyTorch program "
            "(torch.export.save) or an ONNX file, as it is"
        )


def require_auto_scheduler() -> ModuleType:
    """The `tvm.auto_scheduler` module. Raises TVMNotAvailableError for no TVM, or one without auto_scheduler."""
    tvm = require_tvm()
    if not _is_findable("tvm.auto_scheduler"):
        raise TVMNotAvailableError(
            f"TVM {_version_of(tvm)} has no auto_scheduler, which was removed after TVM 0.19; both packages are called "
            f"`tvm`, so make a separate environment without it and run there: {EXTRA}"
        )
    return _load("tvm.auto_scheduler", "tvm.auto_scheduler cannot be imported")


@cache
def require_meta_schedule() -> ModuleType:
    """MetaSchedule, wherever the installed TVM has it. Raises TVMNotAvailableError for no TVM, or one without.

    A release of apache-tvm that nobody has tried yet must first make a schedule in a child process; this takes some
    seconds, and is remembered. Raises TVMNotAvailableError where it does not.
    """
    tvm = require_tvm()
    untried = _trouble_of_untried()
    if untried is not None:
        raise TVMNotAvailableError(untried)
    for name in META_SCHEDULE:
        if _is_findable(name):
            return _load(name, f"{name} cannot be imported")
    raise TVMNotAvailableError(
        f"TVM {_version_of(tvm)} has no MetaSchedule; in a fresh environment: {NEWER_EXTRA}, or {EXTRA}"
    )


def _trouble_of_untried() -> str | None:
    """What is wrong with a pair that is not in the table, or None. The log says once that it is not."""
    pair = tvm_packages.installed_pair()
    if pair is None or pair.is_known:
        return None
    from tvm_gnn_cost.system.native_extension import first_proof_failure, run_in_child

    failure = first_proof_failure(f"{pair}", lambda: run_in_child("tvm_gnn_cost.system.tvm_probe"))
    if failure is not None:
        return f"{pair} does not work ({failure}); install a pair that was tried: {tvm_packages.PIN}"
    logger.warning(
        "%s was never tried with this package; it makes a schedule here. Tried pairs: %s %s",
        pair,
        tvm_packages.WITH_META_SCHEDULE,
        ", ".join(f"{tvm} with {tvm_packages.FFI}{ffi}" for tvm, ffi in tvm_packages.PAIRS.items()),
    )
    return None


def _load(name: str, trouble: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise TVMNotAvailableError(
            f"{trouble} ({_first_line(error)}); in a fresh environment: {EXTRA}, or {NEWER_EXTRA}"
        ) from error


def _is_findable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _version_of(tvm: ModuleType) -> str:
    return getattr(tvm, "__version__", None) or tvm_packages.installed_version() or "of unknown version"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
