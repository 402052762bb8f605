"""How sizes, counts, shapes and times are written for people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def format_bytes(count: float) -> str:
    """`96 B`, `1.5 KiB`, `12 MiB`: at most three significant digits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB" if count < 1000 else f"{count:.0f} GiB"


def format_count(count: float) -> str:
    """`960`, `1.2 k`, `113 M`, `4.5 G`: at most three significant digits."""
    for unit in ("", " k", " M", " G"):
        if count < 999.5:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g} T"


def format_shape(shape: Sequence[int]) -> str:
    """`1x56x56x64`; `scalar` for no axes."""
    return "x".join(map(str, shape)) or "scalar"


def format_ms(seconds: float) -> str:
    """Milliseconds with four significant digits."""
    ms = seconds * 1e3
    return f"{ms:.4g}" if ms < 1000 else f"{ms:.0f}"


def short_hash(text: str) -> str:
    """Eight hexadecimal digits that stand for a text, in names and tables."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
