"""Plots of evaluations: replayed searches, learning curves, calibration. matplotlib comes with the extra `plots`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.report.figures import COLOURS, figure_class

if TYPE_CHECKING:
    from tvm_gnn_cost.evaluation.summary import Summary

_FAINT = 0.18

T = TypeVar("T")


def search_figure(summary: Summary) -> Any:
    """Best throughput so far against trials, mean over pools: the median over seeds, and their range as a band.

    Raises PlotsNotAvailableError without matplotlib, InvalidArgumentError where nothing was replayed; so do the others.
    """
    figure, axis = _axes("replayed searches", summary.search_curves)
    for method, colour, curves in _coloured(summary.search_curves):
        values = np.asarray(curves, dtype=np.float64)
        trials = np.arange(1, values.shape[1] + 1)
        axis.plot(trials, np.median(values, axis=0), color=colour, linewidth=2, label=method)
        axis.fill_between(trials, values.min(axis=0), values.max(axis=0), color=colour, alpha=_FAINT, linewidth=0)
    axis.set_xlabel("trials")
    axis.set_ylabel("best so far / best of the pool (throughput)")
    axis.set_xlim(left=1)
    axis.set_ylim(top=1.005)
    axis.legend(frameon=False)
    return figure


def learning_figure(summary: Summary) -> Any:
    """Pairwise accuracy on unseen tasks against the number of training workloads; median and range over seeds."""
    figure, axis = _axes("learning curves", summary.learning_curves)
    for method, colour, points in _coloured(summary.learning_curves):
        sizes = sorted(points)
        middle = np.array([np.median(points[size]) for size in sizes])
        low, high = (np.array([of(points[size]) for size in sizes]) for of in (min, max))
        axis.errorbar(
            sizes, middle, [middle - low, high - middle], color=colour, linewidth=2, marker="o", capsize=3, label=method
        )
    axis.set_xscale("log")
    ticks = sorted({size for points in summary.learning_curves.values() for size in points})
    axis.set_xticks(ticks, [str(size) for size in ticks])
    axis.minorticks_off()
    axis.set_xlabel("training workloads")
    axis.set_ylabel("pairwise accuracy on unseen tasks")
    axis.legend(frameon=False)
    return figure


def calibration_figure(summary: Summary) -> Any:
    """Measured against predicted throughput relative to the best known, in bins; a line a seed, and the ideal."""
    figure, axis = _axes("calibration", summary.reliability)
    for method, colour, of_seed in _coloured(summary.reliability):
        for number, found in enumerate(of_seed):
            label = method if number == 0 else None
            axis.plot(found.predicted, found.measured, color=colour, marker="o", markersize=4, label=label)
    axis.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--", zorder=0)
    axis.set_xlabel("predicted relative throughput")
    axis.set_ylabel("measured relative throughput")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    return figure


def figures(summary: Summary) -> Iterator[tuple[str, str, Any]]:
    """What there is to draw of an evaluation: name, title and figure. Raises PlotsNotAvailableError."""
    if summary.search_curves:
        yield "search", "Replayed searches", search_figure(summary)
    if summary.learning_curves:
        yield "learning", "Learning curves", learning_figure(summary)
    if summary.reliability:
        yield "calibration", "Calibration", calibration_figure(summary)


def _axes(what: str, curves: Mapping[str, Any]) -> tuple[Any, Any]:
    new_figure = figure_class()
    if not curves:
        raise InvalidArgumentError(f"the evaluation holds no {what}, so there is nothing to plot")
    figure = new_figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.grid(True, which="both", linewidth=0.3, alpha=0.6)
    return figure, axis


def _coloured(curves: Mapping[str, T]) -> Sequence[tuple[str, str, T]]:
    return [(method, COLOURS[i % len(COLOURS)], curve) for i, (method, curve) in enumerate(curves.items())]
