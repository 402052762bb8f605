"""What stands in the box of a stage: its lines of text, folded where a loop nest is long, and the size they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tvm_gnn_cost.graphs.schedule_view import LoopView, ScheduleView, StageView
from tvm_gnn_cost.report.formats import format_bytes, format_shape

NAME_SIZE, DETAIL_SIZE, LOOP_SIZE = 9.0, 7.0, 7.0
LINE_HEIGHT = 9.6
PADDING = 6.0
_INDENT = 5.0
_MONO_ADVANCE = 0.6021  # of DejaVu Sans Mono, in ems
_MAX_LOOPS = 7  # longer nests are folded
_MAX_LINES = 11
_MAX_FOLDED = 3  # loops in a line
_MAX_NAME = 30
_SAFETY = 1.03  # for hinting, and for other fonts where DejaVu Sans is missing

_COLOURS = {"parallel": "#9c3d00", "vectorize": "#6a2c91", "unroll": "#1f6b3a", "vthread": "#1f6b3a"}


@dataclass(frozen=True)
class BoxLine:
    """A line of a loop nest: `keyword` and `text` on the left, `value` on the right; `depth` indents it."""

    depth: int
    keyword: str
    text: str
    value: str = ""

    @property
    def colour(self) -> str:
        """Of the keyword: what runs in parallel, in vectors or unrolled stands out."""
        if self.keyword.startswith(("block", "thread")):
            return "#0b4f8a"
        return _COLOURS.get(self.keyword, "#555555")

    @property
    def weight(self) -> str:
        """Of the keyword."""
        return "normal" if self.keyword in ("for", "pragma") else "bold"

    def at(self, left: float) -> float:
        """x of the keyword, in a box whose text begins at `left`."""
        return left + self.depth * _INDENT

    def text_at(self, left: float) -> float:
        """x of the text."""
        return self.at(left) + (mono_width(f"{self.keyword} ") if self.keyword else 0.0)

    @property
    def left_width(self) -> float:
        return self.text_at(0.0) + mono_width(self.text)


@dataclass(frozen=True)
class StageBox:
    """Lengths in points. `corner` is the text on the right of the name: the time share, or nothing."""

    name: str
    corner: str
    details: tuple[str, ...]
    lines: tuple[BoxLine, ...]
    width: float
    height: float


def stage_box(view: ScheduleView, i: int) -> StageBox:
    """The box of stage i."""
    stage = view.stages[i]
    name = _shorten(stage.name, _MAX_NAME)
    corner = "" if stage.time_share is None else f"{stage.time_share:.0%}"
    details = [_description(stage)]
    if stage.runs and stage.attach is not None:
        host = _shorten(view.stages[stage.attach[0]].name, 24)
        details.append(f"inside {host}, {format_shape(stage.tile)} a run")
    lines = _lines(view, i)
    widths = [text_width(name, NAME_SIZE, bold=True) + (8 + text_width(corner, DETAIL_SIZE) if corner else 0)]
    widths += [text_width(text, DETAIL_SIZE) for text in details]
    widths += [line.left_width + (10 + mono_width(line.value) if line.value else 0) for line in lines]
    rows = len(details) + len(lines)
    height = 2 * PADDING + NAME_SIZE + 2 + rows * LINE_HEIGHT + (4 if lines else 0)
    return StageBox(name, corner, tuple(details), tuple(lines), max(widths) + 2 * PADDING, height)


def _description(stage: StageView) -> str:
    shape = f"{format_shape(stage.shape)} {stage.dtype}"
    if not stage.runs:
        return f"{stage.kind}, {shape}"
    reduces = f", reduces {format_shape(stage.reduction)}" if stage.reduction else ""
    kind = stage.kind.removesuffix("reduction").removesuffix(", ").removesuffix("compute")
    return f"{kind}: {shape}{reduces}" if kind else f"{shape}{reduces}"


def _lines(view: ScheduleView, i: int) -> list[BoxLine]:
    """The loop nest, with a marker where another stage is computed."""
    stage = view.stages[i]
    if not stage.runs:
        return []
    shown = sum(not loop.is_trivial for loop in stage.loops)
    lines: list[BoxLine] = []
    depth = 0
    run: list[LoopView] = []

    def flush() -> None:
        nonlocal depth
        if run:
            lines.append(_loop_line(depth, run))
            depth += 1
            run.clear()

    for loop in stage.loops:
        if not loop.is_trivial:
            is_plain = loop.annotation == "for" and all(other.annotation == "for" for other in run)
            if shown <= _MAX_LOOPS or len(run) == _MAX_FOLDED or not is_plain:
                flush()
            run.append(loop)
        attached = view.attached_to(i, loop.index)
        if attached:
            flush()
            names = [_shorten(view.stages[a].name, 28) for a in attached]
            lines += [BoxLine(depth, "", f"\u25b8 {name}") for name in names]
    flush()
    if len(lines) > _MAX_LINES:
        hidden = len(lines) - _MAX_LINES + 1
        kept = _MAX_LINES // 2
        fold = BoxLine(lines[kept].depth, "", f"\u2026 {hidden} more lines")
        lines = [*lines[:kept], fold, *lines[kept + hidden :]]
    if stage.auto_unroll:
        lines.append(BoxLine(0, "pragma", "auto_unroll", str(stage.auto_unroll)))
    return lines


def _loop_line(depth: int, loops: Sequence[LoopView]) -> BoxLine:
    """One line for one loop, or for several plain ones that stand in each other."""
    first = loops[0]
    value = "\u00d7".join(f"{'' if loop.exact else '~'}{loop.extent}" for loop in loops)
    text = " ".join(_short_name(loop.name) for loop in loops)
    return BoxLine(depth, first.annotation, _shorten(text, 26), value)


def _short_name(name: str) -> str:
    """A fused loop's name by its first and last part: `i.0..k.0` for `i.0@j.0@k.0@`, `i..k.1` for `i@j@k@.1`."""
    fused, _, suffix = name.rpartition("@")
    parts = fused.split("@")
    short = parts[0] if len(parts) == 1 else f"{parts[0]}{'..' if len(parts) > 2 else '@'}{parts[-1]}"
    return short + suffix


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}\u2026{text[len(text) - limit // 2 + 1 :]}"


def edge_label(tile_bytes: int, tensor_bytes: int, is_stored: bool) -> str:
    """`64 KiB`, or `2 KiB of 64 KiB` where the producer makes a part at a time; nothing if it is inlined."""
    if not is_stored:
        return ""
    whole = format_bytes(tensor_bytes)
    part = format_bytes(tile_bytes)
    return whole if tile_bytes == 0 or part == whole else f"{part} of {whole}"


def mono_width(text: str) -> float:
    """The width of a text in the type of loop nests."""
    return len(text) * _MONO_ADVANCE * LOOP_SIZE


@lru_cache(maxsize=1024)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a text in DejaVu Sans, which comes with matplotlib."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    properties = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    width, _, _ = TextToPath().get_text_width_height_descent(text, properties, ismath=False)
    return float(width) * _SAFETY
