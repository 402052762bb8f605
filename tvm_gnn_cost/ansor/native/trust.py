"""Whether the native reader may be used: it must show that it reads as Python does.

It rests on the memory layout of TVM 0.19's objects, so it proves itself first, in a child process and on this very TVM
build (`proof`). A crash, a time-out or a difference there means the Python reader, and a warning in the log.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from platformdirs import user_cache_path

from tvm_gnn_cost._version import __version__
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

logger = logging.getLogger(__name__)

SWITCH = "TVM_GNN_COST_NATIVE"
"""Environment variable: 0 turns the native reader off."""

PROOF_SECONDS = 120.0
"""The child process gets so long; it needs about two seconds on an idle machine."""

_SPECIFICATION = ("graphs", "ansor/states", "ansor/native")
"""Folders of the package that the extension has to agree with."""

KEPT_PROOFS = 32
"""So many installations are remembered as proved."""


def import_native() -> ModuleType:
    return importlib.import_module("tvm_gnn_cost._native")


@cache
def is_usable() -> bool:
    """Decided once a process; the reason for a no is logged."""
    if os.environ.get(SWITCH) == "0":
        logger.info("the native state reader is turned off (%s=0); states are read through Python", SWITCH)
        return False
    reason = _unfit_platform() or _unproven()
    if reason is not None:
        logger.warning(
            "the native state reader is not used: %s; states are read through Python, which is slower", reason
        )
    return reason is None


def _unfit_platform() -> str | None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "AMD64") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return f"it is for 64-bit Linux on x86-64, and this is {sys.platform} on {machine}"
    try:
        import_native()
    except ImportError as error:
        return f"the extension module was not built or cannot be loaded ({error})"
    return None


def _unproven() -> str | None:
    """Why the reader did not prove itself, or None if it did: now, or earlier in this installation."""
    file, key = _proved_file(), _installation_key()
    proved = _proved_installations(file)
    if key in proved:
        return None
    reason = run_proof()
    if reason is None:  # only success is kept: a passing trouble must not be remembered
        _keep_proved(file, [*proved, key][-KEPT_PROOFS:])
    return reason


_RUN_PROOF = """
import runpy, sys
del sys.path[0]  # the working directory: the package as it is there, in a clone, has no extension
runpy.run_module("tvm_gnn_cost.ansor.native.proof", run_name="__main__", alter_sys=True)
"""


def run_proof(arguments: Sequence[str] = ()) -> str | None:
    """Runs `proof` in a child process. Returns what was wrong, or None if it read everything as Python did."""
    command = [sys.executable, "-c", _RUN_PROOF, "--libtvm", str(libtvm_path()), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        child = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROOF_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"its proof took more than {PROOF_SECONDS:.0f} s"
    except OSError as error:
        return f"its proof could not be started ({error})"
    if child.returncode == 0:
        return None
    last_line = (child.stderr.strip().splitlines() or ["no message"])[-1]
    if child.returncode < 0:
        return f"its proof was killed by signal {-child.returncode} on this TVM build"
    return f"its proof failed on this TVM build ({last_line})"


def libtvm_path() -> Path:
    """The TVM library that is loaded."""
    require_auto_scheduler()
    from tvm._ffi.base import _LIB

    return Path(_LIB._name).resolve()


def _installation_key() -> str:
    """Changes whenever TVM's library, this extension or this package does (its specification of features as well)."""
    parts: list[Any] = [__version__]
    extension, package = Path(str(import_native().__file__)).resolve(), Path(__file__).resolve().parents[2]
    specification = [path for folder in _SPECIFICATION for path in sorted((package / folder).glob("*.py"))]
    for path in (libtvm_path(), extension, *specification):
        info = path.stat()
        parts += [str(path), info.st_size, info.st_mtime_ns]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _proved_file() -> Path:
    return user_cache_path("tvm-gnn-cost") / "native-proved.json"


def _proved_installations(file: Path) -> list[Any]:
    try:
        keys = json.loads(file.read_text())
    except (OSError, ValueError):
        return []
    return keys if isinstance(keys, list) else []


def _keep_proved(file: Path, keys: list[Any]) -> None:
    """Replaces the file; where it cannot be written the proof simply runs again in the next process."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(keys).encode())
    except OSError as error:
        logger.debug("cannot remember that the native reader proved itself: %s", error)
