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
from json import JSONDecodeError
from typing import Any

from tvm_gnn_cost.system.files import parse_json

_CONTAINERS = frozenset({"ffi.Array", "ffi.List", "ffi.Map", "ffi.Dict"})
_IN_PLACE = frozenset({0, 1, 2, 3, 5})
"""Type indices of tvm-ffi whose fields hold values, no references: None, int, bool, float, dtype."""
_LENGTH = 8
"""Bytes before the JSON that say how long it is."""


def module_problem(module: str) -> str | None:
    """Why TVM must not read a module, in base64 as a good line of a table of workloads has it; or None.

    Nothing is said of what TVM notices itself, nor where this TVM's objects do not tell of their fields.
    """
    content = base64.b64decode(module)
    length = int.from_bytes(content[:_LENGTH], "little")
    problem = _graph_problem(content[_LENGTH : _LENGTH + length])
    return None if problem is None else f"its module is damaged: {problem}"


def trace_problem(trace: Any) -> str | None:
    """The same of the objects that are written in a trace, such as index maps."""
    for text in _texts(trace):
        problem = _graph_problem(text) if text.lstrip()[:1] in ("{", "[") else None
        if problem is not None:
            return f"its trace is damaged: {problem}"
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _graph_problem(text: str | bytes) -> str | None:
    try:
        graph = parse_json(text)
    except JSONDecodeError:
        return None  # TVM says what is wrong
    except ValueError as error:
        return str(error)
    if not tells_of_fields():
        return None
    try:
        for number, node in enumerate(graph["nodes"]):
            if any(reference >= number for reference in _references(node)):
                return f"object {number} refers to one that is not before it"
    except (TypeError, LookupError, AttributeError):
        return None  # TVM says what is wrong
    return None


def _references(node: Any) -> Iterator[int]:
    """The numbers of other objects in one; a truth value counts, as TVM takes it for 0 or 1."""
    data = node.get("data")
    if isinstance(data, dict):
        in_place = _fields_in_place(node["type"])
        yield from (value for name, value in data.items() if isinstance(value, int) and name not in in_place)
    elif node["type"] in _CONTAINERS:
        yield from (value for value in data if isinstance(value, int))


@cache
def tells_of_fields() -> bool:
    """Whether this TVM says which fields of its objects are references: from apache-tvm 0.26 on."""
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
