"""The page of a comparison of cost models: what each reached, where the time went, how good its promises were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tvm_gnn_cost.evaluation.held_out import Ranking
from tvm_gnn_cost.records.comparison import Comparison, Run, Summary
from tvm_gnn_cost.report.comparison_plots import batches_figure, latency_figure, times_figure
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.report.page.page import Page, PageTable, Section, as_svg

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


def comparison_page(comparison: Comparison) -> Page:
    """The page of a comparison.

    Raises PlotsNotAvailableError without matplotlib, InvalidArgumentError for one in which nothing was measured.
    """
    failures = _failures(comparison)
    sections = [
        Section("What was reached", _verdict(comparison), table=_summary(comparison.summaries())),
        Section(
            "Best latency",
            "Thin lines are seeds, thick ones medians over a model's seeds.",
            as_svg(latency_figure(comparison)),
        ),
        Section("Where the time went", "Medians over the seeds.", as_svg(times_figure(comparison))),
        *_promises(comparison),
        Section("Failed measurements", "" if failures else "None.", table=failures),
        Section("Runs", table=_runs(comparison.runs), folded=len(comparison.runs) > 12),
        Section("How it was made", table=_pairs(comparison.settings)),
        Section("Machine and versions", table=_pairs({**comparison.machine, **comparison.versions}), folded=True),
    ]
    lead = f"{comparison.machine.get('cpu', 'unknown processor')}, begun {comparison.created}"
    return Page(comparison.workload, lead, sections)


def _verdict(comparison: Comparison) -> str:
    rows = [row for row in comparison.summaries() if row.latency_s is not None]
    if len(rows) < 2:
        return ""
    best, *others = sorted(rows, key=lambda row: row.latency_s or 0.0)
    slower = ", ".join(f"{row.model} {(row.latency_s or 0.0) / (best.latency_s or 1.0):.2f} times" for row in others)
    return f"{best.model} found the fastest, in the median over its seeds. The others' take as long: {slower}."


def _summary(rows: Sequence[Summary]) -> PageTable:
    def cells(text: Any) -> list[str]:
        return [text(row) for row in rows]

    seeds = (
        [["of all seeds (ms)", *cells(lambda r: _range(r.latency_range_s))]] if any(r.runs > 1 for r in rows) else []
    )
    return PageTable(
        ["", *(row.model for row in rows)],
        [
            ["best latency (ms)", *cells(lambda r: "-" if r.latency_s is None else format_ms(r.latency_s))],
            *seeds,
            ["GFLOP/s", *cells(lambda r: "-" if r.gflops is None else f"{r.gflops:.1f}")],
            ["reached after (trials)", *cells(lambda r: "-" if r.trials_to_best is None else f"{r.trials_to_best:g}")],
            ["reached after (s)", *cells(lambda r: "-" if r.seconds_to_best is None else f"{r.seconds_to_best:.0f}")],
            ["in all (s)", *cells(lambda r: f"{r.total_s:.0f}")],
            ["runs", *cells(lambda r: str(r.runs))],
        ],
    )


def _range(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{format_ms(bounds[0])} to {format_ms(bounds[1])}"


def _promises(comparison: Comparison) -> Iterator[Section]:
    """How well batches were ranked before they were learnt, and what was expected, where models promise anything."""
    batches = {model: list(_ranked_batches(comparison.of(model))) for model in comparison.models()}
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
            folded=True,
        )


def _ranked_batches(runs: Sequence[Run]) -> Iterator[tuple[float, float]]:
    """(trials so far, pairwise accuracy) of the batches of one task each that can be ranked."""
    for run in runs:
        bounds = [0, *(forecast.trials for forecast in run.forecasts), len(run.trials)]
        for begin, end in zip(bounds, bounds[1:], strict=False):
            by_task: dict[int, list[tuple[float, float]]] = {}
            for trial in run.trials[begin:end]:
                if trial.score is not None and trial.latency_s is not None:
                    by_task.setdefault(trial.task, []).append((trial.score, trial.latency_s))
            for known in by_task.values():
                ranking = Ranking.of(*zip(*known, strict=True))
                if ranking is not None:
                    yield float(end), ranking.pairwise


def _came(curve: Sequence[tuple[int, float, float]], trials: int) -> str:
    """The share of the latency after so many trials that the rest of a run saved, by its `Run.curve`."""
    then = [latency for count, _, latency in curve if count <= trials]
    return f"{1.0 - curve[-1][2] / then[-1]:.1%}" if then else "-"


def _failures(comparison: Comparison) -> PageTable | None:
    counts = {
        model: Counter(t.error_no for run in comparison.of(model) for t in run.trials if t.latency_s is None)
        for model in comparison.models()
    }
    kinds = sorted({kind for count in counts.values() for kind in count})
    if not kinds:
        return None
    rows = [[ERRORS.get(kind, f"error {kind}"), *(str(count[kind]) for count in counts.values())] for kind in kinds]
    return PageTable(["", *counts], rows)


def _runs(runs: Sequence[Run]) -> PageTable:
    return PageTable(
        ["model", "seed", "best (ms)", "trials", "failed", "seconds", "log"],
        [
            [
                run.model,
                str(run.seed),
                "-" if run.best_latency_s is None else format_ms(run.best_latency_s),
                str(len(run.trials)),
                str(run.failed),
                f"{run.times.total_s:.0f}",
                run.log_file,
            ]
            for run in runs
        ],
    )


def _pairs(facts: Mapping[str, Any]) -> PageTable:
    return PageTable([], [[str(key).replace("_", " "), str(value)] for key, value in facts.items()])
