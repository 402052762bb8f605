"""Draws the stage graph of one schedule; matplotlib, networkx and scipy come with the extra `plots`.

Lengths are points (1/72 inch) from the upper left corner, at the size the picture is made for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.schedule_view import EdgeView, ScheduleView
from tvm_gnn_cost.report.figures import PlotsNotAvailableError
from tvm_gnn_cost.report.picture.layout import Layout, Route, layered_layout
from tvm_gnn_cost.report.picture.legend import LEGEND_HEIGHT, LEGEND_WIDTH, draw_legend
from tvm_gnn_cost.report.picture.stage_box import (
    DETAIL_SIZE,
    LINE_HEIGHT,
    LOOP_SIZE,
    NAME_SIZE,
    PADDING,
    BoxLine,
    StageBox,
    edge_label,
    stage_box,
    text_width,
)
from tvm_gnn_cost.report.picture.style import ATTACHED, GREY, MONO, STORED, TimeColours, edge_width, style

FORMATS = (".png", ".svg")

_MARGIN = 14.0
_TITLE_SIZE, _NOTE_SIZE, _LABEL_SIZE = 11.0, 8.0, 6.5
_LABEL_HEIGHT = 10.0
_PORT_DISTANCE = 9.0
_GAP = (16.0, 12.0)
_TRUNK = 40.0  # how much more than an input's an edge between stages that compute should be vertical
_DPI = 150


def check_picture_path(path: str | os.PathLike[str]) -> None:
    """Raises InvalidArgumentError for a file name that names no known format, or a folder that is not there."""
    file = Path(path)
    if file.suffix.lower() not in FORMATS:
        raise InvalidArgumentError(f"{file}: a picture's name ends in {' or '.join(FORMATS)}")
    if not file.absolute().parent.is_dir():
        raise InvalidArgumentError(f"{file}: there is no folder {file.parent}")


def draw_schedule(view: ScheduleView, path: str | os.PathLike[str]) -> None:
    """Draws the stage graph of a schedule to a file, whose ending says the format: .svg or .png.

    Raises InvalidArgumentError for another ending or a file that cannot be written, PlotsNotAvailableError where a
    library is missing.
    """
    check_picture_path(path)
    try:
        _save(view, os.fspath(path), Path(path).suffix[1:].lower())
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be written: {error.strerror or error}") from error


def schedule_svg(view: ScheduleView) -> str:
    """The same as the text of an SVG file. Raises PlotsNotAvailableError where a library is missing."""
    buffer = io.StringIO()
    _save(view, buffer, "svg")
    return buffer.getvalue()


def _save(view: ScheduleView, out: Any, form: str) -> None:
    """Draws to a file, by name or opened. Raises PlotsNotAvailableError where a library is missing."""
    try:
        import matplotlib
        import networkx  # noqa: F401
        import scipy.optimize  # noqa: F401
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401  (needs no display)
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotsNotAvailableError(
            f'pictures need matplotlib, networkx and scipy ({error}): pip install "tvm-gnn-cost[plots]"'
        ) from error
    with matplotlib.rc_context(style()):
        metadata = {"Date": None} if form == "svg" else None  # the same bytes every time
        _Drawing(view, Figure).figure.savefig(out, format=form, dpi=_DPI, metadata=metadata)


def schedule_layout(view: ScheduleView) -> tuple[list[StageBox], list[str], Layout]:
    """The box of every stage, the label of every edge, and where they go."""
    boxes = [stage_box(view, i) for i in range(len(view.stages))]
    labels = [edge_label(e.tile_bytes, e.tensor_bytes, _is_stored(view, e)) for e in view.edges]
    layout = layered_layout(
        [(box.width, box.height) for box in boxes],
        [(e.producer, e.consumer) for e in view.edges],
        [(text_width(text, _LABEL_SIZE) + 6, _LABEL_HEIGHT) if text else (0.0, 4.0) for text in labels],
        [1.0 if view.stages[e.producer].kind in ("input", "constant") else _TRUNK for e in view.edges],
        gap=_GAP,
    )
    return boxes, labels, layout


class _Drawing:
    """One picture; made by its constructor."""

    def __init__(self, view: ScheduleView, figure_class: Any) -> None:
        self.view = view
        boxes, labels, layout = schedule_layout(view)
        texts = [text_width(view.title, _TITLE_SIZE, bold=True), *(text_width(n, _NOTE_SIZE) for n in view.notes)]
        inner = max(layout.width, LEGEND_WIDTH, *texts)
        self.left = _MARGIN + (inner - layout.width) / 2
        self.top = _MARGIN + _TITLE_SIZE + 6 + len(view.notes) * (_NOTE_SIZE + 3.5) + 12
        width, height = inner + 2 * _MARGIN, self.top + layout.height + 16 + LEGEND_HEIGHT + _MARGIN
        self.figure = figure_class(figsize=(width / 72, height / 72))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")
        self.colours = TimeColours([stage.time_share for stage in view.stages])
        self._titles()
        sources, targets = self._ports(boxes, layout)
        for k, edge in enumerate(view.edges):
            self._edge(edge, labels[k], layout.routes[k], sources[k], targets[k])
        for i, box in enumerate(boxes):
            self._box(i, box, layout)
        draw_legend(self.figure, self.axes, _MARGIN, height - _MARGIN - LEGEND_HEIGHT, self.colours, (width, height))

    def _titles(self) -> None:
        y = _MARGIN + _TITLE_SIZE
        self.axes.text(_MARGIN, y, self.view.title, size=_TITLE_SIZE, weight="bold")
        for note in self.view.notes:
            y += _NOTE_SIZE + 3.5
            self.axes.text(_MARGIN, y, note, size=_NOTE_SIZE, color=GREY)

    def _ports(self, boxes: Sequence[StageBox], layout: Layout) -> tuple[list[tuple[float, float]], ...]:
        """Where each edge leaves its producer, and where it enters its consumer."""
        result: list[list[tuple[float, float]]] = []
        for end in (0, 1):
            points = [(0.0, 0.0)] * len(self.view.edges)
            for i, box in enumerate(boxes):
                ends = [(e.producer, e.consumer)[end] == i for e in self.view.edges]
                mine = sorted((k for k, is_mine in enumerate(ends) if is_mine), key=lambda k: _near(layout, k, end))
                x, y = layout.centres[i]
                wanted = [_near(layout, k, end) for k in mine]
                for k, port in zip(mine, _spread(wanted, x, box.width / 2 - 8), strict=True):
                    points[k] = (port + self.left, y + (box.height / 2) * (1 - 2 * end) + self.top)
            result.append(points)
        return tuple(result)

    def _edge(
        self, edge: EdgeView, label: str, route: Route, source: tuple[float, float], target: tuple[float, float]
    ) -> None:
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path as Curve

        stored = _is_stored(self.view, edge)
        colour = ATTACHED if edge.attached else STORED
        size = edge_width(edge.tensor_bytes) if stored else 0.9
        head_length, head_width = 3.6 + size, 1.8 + 0.7 * size
        x_end, y_end = target[0], target[1] - head_length
        points, codes = [source], [Curve.MOVETO]
        stops = [(x + self.left, top + self.top, bottom + self.top) for x, top, bottom in route.stops]
        layer_end = stops[0][1] - _GAP[1]
        if layer_end > source[1]:  # down to the end of its layer, beside taller boxes
            points.append((source[0], layer_end))
            codes.append(Curve.LINETO)
        for x, top, bottom in [*stops, (x_end, y_end, y_end)]:
            x0, y0 = points[-1]
            middle = (y0 + top) / 2
            points += [(x0, middle), (x, middle), (x, top)]
            codes += [Curve.CURVE4] * 3
            if bottom > top:
                points.append((x, bottom))
                codes.append(Curve.LINETO)
        dashes = "-" if stored else (0, (1.5, 1.5))
        line = {"edgecolor": colour, "facecolor": "none", "linewidth": size, "linestyle": dashes, "capstyle": "butt"}
        self.axes.add_patch(PathPatch(Curve(points, codes), zorder=1, **line))
        corners = [(x_end - head_width, y_end - 0.2), (x_end + head_width, y_end - 0.2), target]
        self.axes.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor="none", zorder=2))
        if label:
            x, y = route.label
            self.axes.text(
                x + self.left,
                y + self.top,
                label,
                size=_LABEL_SIZE,
                color=colour if edge.attached else "#333333",
                ha="center",
                va="center",
                zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
            )

    def _box(self, i: int, box: StageBox, layout: Layout) -> None:
        from matplotlib.patches import FancyBboxPatch

        stage = self.view.stages[i]
        x = layout.centres[i][0] - box.width / 2 + self.left
        y = layout.centres[i][1] - box.height / 2 + self.top
        frame = FancyBboxPatch(
            (x, y),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=5",
            facecolor=self.colours.of(stage.time_share),
            edgecolor=ATTACHED if stage.attach is not None and stage.runs else "#444444",
            linewidth=1.1 if stage.runs else 0.7,
            linestyle=(0, (4, 2.5)) if stage.kind in ("inlined", "constant") else "-",
            zorder=4,
        )
        self.axes.add_patch(frame)
        left, right = x + PADDING, x + box.width - PADDING
        baseline = y + PADDING + NAME_SIZE - 1
        self.axes.text(left, baseline, box.name, size=NAME_SIZE, weight="bold", zorder=5)
        if box.corner:
            self.axes.text(right, baseline, box.corner, size=DETAIL_SIZE, ha="right", zorder=5)
        baseline += 1.5
        for text in box.details:
            baseline += LINE_HEIGHT
            self.axes.text(left, baseline, text, size=DETAIL_SIZE, color="#333333", zorder=5)
        if box.lines:
            baseline += 4
            rule = baseline + 0.5
            self.axes.plot([x, x + box.width], [rule, rule], color="#444444", linewidth=0.4, zorder=5)
        for line in box.lines:
            baseline += LINE_HEIGHT
            self._loop(line, left, right, baseline)

    def _loop(self, line: BoxLine, left: float, right: float, baseline: float) -> None:
        options: dict[str, Any] = {"size": LOOP_SIZE, "family": MONO, "zorder": 5}
        if line.keyword:
            self.axes.text(line.at(left), baseline, line.keyword, color=line.colour, weight=line.weight, **options)
        colour = "#111111" if line.keyword else ATTACHED
        self.axes.text(line.text_at(left), baseline, line.text, color=colour, **options)
        if line.value:
            self.axes.text(right, baseline, line.value, ha="right", **options)


def _is_stored(view: ScheduleView, edge: EdgeView) -> bool:
    return view.stages[edge.producer].kind not in ("inlined", "constant")


def _near(layout: Layout, k: int, end: int) -> float:
    """The x from which edge k comes to its end (0: producer, 1: consumer)."""
    return layout.routes[k].stops[-end][0]


def _spread(wanted: Sequence[float], centre: float, reach: float) -> list[float]:
    """Ports as near to `wanted` (ascending) as a side of a box allows, with some distance between them."""
    reach = max(0.0, reach)
    step = min(_PORT_DISTANCE, 2 * reach / max(1, len(wanted) - 1))
    ports = list(np.clip(wanted, centre - reach, centre + reach))
    for i in range(1, len(ports)):
        ports[i] = max(ports[i], ports[i - 1] + step)
    end = centre + reach
    for i in reversed(range(len(ports))):
        ports[i] = min(ports[i], end)
        end = ports[i] - step
    return [float(port) for port in ports]
