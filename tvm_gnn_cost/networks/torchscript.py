"""TorchScript files (`torch.jit.save`).

Reading one runs nothing of it that could reach beyond tensors. `torch.jit.load` unpickles TorchScript's own types only
and compiles the code, but runs `__setstate__` methods: a file with one is refused. A straight program (any trace) is
then read, not run. One with branches, loops or lists (from `torch.jit.script`) is made straight first: `scripted`.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import DeclaredInput, InputSpec
from tvm_gnn_cost.networks.network import Network
from tvm_gnn_cost.networks.scripted import ScriptedProgram, is_straight
from tvm_gnn_cost.networks.torch_modules import import_trace, trace


def read_torchscript(
    path: Path, source: dict[str, Any], resolve: Callable[[list[DeclaredInput]], tuple[InputSpec, ...]]
) -> Network:
    """A network from a TorchScript file.

    Args:
        path: the file, known to be TorchScript.
        source: what the network says of its origin.
        resolve: gives the inputs their shapes. TorchScript knows no shapes, and no types.

    Raises WorkloadError for a damaged file, for code that may not be run, for operators that TVM cannot import.
    """
    _refuse_code_that_runs_while_loading(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(str(path), map_location="cpu")
            module.eval()
            straight = is_straight(module)
    except Exception as error:  # RuntimeError of many kinds
        raise WorkloadError(f"{path} is damaged: {last_line(error)}") from error
    declared = _declared_inputs(path, module)
    inputs = resolve(declared)
    if straight:
        try:
            return import_trace(path.name, module, inputs, source)
        except WorkloadError as error:
            if "these operators" not in str(error):
                raise
    examples = {spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs}
    return import_trace(path.name, trace(path.name, ScriptedProgram(path.name, module), examples), inputs, source)


def _refuse_code_that_runs_while_loading(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if entry.endswith(".py") and b"__setstate__" in archive.read(entry):
                raise WorkloadError(
                    f"{path} holds code that runs while it is loaded (__setstate__ in {entry}, as quantised modules "
                    "have), which is not done: save it as ONNX, or tune the module from Python with tune_module"
                )


def _declared_inputs(path: Path, module: Any) -> list[DeclaredInput]:
    """The tensors that `forward` takes; arguments with a default keep it."""
    declared = []
    for argument in module.forward.schema.arguments[1:]:
        if argument.has_default_value():
            continue
        if str(argument.type) != "Tensor":
            raise WorkloadError(f"{path}: its input {argument.name!r} is no tensor, but {argument.type}")
        declared.append(DeclaredInput(argument.name))
    return declared
