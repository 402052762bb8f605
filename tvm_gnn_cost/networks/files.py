"""Networks from files of other programs. A file's format is found by its content, not by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.networks.inputs import GivenInput, InputSpec, parse_input, resolve_inputs
from tvm_gnn_cost.networks.network import Network
from tvm_gnn_cost.system.files import file_digest, parse_json
from tvm_gnn_cost.system.find_tvm import require_relay, require_tvm

FORMATS = (
    "ONNX (.onnx), TorchScript (torch.jit.save), an exported PyTorch program (torch.export.save, .pt2), Relay in "
    "JSON (tvm.ir.save_json, with its .params beside it)"
)

_READERS = {
    "onnx": ("onnx_files", "read_onnx"),
    "torchscript": ("torchscript", "read_torchscript"),
    "torch.export": ("exported_program", "read_exported_program"),
    "relay": ("relay_files", "read_relay"),
}

_PICKLED = (
    "holds pickled Python objects (torch.save of a module or of its state), which are not loaded, as loading runs "
    "code. Export the module in Python: torch.export.save(torch.export.export(module.eval(), (example,)), 'net.pt2')"
)


def load_model(path: str | Path, inputs: Sequence[str | InputSpec] = ()) -> Network:
    """The network in a file. Nothing in the file is executed.

    Args:
        path: ONNX, TorchScript, `torch.export` or Relay in JSON, see `FORMATS`.
        inputs: shapes of inputs where the file leaves them free, as in "x=1,3,224,224:float32"; the name may be left
            out where there is one input, and the type where the file has it or it is float32.

    Raises WorkloadError for a missing or damaged file, another format, a shape that is missing or contradicts the
    file (the input is named), and for operators that TVM cannot import (all are named).
    """
    path = Path(path)
    given = [i if isinstance(i, InputSpec) else parse_input(i) for i in inputs]
    chosen = [GivenInput(i.name, i.shape, i.dtype) for i in given]
    require_tvm()
    kind = model_format(path)
    if kind in ("torchscript", "relay"):
        require_relay(f"{path}, a file of the format {kind},")
    module, function = _READERS[kind]
    reader: Callable[..., Network] = getattr(import_module(f"tvm_gnn_cost.networks.{module}"), function)
    source = {"file": path.name, "format": kind, "sha256": file_digest(path)}
    return reader(path, source, lambda declared: resolve_inputs(path.name, declared, chosen))


def model_format(path: Path) -> str:
    """The format of a file: "onnx", "torchscript", "torch.export" or "relay". Raises WorkloadError for another."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
            size = path.stat().st_size
    except IsADirectoryError as error:
        raise WorkloadError(f"{path} is a folder; a model is a file: {FORMATS}") from error
    except OSError as error:
        raise WorkloadError(f"model file {path} cannot be read: {error.strerror or error}") from error
    if not size:
        raise WorkloadError(f"{path} is empty")
    if head.startswith(b"PK"):
        return _zip_format(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        raise WorkloadError(f"{path} {_PICKLED}")
    if head.lstrip()[:1] == b"{":
        return _json_format(path)
    if strange := _known_elsewhere(head):
        raise WorkloadError(f"{path} is {strange}, which is not read; what is: {FORMATS}")
    # a protobuf has no mark of its own: ONNX's first field is its version, a small number
    if head[:1] == b"\x08" or path.suffix.lower() == ".onnx":
        return "onnx"
    raise WorkloadError(f"{path} is of no known format; what is read: {FORMATS}")


def _zip_format(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            if min((entry.header_offset for entry in archive.infolist()), default=0):
                raise zipfile.BadZipFile("its end is missing")  # and that of an archive within was taken for it
            names = {name.partition("/")[2] for name in archive.namelist()}
            whole = set(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise WorkloadError(f"{path} is damaged: it begins as a PyTorch archive ({error})") from error
    if any(name.startswith("data/aotinductor/") for name in names):
        raise WorkloadError(f"{path} holds compiled code (AOTInductor), not a program; save it with torch.export.save")
    if any(name.startswith("models/") and name.endswith(".json") for name in names):
        return "torch.export"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if "serialized_exported_program.json" in whole:
        raise WorkloadError(f"{path} was saved by torch.export before 2.8, in a form with pickles: save it again")
    if "data.pkl" in names:
        raise WorkloadError(f"{path} {_PICKLED}")
    raise WorkloadError(f"{path} is a zip archive, but no PyTorch program; what is read: {FORMATS}")


def _json_format(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").lstrip()
        found: Any = parse_json(text.partition("\n")[0] if text.startswith('{"i":') else text)
    except ValueError as error:
        raise WorkloadError(f"{path} is damaged: it begins as JSON ({error})") from error
    if {"root", "nodes", "attrs"} <= found.keys() and "tvm_version" in found["attrs"]:
        return "relay"
    if {"i", "r"} <= found.keys():
        raise WorkloadError(f"{path} is a log of records, not a model; what is read: {FORMATS}")
    raise WorkloadError(f"{path} is JSON, but not Relay as tvm.ir.save_json writes it; what is read: {FORMATS}")


def _known_elsewhere(head: bytes) -> str | None:
    """The name of a format that is often met and not read."""
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file (Keras)"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "a safetensors file (weights without a program)"
    if head.startswith(b"GGUF"):
        return "a GGUF file (weights without a program)"
    if head.startswith((b"\x7fELF", b"\x1f\x8b", b"\x89PNG", b"#!", b"import ", b'"""', b"from ")):
        return "no model"
    return None
