"""TVM's names of element types: "float32", "int8x4", "float8_e4m3fn", "bool"."""

from __future__ import annotations

import re

_PARTS = re.compile(
    r"(?:custom\[(?P<custom>\w+)\])?(?P<code>[a-z]*)(?P<bits>\d*)(?P<variant>_\w+?)?(?:x(?P<lanes>\d+))?"
)
_BITS = {"bool": 1, "handle": 64}
"""Of the types that name no number of bits; any other has 32."""


def element_bytes(dtype: str) -> int:
    """Bytes of an element of a type, all its lanes: what TVM allocates for it, whole bytes, at least one."""
    found = _PARTS.fullmatch(dtype)
    code, bits = (found["code"], found["bits"]) if found else ("", "")
    each = int(bits) if bits else _BITS.get(code, 32)
    return max(1, (each * lanes_of(dtype) + 7) // 8)


def lanes_of(dtype: str) -> int:
    """The lanes of a type: 4 for "float32x4"."""
    lanes = dtype.rpartition("x")[2]
    return int(lanes) if lanes.isdigit() and lanes != dtype else 1


def is_float(dtype: str) -> bool:
    """Whether it is a type of floating-point numbers, however short."""
    return "float" in dtype
