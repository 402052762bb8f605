"""Files of `torch.export.save` (.pt2), read without PyTorch's own loader.

`torch.export.load` unpickles example inputs, evaluates symbolic expressions and compiles generated Python; a file of
unknown origin could run anything. Here the graph is read as JSON and the weights as bytes, and its operators, of
`torch.ops.aten` alone, are called one after the other while `torch.jit.trace` watches (`torch.export`, for a TVM with
Relax). Free dimensions are thereby fixed at the given inputs' shapes.
"""

from __future__ import annotations

import math
import operator
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import DTYPES, DeclaredInput, InputSpec
from tvm_gnn_cost.networks.network import Network
from tvm_gnn_cost.networks.relax_programs import import_torch
from tvm_gnn_cost.networks.torch_modules import import_trace, trace
from tvm_gnn_cost.networks.torch_operators import takes_no_file
from tvm_gnn_cost.system.files import parse_json
from tvm_gnn_cost.system.find_tvm import has_relay

SCHEMA_MAJOR = 8  # torch/_export/serde/schema.py

_SCALAR_TYPES: dict[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_NUMBER_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "truediv", "mod")},
    **{f"_operator.{name}": getattr(operator, name) for name in ("neg", "pow", "eq", "ne", "lt", "le", "gt", "ge")},
    **{f"_operator.{name}": getattr(operator, name) for name in ("and_", "or_", "not_", "getitem")},
    **{f"math.{name}": getattr(math, name) for name in ("floor", "ceil", "trunc")},
    **{"torch.sym_int": int, "torch.sym_float": float, "torch.sym_max": max, "torch.sym_min": min},
    "torch.sym_not": operator.not_,
    "torch.ops.aten.sym_size.int": lambda tensor, dim: int(tensor.shape[dim]),
    "torch.ops.aten.sym_numel.default": lambda tensor: int(tensor.numel()),
}
_CHECKS = ("_assert_", "sym_constrain_range")
"""Operators that only check what the example inputs fix."""


def read_exported_program(
    path: Path, source: dict[str, Any], resolve: Callable[[list[DeclaredInput]], tuple[InputSpec, ...]]
) -> Network:
    """A network from a file of `torch.export.save`.

    Args:
        path: the file, known to be a PyTorch archive with an exported program.
        source: what the network says of its origin.
        resolve: gives the inputs their shapes.

    Raises WorkloadError for a damaged file or one of another version, and for operators that cannot be imported.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            program = _Program(path, _Archive(archive))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        if isinstance(error, WorkloadError):
            raise
        raise WorkloadError(f"{path} is damaged: {type(error).__name__}: {last_line(error)}") from error
    inputs = resolve(program.declared)
    examples = {s.name: torch.zeros(s.shape, dtype=getattr(torch, s.dtype)) for s in inputs}
    if not has_relay():
        return import_torch(path.name, program, examples, inputs, source)
    return import_trace(path.name, trace(path.name, program, examples), inputs, source)


class _Archive:
    """The files of a PyTorch archive, without its top folder."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._top = archive.namelist()[0].partition("/")[0]

    def names(self) -> list[str]:
        return [name.removeprefix(f"{self._top}/") for name in self._archive.namelist()]

    def read(self, name: str) -> bytes:
        return self._archive.read(f"{self._top}/{name}")

    def json(self, name: str) -> Any:
        return parse_json(self.read(name))


