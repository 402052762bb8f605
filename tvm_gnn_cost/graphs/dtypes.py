"""TVM's names of element types: "float32", "int8x4", "float8_e4m3fn", "e4m3_float8", "bool"."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(?:float|int|\])(\d+)")
_BITS = {"bool": 1, "handle": 64}
"""Of the types that name no number of bits; any other has 32."""


def element_bytes(dtype: str) -> int:
    """Bytes of an element of a type, all its lanes: what TVM allocates for it, whole bytes, at least one."""
    found = _NUMBER.search(dtype)
    each = int(found[1]) if found else _BITS.get(dtype.partition("x")[0], 32)
    return max(1, (each * lanes_of(dtype) + 7) // 8)


def lanes_of(dtype: str) -> int:
    """The lanes of a type: 4 for "float32x4"."""
    lanes = dtype.rpartition("x")[2]
    return int(lanes) if lanes.isdigit() and lanes != dtype else 1


def is_float(dtype: str) -> bool:
    """Whether it is a type of floating-point numbers, however short."""
    return "float" in dtype
