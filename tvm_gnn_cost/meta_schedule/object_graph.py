"""The JSON of an object graph, checked before TVM follows it.

tvm-ffi writes an object behind what it refers to, and decodes references one inside the other
(`src/ffi/extra/serialization.cc`): where a damaged file leads back to an object, that ends with the process's stack.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tvm_gnn_cost.system.files import parse_json

_CONTAINERS = frozenset({"ffi.Array", "ffi.List", "ffi.Map", "ffi.Dict"})
_IN_PLACE = frozenset({0, 1, 2, 3, 5})
"""Type indices of tvm-ffi whose fields hold values, no references: None, int, bool, float, dtype."""
_LENGTH = 8
"""Bytes before the JSON that say how long it is."""


def graph_problem(module: str) -> str | None:
    """Why TVM must not follow the object graph of a module (base64, as a table of workloads has it), or None.

    Nothing is said of what TVM notices itself, nor where this TVM's objects do not tell of their fields.
    """
    if not _tells_of_fields():
        return None
    try:
        content = base64.b64decode(module)
        length = int.from_bytes(content[:_LENGTH], "little")
        nodes = parse_json(content[_LENGTH : _LENGTH + length])["nodes"]
        for number, node in enumerate(nodes):
            if any(reference >= number for reference in _references(node)):
                return f"object {number} of its module refers to one that is not before it"
    except (ValueError, TypeError, LookupError, AttributeError):
        return None  # TVM says what is wrong
    return None


def _references(node: Any) -> Iterator[int]:
    data = node.get("data")
    if isinstance(data, dict):
        in_place = _fields_in_place(node["type"])
        yield from (value for name, value in data.items() if type(value) is int and name not in in_place)
    elif node["type"] in _CONTAINERS:
        yield from (value for value in data if type(value) is int)


@cache
def _tells_of_fields() -> bool:
    if find_spec("tvm_ffi") is None:
        return False  # TVM 0.19 sorts the objects before it reads them
    core = import_module("tvm_ffi.core")
    names = ("_object_type_key_to_index", "_lookup_or_register_type_info_from_type_key")
    fields = getattr(core.TypeField, "__dataclass_fields__", {})
    return all(hasattr(core, name) for name in names) and "field_static_type_index" in fields


@cache
def _fields_in_place(type_key: str) -> frozenset[str]:
    """The fields of a type that hold values, no references. Raises LookupError for a type that TVM does not know."""
    core = import_module("tvm_ffi.core")
    if core._object_type_key_to_index(type_key) is None:
        raise LookupError(type_key)
    info, names = core._lookup_or_register_type_info_from_type_key(type_key), set()
    while info is not None:
        names |= {field.name for field in info.fields or () if field.field_static_type_index in _IN_PLACE}
        info = info.parent_type_info
    return frozenset(names)
