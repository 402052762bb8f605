"""A user's own operators as workloads: found by name or as `FILE.py:FUNCTION`, called, and what they return checked.

What a function does wrong is said here, in its terms: TVM would say it later, or only fail every measurement.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.workloads.checks import checked
from tvm_gnn_cost.workloads.definitions import origin, run_definitions, users_code
from tvm_gnn_cost.workloads.registry import (
    PREFIX,
    Argument,
    registry,
    resolve,
    signature_of,
    unknown,
    workload_functions,
    workload_names,
)
from tvm_gnn_cost.workloads.workload import Workload

if TYPE_CHECKING:
    from tvm_gnn_cost.workloads.tensors import Tensors

_REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<function>\w+)")


class OwnWorkload(Workload):
    """A function of the user with its arguments."""

    def tensors(self) -> Tensors:
        """What the function returns. Raises WorkloadError where it fails, or returns what cannot be scheduled."""
        arguments = json.loads(self.key)[1:]  # as auto_scheduler passes them
        file = origin(self.function)
        with users_code(file, self.label):
            result = self.function(*arguments)
            if isinstance(result, Iterator):
                result = list(result)
        return checked(self.label if file is None else f"{file}: {self.label}", result)


def find_workload(name: str, args: Sequence[Argument] = (), folder: Path | None = None) -> Workload:
    """The workload of a name, the package's or the user's own; no scheduler is needed.

    Args:
        name: a workload's name, see `workload_names`, or what `find_own` takes.
        args: its arguments in order; for a configuration such as `C2D` the index of a shape.
        folder: what FILE.py is relative to; None is the working directory.

    Raises WorkloadError for an unknown name, arguments that do not fit, or what a file does wrong.
    """
    own = find_own(name, args, folder)
    if own is not None:
        return own
    function, arguments = resolve(name.removeprefix(PREFIX), args)
    return Workload(PREFIX + function, workload_functions()[function], arguments)


def find_own(name: str, args: Sequence[Argument] = (), folder: Path | None = None) -> OwnWorkload | None:
    """The user's own workload of a name; None for a name of the package's.

    Args:
        name: `FILE.py:FUNCTION`, or a name that a file registered.
        args: its arguments.
        folder: what FILE.py is relative to; None is the working directory.

    Raises WorkloadError for a name that is unknown or has two meanings, a file or a function that is missing, and
    arguments that do not fit.
    """
    match = _REFERENCE.fullmatch(name)
    if match is not None:
        name = _register(Path(folder or "", match["file"]), match["function"])
    elif name.endswith(".py") or ".py:" in name:
        raise WorkloadError(f"{name} names no function; a workload in a file is FILE.py:FUNCTION, such as ops.py:conv")
    registered = own_names()
    ours = workload_names()
    if name in registered and name in ours and match is None:
        raise WorkloadError(
            f"{name} has two meanings: {PREFIX}{name} is this package's, FILE.py:{name} the one that "
            f"{origin(registry()[name]) or 'your code'} registers"
        )
    if name not in registered:
        if name.removeprefix(PREFIX) in ours:
            return None
        raise WorkloadError(unknown("workload", name, [*registered, *ours]))
    function = registry()[name]
    return OwnWorkload(name, function, _check_arguments(name, function, args))


def own_names() -> list[str]:
    """The registered workloads that are not the package's, by name."""
    return [name for name, f in registry().items() if callable(f) and not name.startswith(PREFIX)]


def _register(file: Path, name: str) -> str:
    """What the function of a file is registered as: the name that the file gives it, or `STEM.FUNCTION`.

    Neither depends on where the file is, so that a log's workload keys are the same everywhere.
    """
    module = run_definitions(file)
    function = getattr(module, name, None)
    if not callable(function):
        here = [n for n, f in vars(module).items() if callable(f) and origin(f) == str(file.resolve())]
        if function is not None:
            raise WorkloadError(f"{file}: {name} is no function but {type(function).__name__}")
        raise WorkloadError(f"{file}: {unknown('function', name, here)}" if here else f"{file} defines no function")
    for known in own_names():
        if registry()[known] is function:
            return known
    own_name = f"{file.stem}.{name}"
    other = registry().get(own_name)
    if other is not None and origin(other) not in (None, origin(function)):
        raise WorkloadError(
            f"{file} and {origin(other)} are named alike, and both have a workload {own_name!r}: rename one of them"
        )
    registry()[own_name] = function
    return own_name


def _check_arguments(name: str, function: Callable[..., Any], args: Sequence[Argument]) -> tuple[Argument, ...]:
    """The arguments, those of a flag as a bool. Raises WorkloadError for what does not fit the function."""
    for argument in args:
        _check_value(name, argument)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a callable that has none to show
        return tuple(args)
    takes = f"{name} takes: {signature_of(function) or 'no arguments'}"
    try:
        bound = signature.bind(*args)
    except TypeError as error:
        count = "1 argument" if len(args) == 1 else f"{len(args)} arguments"
        raise WorkloadError(f"{name} got {count} ({error}). {takes}") from error
    for parameter, value in bound.arguments.items():
        wanted = _wanted(signature.parameters[parameter])
        if wanted is bool and value in ("true", "false", "True", "False"):
            bound.arguments[parameter] = value in ("true", "True")
        elif wanted is not None and (isinstance(value, bool) or not isinstance(value, _TAKEN[wanted])):
            raise WorkloadError(
                f"{name}: argument {parameter} is {value!r} ({type(value).__name__}), not {wanted.__name__}. {takes}"
            )
    return bound.args


_TAKEN: dict[type, tuple[type, ...]] = {
    bool: (int,),
    int: (int,),
    float: (int, float),
    str: (str,),
    list: (list,),
    tuple: (list,),
}
"""Type of a parameter -> those of its arguments, as they come from a command line or a workload key."""


def _wanted(parameter: inspect.Parameter) -> type | None:
    """The type that a parameter's annotation, or else its default, asks for; None where any will do."""
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return None
    text = getattr(parameter.annotation, "__name__", str(parameter.annotation)).partition("[")[0].lower()
    by_name = {kind.__name__: kind for kind in _TAKEN} | {"sequence": list}
    if text in by_name:
        return by_name[text]
    return bool if isinstance(parameter.default, bool) else None


def _check_value(name: str, argument: object) -> None:
    if isinstance(argument, list | tuple):
        if not argument:
            raise WorkloadError(f"{name}: an argument is an empty list, which auto_scheduler cannot read from a log")
        for item in argument:
            _check_value(name, item)
    elif not isinstance(argument, int | float | str) or (isinstance(argument, float) and not math.isfinite(argument)):
        raise WorkloadError(f"{name}: argument {argument!r} is no finite number, no text and no list of them")
