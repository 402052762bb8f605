"""ONNX operators whose meaning has changed since TVM 0.19's front end was written (operator sets 18 to 24).

The front end takes the last converter that it has, and so would read a newer operator as an older one, in silence or
with an error that says nothing. Here newer forms become older ones where these say the same, and the others are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import WorkloadError

_REDUCTIONS = frozenset(f"Reduce{kind}" for kind in ("Max", "Min", "Sum", "Mean", "Prod", "L1", "L2"))
_REDUCTIONS |= {"ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}


def as_the_front_end_reads(path: Path, model: Any) -> Any:
    """The model with its operators in forms that TVM's front end knows. The model given is changed.

    Raises WorkloadError that names the operators for which there is none.
    """
    constants = _constants(model.graph)
    refused: dict[str, None] = {}
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type in _REDUCTIONS and len(node.input) > 1:
            reason = _axes_as_attribute(node, constants)
        elif node.op_type == "Gelu":
            reason = _gelu(node, attributes)
        else:
            reason = _newer_than_the_front_end(node, attributes)
        if reason:
            refused[f"{node.op_type} ({reason})"] = None
    if refused:
        raise WorkloadError(f"TVM's ONNX front end cannot import these operators of {path.name}: {', '.join(refused)}")
    return model


def _constants(graph: Any) -> dict[str, NDArray[Any]]:
    """The small tensors of integers in a graph by name: what may be axes."""
    from onnx import TensorProto, numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [a.t for a in node.attribute if a.name == "value"]
            tensors.update(zip(node.output, values, strict=False))
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in tensors.items()
        if tensor.data_type == TensorProto.INT64 and len(tensor.dims) <= 1
    }


def _axes_as_attribute(node: Any, constants: Mapping[str, NDArray[Any]]) -> str | None:
    """Reductions have their axes as an input since 18 (ReduceSum since 13); the front end reads only the first."""
    from onnx import helper

    name = node.input[1]
    if name and name not in constants:
        return "axes that are computed"
    axes = [int(axis) for axis in np.atleast_1d(constants[name])] if name else []
    del node.input[1:]
    if axes:
        node.attribute.append(helper.make_attribute("axes", axes))
    return None


def _gelu(node: Any, attributes: Mapping[str, Any]) -> str | None:
    """The front end's Gelu is the exact one; its FastGelu is ONNX's approximation by tanh."""
    approximate = attributes["approximate"].s.decode() if "approximate" in attributes else "none"
    if approximate == "tanh":
        node.op_type = "FastGelu"
        del node.attribute[:]
    return None if approximate in ("none", "tanh") else f"approximate={approximate}"


def _newer_than_the_front_end(node: Any, attributes: Mapping[str, Any]) -> str | None:
    """What the front end would leave out of account; None where it reads the node as it is meant."""
    if node.op_type == "Pad":
        mode = attributes["mode"].s.decode() if "mode" in attributes else "constant"
        if len(node.input) > 3 and node.input[3]:
            return "axes"
        return None if mode in ("constant", "edge", "reflect") else f"mode={mode}"
    if node.op_type == "Resize":
        for name in ("antialias", "axes"):
            if name in attributes and (attributes[name].i or attributes[name].ints):
                return name
        policy = attributes["keep_aspect_ratio_policy"].s.decode() if "keep_aspect_ratio_policy" in attributes else ""
        return None if policy in ("", "stretch") else f"keep_aspect_ratio_policy={policy}"
    if node.op_type == "AveragePool" and any(d != 1 for d in _ints(attributes, "dilations")):
        return "dilations"
    return None


def _ints(attributes: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(attributes[name].ints) if name in attributes else ()
