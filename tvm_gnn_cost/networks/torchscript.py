"""TorchScript files (`torch.jit.save`).

Reading one runs nothing of it that could reach beyond tensors. `torch.jit.load` unpickles TorchScript's own types only
and compiles the code, but runs `__setstate__` methods: a file with one is refused. A straight program (any trace) is
then read, not run. One with branches, loops or lists (from `torch.jit.script`) is traced by TorchScript's interpreter,
once all of its operators are known to work on tensors and numbers alone.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import DeclaredInput, InputSpec
from tvm_gnn_cost.networks.network import Network
from tvm_gnn_cost.networks.torch_modules import import_trace, trace
from tvm_gnn_cost.networks.torch_operators import is_harmless

_CONTROL_FLOW = ("prim::If", "prim::Loop")


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
            graph = module.graph.copy()
            torch._C._jit_pass_inline(graph)
    except Exception as error:  # RuntimeError of many kinds
        raise WorkloadError(f"{path} is damaged: {last_line(error)}") from error
    declared = _declared_inputs(path, module)
    inputs = resolve(declared)
    if not any(node.kind() in _CONTROL_FLOW for node in graph.nodes()):
        try:
            return import_trace(path.name, module, inputs, source)
        except WorkloadError as error:
            if "these operators" not in str(error):
                raise
    _refuse_what_reaches_beyond_tensors(path, graph)
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    examples = {name: _example(spec) for name, spec in zip(names, inputs, strict=False)}
    return import_trace(path.name, trace(path.name, module, examples), inputs, source)


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


def _refuse_what_reaches_beyond_tensors(path: Path, graph: Any) -> None:
    refused = sorted({node.kind() for node in _nodes(graph) if not is_harmless(node)})
    if refused:
        raise WorkloadError(
            f"{path} is a scripted program, which has to be run to be read, and it uses operators that are not run "
            f"from a file: {', '.join(refused)}. Save a trace (torch.jit.trace) or an exported program (torch.export)"
        )


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _example(spec: InputSpec) -> torch.Tensor:
    return torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype))
