"""Networks as Relax programs, which TVM has in place of Relay since 0.25: from exported PyTorch programs and ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import InputSpec
from tvm_gnn_cost.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn


def import_torch(
    name: str, module: nn.Module, examples: Mapping[str, Tensor], inputs: Sequence[InputSpec], source: dict[str, Any]
) -> Network:
    """A network from a PyTorch module of fixed shapes, by Relax's PyTorch front end; its weights are constants.

    Raises WorkloadError where it cannot be exported, or TVM cannot import it.
    """
    import torch
    from tvm.relax.frontend.torch import from_exported_program

    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module.eval(), tuple(examples.values()))
            mod = from_exported_program(program)
    except Exception as error:  # the front end asserts, and torch raises whatever the module's code does
        raise WorkloadError(f"Relax's PyTorch front end cannot import {name}: {last_line(error)}") from error
    return Network(name, lowered(name, mod), {}, tuple(inputs), source)


def import_onnx(name: str, model: Any, inputs: Sequence[InputSpec], source: dict[str, Any]) -> Network:
    """A network from an ONNX model, by Relax's ONNX front end; its weights are constants.

    Raises WorkloadError where TVM cannot import it.
    """
    from tvm.relax.frontend.onnx import from_onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shapes, dtypes = {i.name: list(i.shape) for i in inputs}, {i.name: i.dtype for i in inputs}
            mod = from_onnx(model, shapes, dtypes)
    except Exception as error:  # the front end asserts
        raise WorkloadError(f"Relax's ONNX front end cannot import {name}: {last_line(error)}") from error
    return Network(name, lowered(name, mod), {}, tuple(inputs), source)


def lowered(name: str, mod: Any) -> Any:
    """The program as calls of TIR functions, fused: what Relax's own pipeline for tuning gives to MetaSchedule.

    Raises WorkloadError where an operator has no TIR.
    """
    import tvm
    from tvm import relax

    passes = [
        relax.transform.DecomposeOpsForInference(),
        relax.transform.CanonicalizeBindings(),
        relax.get_pipeline("zero"),
    ]
    try:
        return tvm.transform.Sequential(passes)(mod)
    except Exception as error:  # of TVM's passes, of many kinds
        raise WorkloadError(f"{name} cannot be lowered to TIR: {last_line(error)}") from error
