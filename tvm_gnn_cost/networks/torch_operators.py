"""Which operators of PyTorch are run when they come from a file: those on tensors and numbers, without files."""

from __future__ import annotations

from typing import Any

import torch

_TEXT_ARGUMENTS = frozenset(
    ("approximate", "rounding_mode", "padding", "padding_mode", "equation", "indexing", "mode", "interpolation")
    + ("reduce", "reduction", "ord", "norm", "normalization", "side", "method", "UPLO")
)
"""Arguments that choose a variant; any other text given to an operator could name a file."""

_MESSAGES = frozenset(
    ("aten::format", "aten::warn", "aten::str", "aten::eq", "aten::ne", "aten::add", "aten::__contains__")
    + ("aten::len", "aten::join", "aten::__getitem__", "aten::percentFormat", "aten::hash", "aten::append")
    + ("aten::_set_item", "aten::get", "aten::keys", "aten::dict")
)
"""Operators on texts that only make others."""

_PRIMITIVES_REFUSED = frozenset(("prim::PythonOp", "prim::CallMethod", "prim::CallFunction", "prim::rpc_async"))


def takes_no_file(schema: Any) -> bool:
    """Whether no argument of an operator's schema could name a file."""
    return all(a.name in _TEXT_ARGUMENTS for a in schema.arguments if "str" in str(a.type))


def is_harmless(node: Any) -> bool:
    """Whether a node of a TorchScript graph, with all calls inlined, works on tensors, numbers and messages alone."""
    kind = node.kind()
    namespace = kind.partition("::")[0]
    if namespace == "prim":
        return kind not in _PRIMITIVES_REFUSED
    if namespace != "aten":
        return False
    if kind in _MESSAGES:
        return True
    schema = node.schema()
    return schema == "(no schema)" or takes_no_file(torch._C.parse_schema(schema))
