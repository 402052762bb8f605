"""Draws rooms.svg, the plan of the package, from the contract of imports (rooms.json): python docs/draw_rooms.py."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path as Curve

from tvm_gnn_cost.report.picture.layout import Route, layered_layout
from tvm_gnn_cost.report.picture.style import GREY, PLAIN, STORED, style

HERE = Path(__file__).resolve().parent
LEFT_OUT = ("_version", "errors")
"""Ground that nearly every room stands on; their arrows would hide the others."""

FILL = {"graphs": "#dfebf2", "ansor": "#f6e3cf"}
SIZE = (150.0, 50.0)  # of a room, in points
GAP, MARGIN = (18.0, 15.0), 14.0


def main() -> None:
    rooms = {r: about for r, about in json.loads((HERE / "rooms.json").read_text()).items() if r not in LEFT_OUT}
    uses = {room: [other for other in about["uses"] if other in rooms] for room, about in rooms.items()}
    names = list(rooms)
    arrows = [(names.index(r), names.index(o)) for r in names for o in not_implied(uses[r], uses)]
    layout = layered_layout([SIZE] * len(names), arrows, [(0.0, 4.0)] * len(arrows), [1.0] * len(arrows), gap=GAP)
    size = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    with matplotlib.rc_context(style()):
        figure = Figure(figsize=(size[0] / 72, size[1] / 72))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-MARGIN, size[0] - MARGIN), ylim=(size[1] - MARGIN, -MARGIN))
        axes.axis("off")
        for (above, below), route in zip(arrows, layout.routes, strict=True):
            draw_arrow(axes, layout.centres[above], layout.centres[below], route)
        for name, (x, y) in zip(names, layout.centres, strict=True):
            draw_room(axes, name, rooms[name]["says"], x, y)
        figure.savefig(HERE / "rooms.svg", metadata={"Date": None})


def draw_room(axes: Any, name: str, says: str, x: float, y: float) -> None:
    width, height = SIZE
    corner = (x - width / 2, y - height / 2)
    fill = FILL.get(name, PLAIN)
    box = FancyBboxPatch(
        corner, width, height, boxstyle="round,pad=0,rounding_size=5", facecolor=fill, edgecolor=GREY, linewidth=0.8
    )
    axes.add_patch(box)
    title = "tvm_gnn_cost" if name == "__init__" else name
    axes.text(x, y - 12, title, ha="center", va="center", size=9.5, weight="bold")
    axes.text(x, y + 8, "\n".join(textwrap.wrap(says, 32)), ha="center", va="center", size=6.5, color=GREY)


def draw_arrow(axes: Any, above: tuple[float, float], below: tuple[float, float], route: Route) -> None:
    tip = below[1] - SIZE[1] / 2
    points, codes = [(above[0], above[1] + SIZE[1] / 2)], [Curve.MOVETO]
    for x, top, bottom in [*route.stops, (below[0], tip - 4, tip - 4)]:
        middle = (points[-1][1] + top) / 2
        points += [(points[-1][0], middle), (x, middle), (x, top), (x, bottom)]
        codes += [Curve.CURVE4] * 3 + [Curve.LINETO]
    axes.add_patch(PathPatch(Curve(points, codes), facecolor="none", edgecolor=STORED, linewidth=1.0, zorder=0))
    head = [(below[0] - 2.5, tip - 5), (below[0] + 2.5, tip - 5), (below[0], tip)]
    axes.add_patch(Polygon(head, closed=True, facecolor=STORED, edgecolor="none", zorder=0))


def not_implied(others: list[str], uses: dict[str, list[str]]) -> list[str]:
    """Those that are not used through another one anyway."""
    return [other for other in others if not any(other in all_below(o, uses) for o in others if o != other)]


def all_below(room: str, uses: dict[str, list[str]]) -> set[str]:
    return set(uses[room]).union(*(all_below(other, uses) for other in uses[room]))


if __name__ == "__main__":
    main()
