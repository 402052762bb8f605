"""ONNX files as networks. Needs the package onnx (the extra "onnx"), any version: what TVM 0.19's front end asks of
older ones is given to it while it runs."""

from __future__ import annotations

import contextlib
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import DTYPES, DeclaredInput, InputSpec
from tvm_gnn_cost.networks.network import Network, make_network
from tvm_gnn_cost.networks.offline import without_downloads
from tvm_gnn_cost.networks.onnx_operators import as_the_front_end_reads
from tvm_gnn_cost.networks.relax_programs import import_onnx
from tvm_gnn_cost.system.find_tvm import has_relay

logger = logging.getLogger("tvm_gnn_cost")

INSTALL = 'pip install "tvm-gnn-cost[onnx]"'


def read_onnx(
    path: Path, source: dict[str, Any], resolve: Callable[[list[DeclaredInput]], tuple[InputSpec, ...]]
) -> Network:
    """A network from an ONNX file; weights in files beside it are read as well.

    Args:
        path: the file.
        source: what the network says of its origin.
        resolve: gives the inputs their shapes.

    Raises WorkloadError for a file that is no ONNX model, for a missing package, and for operators that TVM cannot
    import, all of them named.
    """
    onnx = _require_onnx(path)
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's DecodeError, onnx's ValidationError, missing files of weights
        raise WorkloadError(f"{path} is no ONNX model, or it is damaged: {last_line(error)}") from error
    if not model.graph.node or not model.graph.output:
        raise WorkloadError(f"{path} is no ONNX model, or it is damaged: it holds no operators")
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    if not has_relay():
        return import_onnx(path.name, model, resolve(_declared_inputs(path, model)), source)
    model = as_the_front_end_reads(path, model)
    inputs = resolve(_declared_inputs(path, model))
    return _import(path, model, inputs, source)


def _require_onnx(path: Path) -> Any:
    try:
        import onnx
        import onnx.helper
    except ImportError as error:
        raise WorkloadError(f"{path} is an ONNX model, and reading it needs the package onnx: {INSTALL}") from error
    return onnx


def _declared_inputs(path: Path, model: Any) -> list[DeclaredInput]:
    from onnx import helper

    constants = {tensor.name for tensor in model.graph.initializer}
    declared = []
    for value in model.graph.input:
        if value.name in constants:
            continue
        if value.type.WhichOneof("value") != "tensor_type":
            raise WorkloadError(f"{path}: its input {value.name!r} is no tensor")
        tensor = value.type.tensor_type
        dtype = _dtype_name(helper, tensor.elem_type)
        if dtype not in DTYPES:
            raise WorkloadError(f"{path}: its input {value.name!r} has the type {dtype}, which TVM does not take")
        shape = tuple(d.dim_value or None for d in tensor.shape.dim) if tensor.HasField("shape") else None
        declared.append(DeclaredInput(value.name, shape, dtype))
    return declared


def _import(path: Path, model: Any, inputs: tuple[InputSpec, ...], source: dict[str, Any]) -> Network:
    from tvm import relay
    from tvm.error import OpNotImplemented

    try:
        with without_downloads(), _older_onnx(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mod, params = relay.frontend.from_onnx(
                model, shape={i.name: i.shape for i in inputs}, dtype={i.name: i.dtype for i in inputs}
            )
    except OpNotImplemented as error:
        missing = ", ".join(sorted(last_line(error).partition("frontend ONNX: ")[2].split(", ")))
        raise WorkloadError(
            f"TVM's ONNX front end cannot import these operators of {path.name}: {missing or last_line(error)}"
        ) from error
    except Exception as error:  # the front end asserts, and Relay's type inference has errors of its own
        raise WorkloadError(f"TVM's ONNX front end cannot import {path.name}: {last_line(error)}") from error
    return make_network(path.name, mod, params, source)


@contextlib.contextmanager
def _older_onnx() -> Iterator[None]:
    """`onnx.mapping`, which TVM 0.19's front end imports and newer releases of onnx lack, for as long as needed."""
    import onnx
    from onnx import helper

    if hasattr(onnx, "mapping") or "onnx.mapping" in sys.modules:
        yield
        return
    table = {number: _dtype_name(helper, number) for number in helper.get_all_tensor_dtypes()}
    mapping = types.ModuleType("onnx.mapping")
    mapping.TENSOR_TYPE_TO_NP_TYPE = table  # type: ignore[attr-defined]
    sys.modules["onnx.mapping"] = mapping
    try:
        yield
    finally:
        del sys.modules["onnx.mapping"]


def _dtype_name(helper: Any, number: int) -> str:
    """The element type that a number of ONNX stands for, as TVM calls it."""
    try:
        return str(helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, ValueError, TypeError):
        return f"number {number}"
