"""The legend below the picture of a stage graph."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.report.picture.style import ATTACHED, GREY, PLAIN, STORED, TimeColours

LEGEND_WIDTH = 446.0
LEGEND_HEIGHT = 62.0

_SIZE = 7.0
_ROW = 12.5
_SAMPLE = 24.0
_COLUMN = 200.0


def draw_legend(
    figure: Any, axes: Any, left: float, top: float, colours: TimeColours, size: tuple[float, float]
) -> None:
    """Draws it with its upper left corner at (left, top), in points, on a figure of `size` points."""
    axes.plot([left, size[0] - left], [top - 2, top - 2], color="#cccccc", linewidth=0.6)
    lines = (
        (STORED, "-", "stored, then read; the wider, the more bytes"),
        (ATTACHED, "-", "made and read a part at a time, inside a loop (\u25b8)"),
        (STORED, (0, (1.5, 1.5)), "inlined: nothing is stored"),
    )
    for row, (colour, dashes, text) in enumerate(lines):
        y = top + 9 + row * _ROW
        axes.plot([left, left + _SAMPLE], [y, y], color=colour, linestyle=dashes, linewidth=1.8)
        axes.text(left + _SAMPLE + 6, y, text, size=_SIZE, va="center", color=GREY)
    boxes = (
        ("#444444", "-", "runs on its own, or is an input"),
        (ATTACHED, "-", "runs inside a loop of another stage"),
        ("#444444", (0, (4, 2.5)), "inlined into its readers"),
    )
    for row, (colour, dashes, text) in enumerate(boxes):
        _sample_box(axes, left + _COLUMN + 30, top + 9 + row * _ROW, colour, dashes)
        axes.text(left + _COLUMN + 30 + _SAMPLE + 6, top + 9 + row * _ROW, text, size=_SIZE, va="center", color=GREY)
    y = top + 9 + 3 * _ROW + 3
    if not colours.is_known:
        axes.text(left, y, "no colours: no trained network scores this schedule", size=_SIZE, va="center", color=GREY)
        return
    bar = figure.add_axes(((left + 10) / size[0], 1 - (y + 3.5) / size[1], 104 / size[0], 7 / size[1]))
    scale = figure.colorbar(colours.mappable(), cax=bar, orientation="horizontal")
    scale.set_ticks([0.0, 0.5, 1.0])
    scale.set_ticklabels(["0 %", "50 %", "100 %"])
    scale.outline.set_linewidth(0.4)
    bar.tick_params(labelsize=6, length=2, width=0.4, pad=1.5)
    text = "colour and number: the stage's share of the time, as the network predicts it"
    axes.text(left + 130, y, text, size=_SIZE, va="center", color=GREY)


def _sample_box(axes: Any, x: float, y: float, colour: str, dashes: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (x, y - 4),
            _SAMPLE,
            8,
            boxstyle="round,pad=0,rounding_size=2.5",
            facecolor=PLAIN,
            edgecolor=colour,
            linewidth=1.0,
            linestyle=dashes,
        )
    )
