"""The schedules that the proofs use: the shipped sources, and the project's own CPU pools among the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tvm_gnn_cost.testing import state_sources
from tvm_gnn_cost.testing.state_sources import FAMILIES, TARGETS, V100, Source, recorded

__all__ = ["FAMILIES", "TARGETS", "V100", "Source", "recorded", "sources"]

DATA = Path(__file__).with_name("data")
"""A folder of pools for each machine."""


def sources(
    families: Sequence[str] = FAMILIES,
    targets: Sequence[str] = TARGETS,
    records: Sequence[Path] = (),
    hardware: Sequence[int] = V100,
) -> Iterator[Source]:
    """As the shipped `sources`, with the project's pools."""
    return state_sources.sources(families, targets, records, hardware, DATA)
