"""Which operators of PyTorch are run when they come from a file: those on tensors and numbers, without files."""

from __future__ import annotations

from typing import Any

_TEXT_ARGUMENTS = frozenset(
    ("approximate", "rounding_mode", "padding", "padding_mode", "equation", "indexing", "mode", "interpolation")
    + ("reduce", "reduction", "ord", "norm", "normalization", "side", "method", "UPLO")
)
"""Arguments that choose a variant; any other text given to an operator could name a file."""


def takes_no_file(schema: Any) -> bool:
    """Whether no argument of an operator's schema could name a file."""
    return all(a.name in _TEXT_ARGUMENTS for a in schema.arguments if "str" in str(a.type))
