"""The tasks of a network while they are tuned: a live table in a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.cli.progress import Shown, TuningStatus
from tvm_gnn_cost.cli.tables import figures_table
from tvm_gnn_cost.records.tuning_run import TaskProgress, TuneProgress
from tvm_gnn_cost.report.formats import format_ms

_OTHER_LINES = 10  # of a terminal, besides the rows of tasks
_FIGURES = 50  # columns that the figures and the borders take


class NetworkStatus:
    """How the tuning of several tasks is shown: `TuningStatus`, and a row for each task, the costliest first.

    "left" is what further trials are expected to save of a task's time (`TaskProgress.gain_left`).

    Args:
        console: where it is shown; its size decides how many tasks are.
        problem: the tasks.
        model: the model's name, the title of the bar.
        untuned_s: the whole network's latency before tuning in seconds, where it is known.
    """

    def __init__(self, console: Console, problem: Problem, model: str, untuned_s: float | None = None) -> None:
        self._console, self._problem, self._untuned_s = console, problem, untuned_s
        self._status = TuningStatus(lambda _: model, lambda _: problem.flops)

    def __call__(self, progress: TuneProgress) -> Shown:
        shown = self._status(progress)
        if not progress.tasks:
            return shown
        return replace(shown, table=self._table(progress)) if self._console.is_terminal else shown

    def _table(self, progress: TuneProgress) -> Table:
        costs = weighted(progress.tasks, self._problem.weights)
        order = sorted(range(len(costs)), key=lambda i: -(costs[i] or 0.0))
        rows = max(self._console.height - _OTHER_LINES, 3)
        table = figures_table(self._problem.label, "task", ("best (ms)", "share", "trials", "failed", "left"))
        table.caption = self._caption(progress, len(order) - rows)
        total = sum(cost or 0.0 for cost in costs)
        width = max(self._console.width - _FIGURES, 8)
        for i in order[:rows]:
            task, cost = progress.tasks[i], costs[i]
            left = task.gain_left
            table.add_row(
                shorten(short_name(self._problem.names[i]), width),
                "-" if task.best_s is None else format_ms(task.best_s),
                f"{cost / total:.0%}" if cost else "-",
                str(task.trials),
                str(task.failed),
                "-" if left is None else f"{left:.0%}",
                style="bold" if i == progress.task else "",
            )
        return table

    def _caption(self, progress: TuneProgress, hidden: int) -> str:
        """What there is to say of all tasks together."""
        parts = [f"and {hidden} more tasks"] if hidden > 0 else []
        if progress.latency_s is not None:
            parts.append(total_text(progress.latency_s, self._untuned_s))
        else:
            lacking = sum(task.best_s is None for task in progress.tasks)
            parts.append(f"{lacking} of {len(progress.tasks)} tasks without a latency")
        left = seconds_left(progress)
        if left is not None:
            parts.append(f"about {format_duration(left)} left")
        return "; ".join(parts)


def total_text(latency_s: float, untuned_s: float | None) -> str:
    """What a network's tasks take together, which is all but what cannot be tuned, beside the whole untuned."""
    total = f"all tasks, weighted: {format_ms(latency_s)} ms"
    return total if untuned_s is None else f"{total} (network untuned: {format_ms(untuned_s)} ms)"


def weighted(tasks: Sequence[TaskProgress], weights: Sequence[float]) -> list[float | None]:
    """Each task's part of the total, in seconds; None where it has no latency."""
    return [None if task.best_s is None else task.best_s * weight for task, weight in zip(tasks, weights, strict=True)]


def seconds_left(progress: TuneProgress) -> float | None:
    """Of the budget of trials, at the run's pace so far; None before the first trial."""
    measured = sum(task.trials for task in progress.tasks)
    return (progress.total - progress.done) * progress.elapsed_s / measured if measured else None


def format_duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def short_name(name: str) -> str:
    """A task's name without what Relay puts before all of them."""
    return name.removeprefix("vm_mod_fused_")


def shorten(name: str, width: int) -> str:
    """The name in so many characters; its end stays, as Relay tells tasks apart by it."""
    if len(name) <= width:
        return name
    tail = min(6, width // 2)
    return f"{name[: width - tail - 1]}…{name[len(name) - tail :]}"