class _Program(nn.Module):
    """An exported program as a module that runs its operators one after the other.

    Attributes:
        declared: the tensors that it takes.
    """

    def __init__(self, path: Path, archive: _Archive) -> None:
        super().__init__()
        models = [n for n in archive.names() if n.startswith("models/") and n.endswith(".json")]
        if len(models) != 1:
            raise WorkloadError(f"{path} holds {len(models)} programs; one is tuned at a time")
        model = archive.json(models[0])
        if model["schema_version"]["major"] != SCHEMA_MAJOR:
            raise WorkloadError(
                f"{path} is of version {model['schema_version']['major']} of PyTorch's format, and "
                f"{SCHEMA_MAJOR} is read: save the program again, with torch 2.9 or later"
            )
        graph, signature = model["graph_module"]["graph"], model["graph_module"]["signature"]
        self._refuse_unknown(path, graph["nodes"])
        self._nodes: list[dict[str, Any]] = graph["nodes"]
        self._outputs = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
        self._fixed: dict[str, Any] = {}
        self.declared: list[DeclaredInput] = []
        name = models[0].removeprefix("models/").removesuffix(".json")
        weights = _Tensors(path, archive, "data/weights", f"{name}_weights_config.json")
        constants = _Tensors(path, archive, "data/constants", f"{name}_constants_config.json")
        for spec in signature["input_specs"]:
            ((kind, about),) = spec.items()
            if kind == "user_input":
                self._declare(path, about["arg"], graph["tensor_values"])
            elif kind == "parameter":
                self._keep(about["arg"]["name"], weights[about["parameter_name"]])
            elif kind == "buffer":
                kept = weights if about["persistent"] else constants
                self._keep(about["arg"]["name"], kept[about["buffer_name"]])
            elif kind == "tensor_constant":
                self._keep(about["arg"]["name"], constants[about["tensor_constant_name"]])
            else:
                raise WorkloadError(f"{path} holds a {kind.replace('_', ' ')}, which TVM cannot import")

    def forward(self, *inputs: Tensor) -> Any:
        values: dict[str, Any] = dict(self.named_buffers()) | self._fixed
        values |= {item.name: value for item, value in zip(self.declared, inputs, strict=True)}
        for node in self._nodes:
            if not _is_check(node["target"]):
                _bind(node["outputs"], _call(node, values), values)
        return tuple(_value(argument, values) for argument in self._outputs)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor)

    def _declare(self, path: Path, argument: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        ((kind, content),) = argument.items()
        if kind == "as_tensor":
            meta = tensors[content["name"]]
            dtype = str(_SCALAR_TYPES.get(meta["dtype"])).removeprefix("torch.")
            if dtype not in DTYPES:
                raise WorkloadError(f"{path}: its input {content['name']!r} has a type that TVM does not take")
            sizes = tuple(size.get("as_int") for size in meta["sizes"])
            self.declared.append(DeclaredInput(content["name"], sizes, dtype))
        elif kind.startswith("as_sym"):
            raise WorkloadError(f"{path}: its input {content.get('as_name')!r} is a number that is not fixed")

    @staticmethod
    def _refuse_unknown(path: Path, nodes: Sequence[Mapping[str, Any]]) -> None:
        unknown = sorted({n["target"] for n in nodes if not _is_check(n["target"]) and _function(n["target"]) is None})
        if unknown:
            raise WorkloadError(f"{path} uses operators that cannot be imported: {', '.join(unknown)}")


class _Tensors(Mapping[str, Tensor]):
    """Tensors of an archive by name, read from their bytes."""

    def __init__(self, path: Path, archive: _Archive, folder: str, config: str) -> None:
        self._path, self._archive, self._folder = path, archive, folder
        self._about: dict[str, Any] = archive.json(f"{folder}/{config}")["config"]

    def __getitem__(self, name: str) -> Tensor:
        about = self._about[name]
        if about["use_pickle"] or about["tensor_meta"] is None:
            raise WorkloadError(f"{self._path} holds {name} in pickled form, which is not read")
        meta, raw = about["tensor_meta"], self._archive.read(f"{self._folder}/{about['path_name']}")
        sizes, strides = ([int(d["as_int"]) for d in meta[key]] for key in ("sizes", "strides"))
        dtype = _SCALAR_TYPES.get(meta["dtype"])
        if dtype is None:
            raise WorkloadError(f"{self._path}: {name} has an element type that TVM does not take")
        if 0 in sizes:
            return torch.empty(sizes, dtype=dtype)
        flat = torch.frombuffer(bytearray(raw), dtype=dtype)
        return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).clone()

    def __iter__(self) -> Any:
        return iter(self._about)

    def __len__(self) -> int:
        return len(self._about)


def _is_check(target: str) -> bool:
    return target.startswith("torch.ops.aten.") and target.split(".")[3].startswith(_CHECKS)


def _function(target: str) -> Callable[..., Any] | None:
    """What a node calls; None for all but functions of numbers and those operators of aten that take no file."""
    if target in _NUMBER_FUNCTIONS:
        return _NUMBER_FUNCTIONS[target]
    parts = target.split(".")
    if len(parts) != 5 or parts[:3] != ["torch", "ops", "aten"]:
        return None
    overload = getattr(getattr(torch.ops.aten, parts[3], None), parts[4], None)
    if not isinstance(overload, torch._ops.OpOverload) or not takes_no_file(overload._schema):
        return None
    return overload


def _call(node: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    function = _function(node["target"])
    assert function is not None  # `_refuse_unknown` has seen to it
    arguments = {i["name"]: _value(i["arg"], values) for i in node["inputs"]}
    return function(*arguments.values()) if node["target"] in _NUMBER_FUNCTIONS else function(**arguments)


def _value(argument: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """The value of an argument: a constant, or what a node before has given."""
    ((kind, content),) = argument.items()
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_name"):
        return values[content["name"] if kind == "as_tensor" else content]
    if kind == "as_tensors":
        return [values[item["name"]] for item in content]
    if kind in ("as_optional_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools"):
        return [_value(item, values) for item in content]
    if kind in ("as_optional_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"):
        return _value(content, values)
    if kind == "as_scalar_type":
        return _SCALAR_TYPES[content]
    if kind == "as_memory_format":
        return _MEMORY_FORMATS[content]
    if kind == "as_layout":
        return torch.strided
    if kind == "as_device":
        return torch.device("cpu")
    if kind == "as_float":
        return float(content)  # infinities are texts
    if kind in ("as_int", "as_bool", "as_string", "as_ints", "as_floats", "as_bools", "as_int_lists"):
        return content
    raise WorkloadError(f"an operator takes an argument {kind!r}, which TVM cannot import")


def _bind(outputs: Sequence[Mapping[str, Any]], result: Any, values: dict[str, Any]) -> None:
    """Name what a node gives: one value, several, or a list."""
    several = len(outputs) > 1
    for output, value in zip(outputs, result if several else [result], strict=False):
        ((kind, content),) = output.items()
        if kind == "as_tensor":
            values[content["name"]] = value
        elif kind == "as_tensors":
            values.update({item["name"]: part for item, part in zip(content, value, strict=True)})
        elif kind.startswith("as_sym"):
            values[content["as_name"]] = value
