"""Whether the extension may read MetaSchedule's candidates.

Where the fields of TIR's classes lie is asked of tvm-ffi, by name, so one binary serves every TVM that has it; it proves
itself all the same before it is used (`proof`; see `system.native_extension`). Loop nests that Python has read need no
proof: nothing of TVM's memory is read for them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.system.find_tvm import require_tvm
from tvm_gnn_cost.system.native_extension import (
    SWITCH,
    first_proof_failure,
    import_native,
    installation_key,
    may_use,
    run_in_child,
)

logger = logging.getLogger(__name__)

_SPECIFICATION = ("graphs", "meta_schedule")
"""Folders of the package that the extension has to agree with."""


class Extension(NamedTuple):
    """The extension, and TVM as it reads it: None where it has no tvm-ffi, or must not be read."""

    native: ModuleType
    tvm: Any


@cache
def usable_extension() -> Extension | None:
    """What may be used here, decided once a process; the reason for a no is logged."""
    if os.environ.get(SWITCH) == "0":
        logger.info("the extension is turned off (%s=0); candidates are read through Python", SWITCH)
        return None
    try:
        native = import_native()
    except ImportError as error:
        logger.warning(
            "candidates are read through Python, which is slower: the extension module was not built or cannot be "
            "loaded (%s)", error,
        )  # fmt: skip
        return None
    if native.SCHEMA_VERSION != SCHEMA_VERSION:
        logger.warning(
            "candidates are read through Python, which is slower: the extension module was built for schema %s of the "
            "features, and this is schema %s: build it again", native.SCHEMA_VERSION, SCHEMA_VERSION,
        )  # fmt: skip
        return None
    return Extension(native, load_tvm(native) if has_tvm_ffi() and is_proved() else None)


def is_proved() -> bool:
    """Whether programs may be read from memory; the reason for a no is logged."""
    return may_use(
        "native reader of TIR programs",
        "candidates are read through Python",
        lambda: first_proof_failure(_installation_key(), lambda: run_proof()),
    )


def run_proof(arguments: Sequence[str] = ()) -> str | None:
    """Runs `proof` in a child process. Returns what was wrong, or None if it read everything as Python did."""
    return run_in_child("tvm_gnn_cost.meta_schedule.native.proof", ["--ffi", str(ffi_path()), *arguments])


def has_tvm_ffi() -> bool:
    """Whether the TVM that is installed describes its objects: since 0.25."""
    require_tvm()
    return find_spec("tvm_ffi") is not None


def load_tvm(native: ModuleType) -> Any:
    """The TVM that Python loaded, as the extension reads it. Raises RuntimeError, with the name, for what it has not."""
    return native.LoadedTvm(str(ffi_path()))


def ffi_path() -> Path:
    """The tvm-ffi library that is loaded."""
    import tvm_ffi

    return Path(tvm_ffi.LIB._name)


def _installation_key() -> str:
    tvm = require_tvm()
    libraries = sorted(Path(tvm.__file__).parent.rglob("libtvm*.so"))
    return installation_key([ffi_path(), *libraries], _SPECIFICATION)
