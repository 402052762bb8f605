"""The registry of named workloads: TVM's own operator set, the chains beside it, and the Ansor paper's configurations.

A workload is known as `tvm_gnn_cost.<name>`, so a log written today rebuilds tomorrow. Where TVM has auto_scheduler the
registry is its own; elsewhere it is this module's, and holds users' functions alone.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.system.find_tvm import has_auto_scheduler, require_auto_scheduler, require_meta_schedule

PREFIX = "tvm_gnn_cost."

HASH = re.compile(r"[0-9a-f]{32}")
"""auto_scheduler's name of a workload that has none."""

Argument = int | float | str | list[Any]
"""What an argument may be: what a log's workload key can hold."""

Registry = dict[str, Any]
"""Name -> function of a registered workload; in auto_scheduler's also workload key -> tensors of one without a name."""

_WITHOUT_AUTO_SCHEDULER: Registry = {}

_WINOGRAD = ("conv2d_winograd_nhwc", "conv2d_winograd_nchw")
"""What topi cannot compute since 0.25, though the first is still in TVM's list: its code raises LEGACY-FLOW."""

_TE_WORKLOADS = (
    "batch_matmul_nkkm",
    "conv1d_nlc",
    "conv2d_nhwc",
    "conv3d_ndhwc",
    "depthwise_conv2d_nhwc",
    "conv2d_transpose_nhwc",
    "conv2d_capsule_nhwijc",
    "norm_bmn",
    "conv2d_nhwc_bn_relu",
    "transpose_batch_matmul",
    *_WINOGRAD,
    "matmul",
    "matmul_relu",
    "conv2d_nchw",
    "conv2d_nchw_bias_bn_relu",
    "max_pool2d_nchw",
    "softmax_mn",
)


def registry() -> Registry:
    """The registry of workloads, to read and to add to: auto_scheduler's where TVM has it."""
    if not has_auto_scheduler():
        return _WITHOUT_AUTO_SCHEDULER
    found: Registry = require_auto_scheduler().workload_registry.WORKLOAD_FUNC_REGISTRY
    return found


def workload_names() -> list[str]:
    """The names that `make_task` takes: functions first, then configurations such as `C2D`."""
    return [*workload_functions(), *_configurations()]


def workload_signatures() -> dict[str, str]:
    """A line for each workload: its arguments, or for a configuration the shapes that it numbers."""
    lines = {name: signature_of(function) for name, function in workload_functions().items()}
    for name, (function, shapes) in _configurations().items():
        lines[name] = f"[index=0], 0 to {len(shapes) - 1}: a shape of {function}"
    return lines


def resolve(name: str, args: Sequence[Argument] = ()) -> tuple[str, tuple[Argument, ...]]:
    """The function and the checked arguments that `name` and `args` stand for; defaults are filled in.

    A configuration (`C2D`) takes the index of one of its shapes (default 0) and resolves to its function. Raises
    WorkloadError for an unknown name (with close matches) or arguments that do not fit (with the signature).
    """
    functions, configurations = workload_functions(), _configurations()
    if name in configurations:
        function_name, shapes = configurations[name]
        index = args[0] if args else 0
        if len(args) > 1 or not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(shapes):
            listing = "; ".join(f"{i}: {' '.join(map(str, shape))}" for i, shape in enumerate(shapes))
            raise WorkloadError(
                f"{name} takes the index of one of its {len(shapes)} shapes, not {join(args)}. "
                f"Shapes of {function_name}: {listing}"
            )
        return resolve(function_name, shapes[index])
    if name not in functions:
        if name in _TE_WORKLOADS:
            raise WorkloadError(f"{name} needs TVM 0.19 or before: later ones cannot compute it")
        raise WorkloadError(unknown("workload", name, [*functions, *configurations]))
    return name, _check_arguments(name, functions[name], args)


def canonical_key(workload_key: str) -> str:
    """The key with default arguments filled in: of one of the package's workloads, or of a function that is registered.

    Any other key as it is. Logs may leave defaults out, so one workload can have several keys.
    """
    try:
        name, *args = json.loads(workload_key)
        if str(name).startswith(PREFIX):
            function, arguments = resolve(name.removeprefix(PREFIX), args)
            return json.dumps([PREFIX + function, *arguments])
    except (ValueError, TypeError):  # WorkloadError is a ValueError
        return workload_key
    return _with_defaults(workload_key, name, args)


