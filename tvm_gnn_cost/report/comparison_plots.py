"""Plots of comparisons; matplotlib comes with the extra `plots`."""

from __future__ import annotations

import os
import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.report.figures import COLOURS, figure_class

if TYPE_CHECKING:
    from tvm_gnn_cost.records.comparison import Comparison, Run


def plot_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Draw `latency_figure` under a title.

    The format follows from the path's ending (png, svg, pdf). Raises what `latency_figure` raises.
    """
    figure = latency_figure(comparison)
    figure.suptitle(f"{comparison.workload}\n{comparison.machine.get('cpu', '')}", fontsize=10)
    figure.savefig(os.fspath(path), dpi=150)


def latency_figure(comparison: Comparison) -> Any:
    """Best latency against trials and against seconds: each seed thin, the median over a model's seeds thick.

    Raises PlotsNotAvailableError without matplotlib, InvalidArgumentError for a comparison in which nothing was
    measured.
    """
    new_figure = figure_class()
    if not any(run.curve() for run in comparison.runs):
        raise InvalidArgumentError("the comparison holds no measured run, so there is nothing to plot")
    figure = new_figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, column, label in ((axes[0], 0, "trials"), (axes[1], 1, "seconds")):
        for colour, model in zip(COLOURS * 9, comparison.models(), strict=False):
            _draw(axis, comparison.of(model), column, model, colour)
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        axis.grid(True, which="both", linewidth=0.3, alpha=0.6)
    axes[0].set_ylabel("best latency (ms)")
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_formatter("{x:g}")
    lowest, highest = axes[0].get_ylim()
    if highest < 10 * lowest:  # there may be no power of ten between them
        axes[0].yaxis.set_minor_formatter("{x:.4g}")
    axes[0].legend(frameon=False)
    return figure


def times_figure(comparison: Comparison) -> Any:
    """Where the time went: a bar for each model, medians over its seeds. Raises as `latency_figure` does."""
    rows = comparison.summaries()
    figure = figure_class()(figsize=(11, 0.6 + 0.5 * len(rows)), layout="constrained")
    axis = figure.subplots()
    left = [0.0] * len(rows)
    for phase, colour in zip(("search", "measure", "train"), COLOURS, strict=False):
        seconds = [getattr(row, f"{phase}_s") for row in rows]
        axis.barh([row.model for row in rows], seconds, left=left, color=colour, label=phase, height=0.6)
        left = [a + b for a, b in zip(left, seconds, strict=True)]
    axis.invert_yaxis()
    axis.set_xlabel("seconds")
    axis.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def batches_figure(batches: Mapping[str, Sequence[tuple[float, float]]]) -> Any:
    """How well each batch was ranked before it was learnt, by model: (trials so far, pairwise accuracy) of each.

    A model of which nothing is known has its colour all the same, that of the other figures.
    """
    figure = figure_class()(figsize=(11, 3.2), layout="constrained")
    axis = figure.subplots()
    for colour, (model, points) in zip(COLOURS * 9, batches.items(), strict=False):
        if not points:
            continue
        axis.plot([x for x, _ in points], [y for _, y in points], "o", color=colour, label=model)
    axis.axhline(0.5, linestyle="--", linewidth=1, color="#888888", label="chance")
    axis.set_xlabel("trials")
    axis.set_ylabel("pairs in the right order")
    axis.set_ylim(0.0, 1.02)
    axis.set_xlim(left=0)
    axis.grid(True, linewidth=0.3, alpha=0.6)
    axis.legend(frameon=False, loc="lower right")
    return figure


def median_curve(runs: Sequence[Run], column: int) -> list[tuple[float, float]]:
    """The median over runs of the best latency (seconds), as steps over trials (column 0) or seconds (column 1).

    It begins where every run has a latency, and ends where the shortest run ends.
    """
    curves = [curve for curve in (run.curve() for run in runs) if curve]
    if not curves:
        return []
    begin = max(curve[0][column] for curve in curves)
    end = min(_extent(run, column) for run in runs if run.curve())
    places = sorted({float(p[column]) for curve in curves for p in curve if begin <= p[column] <= end} | {begin, end})
    xs = [[p[column] for p in curve] for curve in curves]
    return [
        (x, statistics.median(c[bisect_right(at, x) - 1][2] for c, at in zip(curves, xs, strict=True))) for x in places
    ]


def _draw(axis: Any, runs: Sequence[Run], column: int, label: str, colour: str) -> None:
    for run in runs:
        curve = run.curve()
        if not curve:
            continue
        xs = [point[column] for point in curve] + [_extent(run, column)]
        ys = [point[2] * 1e3 for point in curve] + [curve[-1][2] * 1e3]
        axis.step(xs, ys, where="post", color=colour, linewidth=0.7, alpha=0.5)
    median = median_curve(runs, column)
    axis.step(
        [x for x, _ in median], [y * 1e3 for _, y in median], where="post", color=colour, linewidth=2, label=label
    )


def _extent(run: Run, column: int) -> float:
    if column == 0:
        return float(len(run.trials))
    return max(run.times.total_s, max((trial.elapsed_s for trial in run.trials), default=0.0))
