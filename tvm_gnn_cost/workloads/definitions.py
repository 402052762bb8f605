"""A user's own Python files: run because the user names them, for the workloads that they register or define."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_tvm
from tvm_gnn_cost.workloads.registry import PREFIX, Registry, registry

_REGISTERED = "__registered_workloads__"


def run_definitions(path: str | os.PathLike[str]) -> ModuleType:
    """Executes a Python file that defines workloads, or registers them with auto_scheduler; returns its module.

    A function of the file that it does not register itself is known as `STEM.FUNCTION` afterwards. The file's folder
    joins `sys.path`, as if the file were run; what it prints goes to standard error. A file that has not changed since
    is not run a second time; one that has replaces what it registered.

    Raises WorkloadError for a file that is missing, is no Python file or fails, and for a name that another file has.
    """
    require_tvm()
    file = Path(path)
    if not file.is_file() or file.suffix != ".py":
        reason = "there is no such file" if not file.exists() else "it is no Python file (.py)"
        raise WorkloadError(f"{file} cannot be run: {reason}; name one that defines your workloads")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise WorkloadError(f"{file} cannot be read: {error.strerror or error}") from error
    digest = hashlib.sha256(str(file.resolve()).encode() + b"\0" + content).hexdigest()
    name = f"own_workloads_{digest[:16]}"
    module = sys.modules.get(name) or _execute(file, name)
    registry().update(getattr(module, _REGISTERED))
    return module


def origin(function: object) -> str | None:
    """The Python file that a function comes from; None where that cannot be told."""
    while isinstance(function, functools.partial):
        function = function.func
    if not callable(function):
        return None
    found = inspect.unwrap(function)
    call = found if hasattr(found, "__code__") else vars(type(found)).get("__call__")  # of an object that is called
    code = getattr(call, "__code__", None)
    return None if code is None else str(code.co_filename)


@contextlib.contextmanager
def users_code(file: str | os.PathLike[str] | None, doing: str) -> Iterator[None]:
    """Around code of the user: what it prints goes to standard error, what it raises becomes a WorkloadError that names
    the line of `file`."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SyntaxError as error:
        where = f"{error.filename or file}, line {error.lineno}"
        raise WorkloadError(f"{where}: it is not Python: {error.msg}") from error
    except SystemExit as error:
        raise WorkloadError(f"{_where(file, error)}: {doing} ends the program (exit status {error.code})") from error
    except Exception as error:  # the user's code may raise anything
        kind, says = type(error).__name__, last_line(error)
        reason = says if says.startswith(kind) else f"{kind}: {says}"
        raise WorkloadError(f"{_where(file, error)}: {doing} fails: {reason}") from error


def _where(file: str | os.PathLike[str] | None, error: BaseException) -> str:
    """The file and the last of its lines that an error passed through."""
    if file is None:
        return "a registered function"
    path = os.path.realpath(file)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if os.path.realpath(f.filename) == path]
    return f"{file}, line {lines[-1]}" if lines else str(file)


def _execute(file: Path, name: str) -> ModuleType:
    import cloudpickle

    resolved = file.resolve()
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    if str(resolved.parent) not in sys.path:
        sys.path.append(str(resolved.parent))
    sys.modules[name] = module  # dataclasses, for one, look their module up
    try:
        with _registering(file) as added, users_code(file, "running it"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    for function_name, function in _functions(module, str(resolved)).items():
        if not any(function is known for known in added.values()):
            own_name = f"{file.stem}.{function_name}"
            if origin(registry().get(own_name)) in (None, str(resolved)):
                added.setdefault(own_name, function)
    setattr(module, _REGISTERED, added)
    cloudpickle.register_pickle_by_value(module)  # processes that build cannot import it
    return module


@contextlib.contextmanager
def _registering(file: Path) -> Iterator[Registry]:
    """A registry without other users' functions for the time of the block; what was added is yielded, and joins them.

    So a file may register what it registered before it was changed, which auto_scheduler forbids.
    """
    known = registry()
    others = {name: f for name, f in known.items() if callable(f) and not name.startswith(PREFIX)}
    before = {name: f for name, f in known.items() if name not in others}
    added: Registry = {}
    for name in others:
        del known[name]
    try:
        yield added
        added.update({name: f for name, f in known.items() if callable(f) and before.get(name) is not f})
        for name in added.keys() & others.keys():
            theirs, ours = origin(others[name]), origin(added[name])
            if theirs is not None and ours is not None and theirs != ours:
                raise WorkloadError(f"{file} registers {name!r}, which {theirs} has registered too: rename one of them")
    finally:
        for name in [name for name, f in known.items() if callable(f) and before.get(name) is not f]:
            del known[name]
        known.update({name: f for name, f in before.items() if name not in known})
        known.update(others)


def _functions(module: ModuleType, file: str) -> dict[str, Callable[..., Any]]:
    """The functions that a file defines for others, by name: not those that it imports, nor `_these`."""
    return {
        name: function
        for name, function in vars(module).items()
        if isinstance(function, FunctionType) and not name.startswith("_") and origin(function) == file
    }