def _with_defaults(workload_key: str, name: object, args: Sequence[Any]) -> str:
    """The key of a user's function with its defaults; as it is where these are unknown, or cannot be in a key."""
    function = registry().get(name) if isinstance(name, str) else None
    if not callable(function):  # tensors, registered under the whole key
        return workload_key
    try:
        bound = inspect.signature(function).bind(*args)
        given = len(bound.args)
        bound.apply_defaults()
        defaults = bound.args[given:]
        if has_auto_scheduler():
            defaults = require_auto_scheduler().workload_registry.serialize_args(defaults)
        return json.dumps([name, *bound.args[:given], *defaults])
    except (ValueError, TypeError, RuntimeError):
        return workload_key


def key_of_log(stem: str) -> str | None:
    """The canonical key of the workload that `tvm-gnn-cost collect` gives a log of this name, `matmul-512x512x512`.

    None for a name that is not of this form.
    """
    name, _, arguments = stem.partition("-")
    args = [int(part) if part.isdecimal() else part for part in arguments.split("x")]
    try:
        function, resolved = resolve(name, args)
    except WorkloadError:
        return None
    return json.dumps([PREFIX + function, *resolved])


def describe(workload_key: str) -> str:
    """`matmul 512 512 512` for the workload key of a registered function; any other key as it is."""
    try:
        name, *args = json.loads(workload_key)
    except (ValueError, TypeError):
        return workload_key
    if not isinstance(name, str) or HASH.fullmatch(name) or any(isinstance(arg, dict) for arg in args):
        return workload_key
    return " ".join([name.removeprefix(PREFIX), *map(_word, args)])


def _word(argument: object) -> str:
    """An argument as it is given on a command line."""
    return json.dumps(argument, separators=(",", ":")) if isinstance(argument, list) else str(argument)


def signature_of(function: Callable[..., Any]) -> str:
    """`m n k`, with defaults as `dilation=1`, for a workload function."""
    parts = []
    for parameter in inspect.signature(function).parameters.values():
        has_default = parameter.default is not inspect.Parameter.empty
        parts.append(f"[{parameter.name}={parameter.default}]" if has_default else parameter.name)
    return " ".join(parts)


def workload_functions() -> dict[str, Callable[..., Any]]:
    """The package's workloads by name: functions that return te tensors."""
    from tvm_gnn_cost.workloads.chains import MATRIX_CHAINS
    from tvm_gnn_cost.workloads.image_chains import IMAGE_CHAINS
    from tvm_gnn_cost.workloads.random_programs.program import random_program

    of_tvm = _te_workload()
    gone = () if hasattr(of_tvm, _WINOGRAD[1]) else _WINOGRAD
    operators = {name: getattr(of_tvm, name) for name in _TE_WORKLOADS if name not in gone}
    return operators | {function.__name__: function for function in (*MATRIX_CHAINS, *IMAGE_CHAINS, random_program)}


def _configurations() -> dict[str, tuple[str, list[tuple[Argument, ...]]]]:
    configurations = _te_workload().CONFIGS
    known = workload_functions()
    return {
        name: (function.__name__, list(shapes))
        for name, (function, shapes) in configurations.items()
        if function.__name__ in known
    }


def _te_workload() -> ModuleType:
    """TVM's own operator set."""
    return import_module(f"{require_meta_schedule().__name__}.testing.te_workload")


def _check_arguments(name: str, function: Callable[..., Any], args: Sequence[Argument]) -> tuple[Argument, ...]:
    signature = inspect.signature(function)
    expected = f"{name} takes: {signature_of(function)}"
    try:
        bound = signature.bind(*args)
    except TypeError as error:
        raise WorkloadError(f"{name} got {len(args)} arguments ({error}). {expected}") from error
    bound.apply_defaults()
    for parameter, value in bound.arguments.items():
        wanted = _wanted_type(signature.parameters[parameter])
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise WorkloadError(
                f"{name}: argument {parameter} is {value!r} ({type(value).__name__}), not {wanted.__name__}. {expected}"
            )
        if isinstance(value, int) and value < (0 if "pad" in parameter else 1):
            raise WorkloadError(f"{name}: argument {parameter} is {value}, which is too small. {expected}")
    return tuple(bound.arguments.values())


def _wanted_type(parameter: inspect.Parameter) -> type:
    """`int` or `str`: from the annotation (a name, where annotations are strings), else from the default."""
    if parameter.annotation in (str, "str") or isinstance(parameter.default, str):
        return str
    return int


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """'unknown KIND NAME', with the close matches or, where none is close, all names."""
    names = list(known)
    lower = {n.lower(): n for n in names}
    matches = [lower[m] for m in difflib.get_close_matches(name.lower(), lower, n=4, cutoff=0.5)]
    hint = f"did you mean {', '.join(matches)}?" if matches else f"known: {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"


def join(args: Sequence[object]) -> str:
    return ", ".join(map(str, args))
