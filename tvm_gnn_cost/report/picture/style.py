"""Colours, line widths and type of the stage graph's picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

GREY = "#444444"
STORED = "#8a8a8a"
ATTACHED = "#0b6e99"
PLAIN = "#f4f4f4"
MONO = "monospace"

_NO_TIME, _ALL_TIME = "#f7f5f0", "#eda37f"  # pale enough to write on


class TimeColours:
    """Colours of time shares, 0 to 1; where none is known all boxes are plain."""

    def __init__(self, time_shares: Sequence[float | None]) -> None:
        self.is_known = any(share is not None for share in time_shares)

    def mappable(self) -> Any:
        """What matplotlib makes a colour bar of."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        colours = LinearSegmentedColormap.from_list("time", [_NO_TIME, _ALL_TIME])
        return ScalarMappable(Normalize(0.0, 1.0), colours)

    def of(self, time_share: float | None) -> Any:
        return PLAIN if time_share is None else self.mappable().to_rgba(time_share)


def edge_width(count: float) -> float:
    """Points for a flow of so many bytes: 0.7 up to a KiB, then 0.22 more for each doubling, 4.2 at most."""
    return min(4.2, 0.7 + 0.22 * max(0.0, math.log2(1.0 + count) - 10.0))


def style() -> dict[str, Any]:
    """matplotlib's settings: text that can be searched and copied, and files that are the same every time."""
    return {
        "font.family": "sans-serif",  # boxes are measured in DejaVu; a viewer without it takes the next one
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
        "font.monospace": ["DejaVu Sans Mono", "Menlo", "Courier New", "monospace"],
        "svg.fonttype": "none",
        "svg.hashsalt": "tvm-gnn-cost",
        "text.hinting": "none",
        "text.parse_math": False,
    }
