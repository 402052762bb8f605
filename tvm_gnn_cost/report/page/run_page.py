"""The page of one tuning run: what it reached, where the time went, each task with its best schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tvm_gnn_cost.graphs.schedule_view import ScheduleView
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.report.comparison_plots import latency_figure, times_figure
from tvm_gnn_cost.report.loop_text import schedule_text
from tvm_gnn_cost.report.page.page import Page, PageTable, Section, as_svg, svg_element
from tvm_gnn_cost.report.page.run_sections import facts_sections, failures_section, ms, promise_sections
from tvm_gnn_cost.report.picture.drawing import schedule_svg

LIVE_S = 10
"""How often a browser asks for the page of a run that goes on, in seconds."""


def run_page(told: Comparison, views: Sequence[ScheduleView] = (), *, without_views: str = "") -> Page:
    """The page of a run.

    Args:
        told: its file (`records.run_file`): a comparison of one run.
        views: the fastest schedule of each task; the title is the task's name.
        without_views: why there are none, where there might be.

    Raises PlotsNotAvailableError without matplotlib.
    """
    run = told.runs[0]
    pictures = []
    if run.curve():
        pictures.append(Section("Best latency", picture=as_svg(latency_figure(told))))
    if run.trials:
        pictures.append(Section("Where the time went", picture=as_svg(times_figure(told))))
    sections = [
        Section("What was reached", _ending(run), table=_reached(told, run)),
        *pictures,
        *_tasks(told, run),
        *_schedules(_costliest_first(views, told, run), without_views),
        *promise_sections(told),
        failures_section(told),
        *facts_sections(told),
    ]
    lead = f"{run.model} on {told.machine.get('cpu', 'unknown processor')}, begun {run.started}"
    return Page(told.workload, lead, sections, None if run.finished else LIVE_S)


def _ending(run: Run) -> str:
    bests, said = run.task_bests(), []
    if not run.finished:
        said.append("The run goes on, or was killed.")
    elif reasons := sorted({why for why in run.left if why}):
        said.append(f"It ended before its budget was used: {'; '.join(reasons)}.")
    if missing := bests.count(None):
        said.append(f"{missing} of {len(bests)} tasks have no schedule that ran, so that the whole has no latency.")
    return " ".join(said)


def _reached(told: Comparison, run: Run) -> PageTable:
    curve = run.curve()
    reached, rate, latency = "-", "-", None
    if curve:
        trials, seconds, latency = curve[-1]
        reached, rate = f"{trials} trials, {seconds:.0f} s", f"{run.total_flops / latency / 1e9:.1f}"
    rows = [["best latency (ms)", ms(latency)]]
    if told.untuned_s is not None:
        rows.append(["network untuned (ms)", ms(told.untuned_s)])
    rows += [["GFLOP/s", rate], ["reached after", reached], ["trials", str(len(run.trials))]]
    if run.resumed:
        rows.append(["further trials in the log, of which this page knows nothing", str(run.resumed)])
    rows += [["failed", str(run.failed)], ["seconds", f"{run.times.total_s:.0f}"]]
    if run.forecasts:
        rows.append(["further trials are expected to save", f"{run.forecasts[-1].gain_left:.1%}"])
    return PageTable([], [*rows, ["log", run.log_file]])


def _costs(run: Run) -> list[float]:
    """What each task takes of the whole, in seconds; 0 where it has no latency."""
    return [weight * (best or 0.0) for weight, best in zip(run.weights, run.task_bests(), strict=True)]


def _tasks(told: Comparison, run: Run) -> Iterator[Section]:
    """The tasks of a network, the costliest first."""
    if len(told.tasks) < 2:
        return
    costs, bests = _costs(run), run.task_bests()
    total = sum(costs)
    rows = []
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        mine = [trial for trial in run.trials if trial.task == i]
        best = bests[i]
        rows.append(
            [
                told.tasks[i],
                f"{run.weights[i]:g}",
                ms(best),
                f"{costs[i] / total:.0%}" if costs[i] else "-",
                f"{run.flops[i] / best / 1e9:.1f}" if best else "-",
                str(len(mine)),
                str(sum(trial.latency_s is None for trial in mine)),
                run.left[i] if run.left else "",
            ]
        )
    head = ["task", "weight", "best (ms)", "share", "GFLOP/s", "trials", "failed", "left because"]
    yield Section("Tasks", table=PageTable(head, rows))


def _costliest_first(views: Sequence[ScheduleView], told: Comparison, run: Run) -> list[ScheduleView]:
    costs = dict(zip(told.tasks, _costs(run), strict=False))
    return sorted(views, key=lambda view: -costs.get(view.title, 0.0))


def _schedules(views: Sequence[ScheduleView], without: str) -> Iterator[Section]:
    """The loop nest and the stage graph of each task's fastest schedule."""
    if not views:
        if without:
            yield Section("Fastest schedules", f"They cannot be shown: {without}")
        return
    yield Section("Fastest schedules", "As loop nests, and as the stage graphs that the model sees.")
    for view in views:
        yield Section(
            view.title,
            code=schedule_text(view),
            picture=svg_element(schedule_svg(view)),
            folded="loop nest and stage graph",
            on_paper=True,
            is_part=True,
        )
