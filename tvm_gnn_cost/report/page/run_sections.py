"""Sections of pages about tuning runs: of one, or of several side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tvm_gnn_cost.evaluation.held_out import Ranking
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.report.comparison_plots import batches_figure
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.report.page.page import PageTable, Section, as_svg

ERRORS = {
    1: "the schedule could not be applied",
    2: "it did not compile",
    3: "it did not compile for the device",
    4: "it crashed, or the device failed",
    5: "it computed something else",
    6: "building took too long",
    7: "running took too long",
    8: "other",
}
"""What TVM's `MeasureErrorNo` mean."""


def promise_sections(comparison: Comparison) -> Iterator[Section]:
    """How well batches were ranked before they were learnt, and what was expected, where models promise anything."""
    batches = {model: list(ranked_batches(comparison.of(model))) for model in comparison.models()}
    if any(batches.values()):
        yield Section(
            "How well each batch was ranked before it was learnt",
            "A batch is what the search chose, so its schedules are alike and hard to tell apart. Models that do not "
            "say what their scores mean are not shown.",
            as_svg(batches_figure(batches)),
        )
    rows = [
        [f"{run.model}, seed {run.seed}", str(moment.trials), f"{moment.gain_left:.1%}", _came(curve, moment.trials)]
        for run in comparison.runs
        for curve in [run.curve()]
        for moment in run.forecasts
    ]
    if rows:
        yield Section(
            "What further trials were expected to save, and what they saved",
            "After each round, as a share of the latency.",
            table=PageTable(["run", "trials", "expected", "came"], rows),
            folded=f"{len(rows)} rounds",
        )


def ranked_batches(runs: Sequence[Run]) -> Iterator[tuple[float, float]]:
    """(trials until its last, pairwise accuracy) of the batches of one task each that can be ranked.

    Until every task has a latency nothing is forecast, and the rounds of a network's tasks lie between two forecasts.
    """
    for run in runs:
        bounds = [0, *(forecast.trials for forecast in run.forecasts), len(run.trials)]
        for begin, end in zip(bounds, bounds[1:], strict=False):
            by_task: dict[int, list[tuple[float, float]]] = {}
            last: dict[int, int] = {}
            for number, trial in enumerate(run.trials[begin:end], begin + 1):
                if trial.score is not None and trial.latency_s is not None:
                    by_task.setdefault(trial.task, []).append((trial.score, trial.latency_s))
                    last[trial.task] = number
            for task, known in by_task.items():
                ranking = Ranking.of(*zip(*known, strict=True))
                if ranking is not None:
                    yield float(last[task]), ranking.pairwise


def _came(curve: Sequence[tuple[int, float, float]], trials: int) -> str:
    """The share of the latency after so many trials that the rest of a run saved, by its `Run.curve`."""
    then = [latency for count, _, latency in curve if count <= trials]
    return f"{1.0 - curve[-1][2] / then[-1]:.1%}" if then else "-"


def failures_section(comparison: Comparison) -> Section:
    """How many measurements failed, by kind."""
    counts = {
        model: Counter(t.error_no for run in comparison.of(model) for t in run.trials if t.latency_s is None)
        for model in comparison.models()
    }
    kinds = sorted({kind for count in counts.values() for kind in count})
    if not kinds:
        return Section("Failed measurements", "None.")
    rows = [[ERRORS.get(kind, f"error {kind}"), *(str(count[kind]) for count in counts.values())] for kind in kinds]
    return Section("Failed measurements", table=PageTable(["", *counts], rows))


def facts_sections(comparison: Comparison) -> list[Section]:
    """How it was made, and on what."""
    about = facts({**comparison.machine, **comparison.versions})
    return [
        Section("How it was made", table=facts(comparison.settings)),
        Section("Machine and versions", table=about, folded=f"{len(about.rows)} rows"),
    ]


def facts(of: Mapping[str, Any]) -> PageTable:
    """Names and values."""
    return PageTable([], [[str(key).replace("_", " "), _text(value)] for key, value in of.items()])


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_text(item)}" for key, item in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def ms(latency_s: float | None) -> str:
    """In milliseconds; "-" for none."""
    return "-" if latency_s is None else format_ms(latency_s)
