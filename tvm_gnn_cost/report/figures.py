"""What all plots share: colours, and a figure that needs no display."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.errors import TVMGNNCostError

COLOURS = (
    "#0b6e99", "#d1782f", "#4d8b31", "#8e4a9e", "#b03a48", "#5c5c5c", "#c9a400", "#2aa8a0", "#d96fa8", "#7a5230",
)  # fmt: skip
"""Of models, in their order."""


class PlotsNotAvailableError(TVMGNNCostError, ImportError):
    """matplotlib is missing."""


def figure_class() -> Any:
    """matplotlib's Figure, which draws without a display. Raises PlotsNotAvailableError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401  (needs no display)
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotsNotAvailableError('plots need matplotlib: pip install "tvm-gnn-cost[plots]"') from error
    return Figure
