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

_SLOW, _NEUTRAL, _FAST = "#eda37f", "#f7f5f0", "#8fc3df"  # told apart by the colour-blind, pale enough to write on


class ContributionColours:
    """Colours of contributions (octaves), the neutral one at 0; without any contribution all boxes are plain."""

    def __init__(self, contributions: Sequence[float | None]) -> None:
        known = [abs(c) for c in contributions if c is not None]
        self.limit = max(known, default=0.0) or 1.0
        self.is_known = bool(known)

    def mappable(self) -> Any:
        """What matplotlib makes a colour bar of."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        colours = LinearSegmentedColormap.from_list("contribution", [_SLOW, _NEUTRAL, _FAST])
        return ScalarMappable(Normalize(-self.limit, self.limit), colours)

    def of(self, contribution: float | None) -> Any:
        return PLAIN if contribution is None else self.mappable().to_rgba(contribution)


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
