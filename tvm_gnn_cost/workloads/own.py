"""A user's own operators as workloads: found by name or as `FILE.py:FUNCTION`, called, and what they return checked.

What a function does wrong is said here, in its terms: TVM would say it later, or only fail every measurement.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.workloads.definitions import origin, run_definitions, users_code
from tvm_gnn_cost.workloads.registry import (
    PREFIX,
    Argument,
    describe,
    registry,
    signature_of,
    unknown,
    workload_names,
)

if TYPE_CHECKING:
    from tvm_gnn_cost.workloads.tensors import Tensors

_REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<function>\w+)")


@dataclass(frozen=True)
class OwnWorkload:
    """A function of the user with its arguments.

    Attributes:
        name: what it is registered as with auto_scheduler: the first part of its workload key.
        function: returns TE tensors, the inputs and the outputs.
        arguments: checked against its signature.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]

    @property
    def key(self) -> str:
        """auto_scheduler's workload key."""
        return json.dumps([self.name, *self.arguments])

    @property
    def label(self) -> str:
        return describe(self.key)

    def tensors(self) -> Tensors:
        """What the function returns. Raises WorkloadError where it fails, or returns what cannot be scheduled."""
        arguments = json.loads(self.key)[1:]  # as auto_scheduler passes them
        file = origin(self.function)
        with users_code(file, self.label):
            result = self.function(*arguments)
            if isinstance(result, Iterator):
                result = list(result)
        return _checked(self.label if file is None else f"{file}: {self.label}", result)


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


def _checked(label: str, result: object) -> Tensors:
    """What a function returned, as a list. Raises WorkloadError where that cannot be scheduled."""
    from tvm import te

    help_text = "return the inputs and the outputs, as in [A, B, C]"
    returned = [result] if isinstance(result, te.Tensor) else result
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes | dict):
        raise WorkloadError(f"{label} returns {type(result).__name__}, no list of TE tensors: {help_text}")
    tensors = list(returned)
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, te.Tensor):
            raise WorkloadError(f"{label} returns {type(tensor).__name__} at place {i}, no TE tensor: {help_text}")
    if all(isinstance(tensor.op, te.PlaceholderOp) for tensor in tensors):
        raise WorkloadError(f"{label} returns no output: {'only placeholders' if tensors else 'nothing'}; {help_text}")
    for i, tensor in enumerate(tensors):
        if any(tensor.op == other.op and tensor.value_index == other.value_index for other in tensors[:i]):
            raise WorkloadError(f"{label} returns {tensor.op.name} twice: {help_text}")
    given = {tensor.op for tensor in tensors}
    reached = _reached(given)
    for operation in reached:
        if not isinstance(operation, te.PlaceholderOp | te.ComputeOp):
            raise WorkloadError(
                f"{label}: {operation.name} is a {type(operation).__name__}; auto_scheduler schedules what te.compute "
                "makes"
            )
    for operation in reached:
        _check_shapes(label, operation)
        if isinstance(operation, te.PlaceholderOp) and operation not in given:
            raise WorkloadError(f"{label} reads the placeholder {operation.name}, but does not return it: {help_text}")
    return tensors


def _reached(operations: Iterable[Any]) -> set[Any]:
    """The operations and all that they are computed from."""
    found: set[Any] = set()
    left = list(operations)
    while left:
        operation = left.pop()
        if operation not in found:
            found.add(operation)
            left += [tensor.op for tensor in operation.input_tensors]
    return found


def _check_shapes(label: str, operation: Any) -> None:
    """Raises WorkloadError unless the extents of what an operation makes, and sums over, are numbers above 0."""
    from tvm import arith, tir
    from tvm.tir.stmt_functor import post_order_visit

    analyzer = arith.Analyzer()
    for shape in (operation.output(i).shape for i in range(operation.num_outputs)):
        extents = [analyzer.simplify(extent) for extent in shape]
        written = f"({', '.join(map(str, extents))})"
        if not all(isinstance(extent, tir.IntImm) for extent in extents):
            raise WorkloadError(
                f"{label}: {operation.name} has the symbolic shape {written}; auto_scheduler tunes for fixed shapes: "
                "give numbers as arguments"
            )
        if any(int(extent) < 1 for extent in extents):
            raise WorkloadError(f"{label}: {operation.name} would have the shape {written}; the arguments do not fit")
    reduced = list(getattr(operation, "reduce_axis", ()))
    bound = {axis.var for axis in [*getattr(operation, "axis", ()), *reduced]}
    free: list[str] = []
    for axis in reduced:  # an extent may depend on where in the output it is, but on nothing else
        post_order_visit(
            axis.dom.extent,
            lambda node: free.append(node.name) if isinstance(node, tir.Var) and node not in bound else 0,
        )
    if free:
        raise WorkloadError(f"{label}: {operation.name} reduces over the symbolic extent {free[0]}")
