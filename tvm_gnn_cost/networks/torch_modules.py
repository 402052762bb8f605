"""PyTorch modules as networks: a trace with example inputs, read by Relay's PyTorch front end."""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import DTYPES, InputSpec
from tvm_gnn_cost.networks.network import Network, make_network
from tvm_gnn_cost.networks.offline import without_downloads
from tvm_gnn_cost.networks.torch_converters import CONVERTERS

logger = logging.getLogger("tvm_gnn_cost")

ExampleInputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
"""A module's inputs: one, those of `forward` in order, or by the names that `forward` gives them."""

TorchModule = nn.Module | torch.export.ExportedProgram
"""What can be traced."""


def from_module(module: TorchModule, example_inputs: ExampleInputs, name: str | None = None) -> Network:
    """A network from a PyTorch module, in evaluation mode, for inputs of the examples' shapes and types.

    Args:
        module: any module that `torch.jit.trace` can follow, traced and scripted ones among them, or a
            `torch.export.ExportedProgram`.
        example_inputs: see `ExampleInputs`. A Python branch in `forward` is followed as these inputs take it.
        name: what the network is called; None is the module's class.

    Raises InvalidArgumentError for example inputs that are no tensors, WorkloadError where the module does not run
    with them, or TVM cannot import an operator of it.
    """
    if isinstance(module, torch.export.ExportedProgram):
        name, module = name or "ExportedProgram", module.module()
    if not isinstance(module, nn.Module):
        raise InvalidArgumentError(f"module is {type(module).__name__}; it is a torch.nn.Module")
    name = name or str(getattr(module, "original_name", type(module).__name__))
    examples = _named_examples(module, example_inputs)
    traced = trace(name, module, examples)
    inputs = [InputSpec(key, tuple(value.shape), dtype_name(value.dtype)) for key, value in examples.items()]
    return import_trace(name, traced, inputs, {"module": name})


def dtype_name(dtype: torch.dtype) -> str:
    """As in "float32". Raises InvalidArgumentError for a type that TVM's networks do not take."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise InvalidArgumentError(f"an input is of type {name}; known: {', '.join(DTYPES)}")
    return name


def trace(name: str, module: nn.Module, examples: Mapping[str, Tensor]) -> Any:
    """The trace of a module in evaluation mode: a script module whose outputs are plain tensors.

    The module is left as it was. Raises WorkloadError where it does not run with the examples.
    """
    if any(t.device.type != "cpu" for t in module.state_dict().values() if isinstance(t, Tensor)):
        module = copy.deepcopy(module).cpu()
    values = tuple(value.detach().cpu() for value in examples.values())
    with _traceable(module), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            traced = torch.jit.trace(_Plain(module, tuple(examples)), values, strict=False, check_trace=False)
        except Exception as error:  # whatever the module's code raises
            raise WorkloadError(f"{name} cannot be traced with these inputs: {last_line(error)}") from error
    for warning in caught:
        if issubclass(warning.category, torch.jit.TracerWarning):
            logger.info("%s: %s", name, str(warning.message).splitlines()[0])
    return traced


def import_trace(name: str, traced: Any, inputs: Sequence[InputSpec], source: dict[str, Any]) -> Network:
    """A network from a traced module. Raises WorkloadError that names all operators that TVM cannot import."""
    from tvm import relay

    parameters = set(traced.state_dict())
    shapes = [
        (i.name if i.name not in parameters else f"{i.name}_input", (i.shape, i.dtype)) for i in inputs
    ]  # else the front end would take it for the parameter
    try:
        with without_downloads(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mod, params = relay.frontend.from_pytorch(traced, shapes, CONVERTERS)
    except NotImplementedError as error:
        missing = re.findall(r"'([\w:.]+)'", str(error)) if "not implemented" in str(error) else []
        what = f"these operators of {name}: {', '.join(sorted(missing))}" if missing else f"{name}: {last_line(error)}"
        raise WorkloadError(f"TVM's PyTorch front end cannot import {what}") from error
    except Exception as error:  # the front end asserts, and Relay's type inference has errors of its own
        raise WorkloadError(f"TVM's PyTorch front end cannot import {name}: {last_line(error)}") from error
    return make_network(name, mod, params, source)


class _Plain(nn.Module):
    """Calls a module with its inputs by name, where it has names, and gives the tensors of its output, flat."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        parameters = _parameters(module)
        self.names = names if parameters is not None and set(names) <= set(parameters) else None

    def forward(self, *values: Tensor) -> Any:
        if self.names is None:
            output = self.module(*values)
        else:
            output = self.module(**dict(zip(self.names, values, strict=True)))
        tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        return tensors[0] if len(tensors) == 1 else tuple(tensors)


@contextlib.contextmanager
def _traceable(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, and attention as single operators rather than PyTorch's fused fast path."""
    modes = {part: part.training for part in module.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for part in modes:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, training in modes.items():
            part.training = training


def _named_examples(module: nn.Module, examples: ExampleInputs) -> dict[str, Tensor]:
    """By name, in the order of `forward`'s parameters; names of our own where it takes any number."""
    names = _parameters(module)
    if isinstance(examples, Mapping):
        named: dict[str, Any] = dict(examples)
        if names is not None and (unknown := [key for key in named if key not in names]):
            raise InvalidArgumentError(
                f"`example_inputs` has {', '.join(map(repr, unknown))}; forward takes {', '.join(names)}"
            )
    else:
        values = [examples] if isinstance(examples, Tensor) else list(examples)
        if names is not None and len(values) > len(names):
            raise InvalidArgumentError(
                f"`example_inputs` holds {len(values)} inputs; forward takes {len(names)}: {', '.join(names)}"
            )
        named = dict(zip(names or [f"input{i}" for i in range(len(values))], values, strict=False))
    for key, value in named.items():
        if not isinstance(value, Tensor):
            raise InvalidArgumentError(
                f"`example_inputs` gives {key!r} as {type(value).__name__}; all are tensors (fix other arguments in a "
                "module that calls yours)"
            )
        dtype_name(value.dtype)
    if not named:
        raise InvalidArgumentError("`example_inputs` is empty; a module is traced with at least one input")
    return named


def _parameters(module: nn.Module) -> list[str] | None:
    """The names of `forward`'s parameters in order; None where it takes any number, or does not say."""
    if isinstance(module, torch.jit.ScriptModule):
        method: Any = module.forward
        return [argument.name for argument in method.schema.arguments[1:]]
    parameters = inspect.signature(module.forward).parameters.values()
    if any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters):
        return None
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
