"""Whether the native reader of auto_scheduler's states may be used.

It rests on the memory layout of TVM 0.19's objects, so it proves itself first (`proof`; see `system.native_extension`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.native_extension import first_proof_failure, installation_key, may_use, run_in_child

_SPECIFICATION = ("graphs", "ansor/states", "ansor/native")
"""Folders of the package that the extension has to agree with."""


@cache
def is_usable() -> bool:
    """Decided once a process; the reason for a no is logged."""
    return may_use(
        "native state reader",
        "states are read through Python",
        lambda: first_proof_failure(_installation_key(), lambda: run_proof()),
    )


def run_proof(arguments: Sequence[str] = ()) -> str | None:
    """Runs `proof` in a child process. Returns what was wrong, or None if it read everything as Python did."""
    return run_in_child("tvm_gnn_cost.ansor.native.proof", ["--libtvm", str(libtvm_path()), *arguments])


def libtvm_path() -> Path:
    """The TVM library that is loaded."""
    require_auto_scheduler()
    from tvm._ffi.base import _LIB

    return Path(_LIB._name).resolve()


def _installation_key() -> str:
    return installation_key([libtvm_path()], _SPECIFICATION)
