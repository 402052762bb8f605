"""The page of a comparison of cost models: what each reached, where the time went, how good its promises were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tvm_gnn_cost.records.comparison import Comparison, Run, Summary
from tvm_gnn_cost.report.comparison_plots import latency_figure, times_figure
from tvm_gnn_cost.report.page.page import Page, PageTable, Section, as_svg
from tvm_gnn_cost.report.page.run_sections import facts_sections, failures_section, ms, promise_sections

_MANY_RUNS = 12
"""More are shown only when they are asked for."""


def comparison_page(comparison: Comparison) -> Page:
    """The page of a comparison.

    Raises PlotsNotAvailableError without matplotlib, InvalidArgumentError for one in which nothing was measured.
    """
    count = len(comparison.runs)
    sections = [
        Section("What was reached", _verdict(comparison), table=_summary(comparison.summaries())),
        Section(
            "Best latency",
            "Thin lines are seeds, thick ones medians over a model's seeds.",
            as_svg(latency_figure(comparison)),
        ),
        Section("Where the time went", "Medians over the seeds.", as_svg(times_figure(comparison))),
        *_tasks(comparison),
        *promise_sections(comparison),
        failures_section(comparison),
        Section("Runs", table=_runs(comparison.runs), folded=f"{count} runs" if count > _MANY_RUNS else ""),
        *facts_sections(comparison),
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
            ["best latency (ms)", *cells(lambda r: ms(r.latency_s))],
            *seeds,
            ["GFLOP/s", *cells(lambda r: "-" if r.gflops is None else f"{r.gflops:.1f}")],
            ["reached after (trials)", *cells(lambda r: "-" if r.trials_to_best is None else f"{r.trials_to_best:g}")],
            ["reached after (s)", *cells(lambda r: "-" if r.seconds_to_best is None else f"{r.seconds_to_best:.0f}")],
            ["in all (s)", *cells(lambda r: f"{r.total_s:.0f}")],
            ["runs", *cells(lambda r: str(r.runs))],
        ],
    )


def _range(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{ms(bounds[0])} to {ms(bounds[1])}"


def _tasks(comparison: Comparison) -> Iterator[Section]:
    """The tasks of a network, the costliest first: the best latency of each that any of a model's runs found."""
    if len(comparison.tasks) < 2:
        return
    best = {model: _best_of_runs(comparison.of(model)) for model in comparison.models()}
    weights = comparison.runs[0].weights
    first = next(iter(best.values()))
    order = sorted(range(len(weights)), key=lambda i: -(first[i] or 0.0) * weights[i])
    rows = [[comparison.tasks[i], f"{weights[i]:g}", *(ms(latencies[i]) for latencies in best.values())] for i in order]
    yield Section(
        "Tasks",
        "Each task's best latency in ms, of all seeds.",
        table=PageTable(["task", "weight", *best], rows),
    )


def _best_of_runs(runs: Sequence[Run]) -> list[float | None]:
    """Of each task, in seconds."""
    each = zip(*(run.task_bests() for run in runs), strict=True)
    return [min((s for s in latencies if s is not None), default=None) for latencies in each]


def _runs(runs: Sequence[Run]) -> PageTable:
    return PageTable(
        ["model", "seed", "best (ms)", "trials", "failed", "seconds", "log"],
        [
            [
                run.model,
                str(run.seed),
                ms(run.best_latency_s),
                str(len(run.trials)),
                str(run.failed),
                f"{run.times.total_s:.0f}",
                run.log_file,
            ]
            for run in runs
        ],
    )
