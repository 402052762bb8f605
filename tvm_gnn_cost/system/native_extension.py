"""The C++ extension: whether it is here, and whether a reader in it may be used: it must show that it reads as Python
does.

A reader rests on how TVM's objects lie in memory, so it proves itself first, in a child process and on the very TVM
that is installed. A crash, a time-out or a difference there means Python, and a warning in the log. What has proved
itself is remembered for as long as nothing changes that the proof rests on.
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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from platformdirs import user_cache_path

from tvm_gnn_cost._version import __version__
from tvm_gnn_cost.system.files import write_atomically

logger = logging.getLogger(__name__)

SWITCH = "TVM_GNN_COST_NATIVE"
"""Environment variable: 0 turns the extension off."""

PROOF_SECONDS = 120.0
"""The child process gets so long; on an idle machine it needs seconds."""

KEPT_PROOFS = 32
"""So many installations are remembered as proved."""


def import_native() -> ModuleType:
    """The extension. Raises ImportError where it was not built or cannot be loaded."""
    return importlib.import_module("tvm_gnn_cost._native")


def may_use(reader: str, instead: str, unproven: Callable[[], str | None]) -> bool:
    """Whether a native reader may be used; the reason for a no is logged.

    Args:
        reader: what it is called, and what happens `instead`: for the log.
        unproven: says why it did not prove itself, or None if it did (`first_proof_failure`).
    """
    if os.environ.get(SWITCH) == "0":
        logger.info("the %s is turned off (%s=0); %s", reader, SWITCH, instead)
        return False
    reason = _unfit_platform() or unproven()
    if reason is not None:
        logger.warning("the %s is not used: %s; %s, which is slower", reader, reason, instead)
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


def first_proof_failure(installation: str, run_proof: Callable[[], str | None]) -> str | None:
    """Why a reader did not prove itself, or None if it did: now, or earlier in this `installation`."""
    file = _proved_file()
    proved = _proved_installations(file)
    if installation in proved:
        return None
    reason = run_proof()
    if reason is None:  # only success is kept: a passing trouble must not be remembered
        _keep_proved(file, [*proved, installation][-KEPT_PROOFS:])
    return reason


_RUN_MODULE = """
import runpy, sys
del sys.path[0]  # the working directory: the package as it is there, in a clone, has no extension
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run_in_child(module: str, arguments: Sequence[str] = ()) -> str | None:
    """Runs a module that proves a reader in a child process. Returns what was wrong, or None if it read everything as
    Python did."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        child = subprocess.run(
            [sys.executable, "-c", _RUN_MODULE, module, *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROOF_SECONDS,
        )  # fmt: skip
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


def installation_key(libraries: Iterable[Path], specification: Iterable[str]) -> str:
    """Changes whenever one of TVM's libraries, the extension or this package does.

    Args:
        libraries: what of TVM the reader reads.
        specification: folders of the package that the reader has to agree with.
    """
    parts: list[Any] = [__version__]
    extension, package = Path(str(import_native().__file__)).resolve(), Path(__file__).resolve().parents[1]
    sources = [path for folder in specification for path in sorted((package / folder).rglob("*.py"))]
    for path in (*libraries, extension, *sources):
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
        logger.debug("cannot remember that a native reader proved itself: %s", error)
