"""What the soaks of the extension share: how much is read at once, and how much memory that may take."""

from __future__ import annotations

from pathlib import Path

BATCH = 512
"""Candidates that are read at once."""

ALLOWED_MIB = 16.0
"""Growth after the first fifth of the candidates, by when every buffer had its largest size."""


def resident_mib() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
