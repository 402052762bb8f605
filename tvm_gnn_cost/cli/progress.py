"""How a long run shows itself: bars in a terminal, lines elsewhere. One display for all commands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from tvm_gnn_cost.records.tuning_run import TuneProgress
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.system.progress import P

if TYPE_CHECKING:
    from typing_extensions import Self

_MOST_BARS = 6
"""Finished ones are hidden beyond so many."""
_WIDE = 110
"""In a terminal of fewer columns the status has a line of its own, where it is not cut."""


@dataclass(frozen=True)
class Shown:
    """How a moment is shown.

    Attributes:
        title: of its bar, one for each title; "": no bar changes.
        count: how much is done, in words.
        status: what else there is to say beside the bar.
        line: what is printed where there is no terminal; "": nothing that is worth a line.
        announced: whether the line is printed in a terminal as well.
        table: what stands above the bars in a terminal, until the run ends.
    """

    title: str = ""
    count: str = ""
    status: str = ""
    line: str = ""
    announced: bool = False
    table: RenderableType | None = None


class Display(Generic[P]):
    """The observer that a command hands to a run; used as a context.

    Args:
        console: where to show it.
        show: how each moment is shown.
    """

    def __init__(self, console: Console, show: Callable[[P], Shown]) -> None:
        self._console, self._show = console, show
        self._tasks: dict[str, TaskID] = {}
        self._bars = None
        self._table: RenderableType | None = None
        self._status = ""
        if console.is_terminal:
            status = [TextColumn("{task.fields[status]}")] if console.width >= _WIDE else []
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24 if status else 12),
                TextColumn("{task.fields[count]}"),
                *status,
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                auto_refresh=False,
            )
            # a redraw takes time from what is being measured
            self._live = Live(get_renderable=self._render, console=console, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            self._table, self._status = None, ""  # what they said, the result says
            with contextlib.suppress(OSError):
                self._live.stop()

    def _render(self) -> RenderableType:
        parts = [part for part in (self._table, self._bars) if part is not None]
        if self._console.width < _WIDE and self._status:
            parts.append(Text(self._status))
        return Group(*parts)

    def __call__(self, progress: P) -> None:
        shown = self._show(progress)
        with contextlib.suppress(OSError):  # the terminal is gone: the run is not
            self._update(progress, shown)

    def _update(self, progress: P, shown: Shown) -> None:
        if shown.line and (self._bars is None or shown.announced):
            self._console.print(shown.line, highlight=False, soft_wrap=True, markup=False)
        if self._bars is None or not shown.title:
            return
        self._table, self._status = shown.table or self._table, shown.status
        if shown.title not in self._tasks:
            for task in self._tasks.values():
                self._bars.stop_task(task)
            for task in list(self._tasks.values())[: 1 - _MOST_BARS]:
                self._bars.update(task, visible=False)
            self._tasks[shown.title] = self._bars.add_task(shown.title, count="", status="")
        self._bars.update(
            self._tasks[shown.title],
            total=progress.total,
            completed=progress.done,
            count=shown.count,
            status=shown.status,
        )


LINE_EVERY = 16
"""Trials between two lines where there is no terminal."""


class TuningStatus:
    """How tuning and collecting are shown: trials, the best so far, what further trials are expected to save of it.

    A line comes whenever LINE_EVERY more were measured.

    Args:
        title: of each task's bar.
        flop: of each task, floating-point operations.
    """

    def __init__(self, title: Callable[[TuneProgress], str], flop: Callable[[TuneProgress], float]) -> None:
        self._title, self._flop = title, flop
        self._reported = {"": 0.0}

    def __call__(self, progress: TuneProgress) -> Shown:
        title, best = self._title(progress), self._best(progress)
        failed = f"{progress.failed} failed" if progress.failed else ""
        left = "" if progress.gain_left is None else f"{progress.gain_left:.1%} left"
        line = ""
        if progress.phase == "measure" and self._is_due(title, progress):
            self._reported[title] = progress.done
            parts = [
                f"{progress.done:.0f}/{progress.total:.0f} trials",
                f"{progress.elapsed_s:.0f} s",
                best,
                left,
                failed,
            ]
            line = f"{title}: {', '.join(part for part in parts if part)}"
        status = "  ".join(part for part in (PHASES[progress.phase], best, left, failed) if part)
        return Shown(title, f"{progress.done:.0f}/{progress.total:.0f}", status, line)

    def _is_due(self, title: str, progress: TuneProgress) -> bool:
        reported = self._reported.get(title, 0.0)
        if progress.done == progress.total:
            return progress.done > reported
        return progress.done >= reported + LINE_EVERY

    def _best(self, progress: TuneProgress) -> str:
        if progress.latency_s is None:
            return "no latency yet"
        rate = self._flop(progress) / progress.latency_s / 1e9
        return f"best {format_ms(progress.latency_s)} ms, {rate:.1f} GFLOP/s"


PHASES = {
    "search": "searching",
    "build": "building ",
    "wait": "waiting for a quiet machine",
    "measure": "measuring",
    "again": "measuring again",
    "train": "training ",
}
"""What a tuning run or a collection is doing."""
