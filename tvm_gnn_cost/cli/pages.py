"""The pages that commands write at their end, and what `report` makes them of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tvm_gnn_cost.cli.schedulers.choice import scheduler_of_log
from tvm_gnn_cost.cli.schedulers.scheduler import Scheduler
from tvm_gnn_cost.errors import InvalidArgumentError, RecordError, TVMGNNCostError
from tvm_gnn_cost.records import description
from tvm_gnn_cost.records.comparison import RESULT_FILE, Comparison
from tvm_gnn_cost.records.databases import RUN, RUN_SUFFIX
from tvm_gnn_cost.records.logs import ABOUT, find_logs, log_stem
from tvm_gnn_cost.records.run_file import run_files, run_path, unfinished_runs
from tvm_gnn_cost.system.files import read_json

if TYPE_CHECKING:
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView
    from tvm_gnn_cost.report.page.page import Page

PAGE_FILE = "report.html"
"""In the folder of what it is about."""
EVALUATION_FILE = "evaluation.json"
"""In the folder of an evaluation."""


@dataclass(frozen=True)
class Source:
    """What a page is made of.

    Attributes:
        output: where the page goes.
        files: that it is made of; while they stay as they are, so does the page.
        page: makes it; `page(True)` is quick, and leaves out what a run that goes on would be slowed down by.
    """

    output: Path
    files: Callable[[], Sequence[Path]]
    page: Callable[[bool], Page]


def find_source(path: str) -> Source:
    """What there is to tell at a path: of a run, a comparison, an evaluation or pools.

    Raises InvalidArgumentError where there is nothing.
    """
    given = Path(path)
    if given.is_dir():
        if (given / RESULT_FILE).exists() or (not run_path(given).exists() and run_files(given)):
            return _comparison(given)
        if run_path(given).exists():
            return _run(run_path(given), given)
        if (given / EVALUATION_FILE).exists():
            return _evaluation(given / EVALUATION_FILE)
        if (given / ABOUT).is_dir():
            return _pools(given)
        raise InvalidArgumentError(
            f"{path} holds no {RESULT_FILE} (of `compare`), no {EVALUATION_FILE} (of `evaluate`), no {ABOUT}/ (of "
            "`collect`) and no database.run.json (of `tune`)"
        )
    if not given.exists():
        raise InvalidArgumentError(f"{path}: there is no such file or folder")
    if given.name.endswith(RUN_SUFFIX):
        return _run(given, None)
    if run_path(given).exists():
        return _run(run_path(given), given)
    if _is_evaluation(given):
        return _evaluation(given)
    return Source(given.parent / PAGE_FILE, lambda: [given], lambda quick: _comparison_page(Comparison.load(given)))


def _is_evaluation(file: Path) -> bool:
    """Whether a file is what `evaluate` found, under whatever name."""
    try:
        content = read_json(file, "file", RecordError)
    except RecordError:
        return False  # it is read again as something else, which says what is wrong
    return isinstance(content, dict) and "figures" in content


def page_path(log: Path) -> Path:
    """Where the page of a run goes: beside its log, or into its database."""
    return log / PAGE_FILE if log.is_dir() else log.with_name(f"{log_stem(log)}.html")


def save_run_page(console: Console, tvm: Scheduler, told: Comparison, log: Path, model: Any | None) -> None:
    """Write the page of a run that has ended, and say where; say why where there is none.

    `model` says which stages of the fastest schedules take the time; None: the shipped network.
    """
    if not told.runs[0].trials:
        return
    from tvm_gnn_cost.report.page.run_page import run_page

    try:
        page = page_path(log)
        run_page(told, tvm.best_views(str(log), model or _shipped(tvm))).save(page)
        console.print(f"report: {page}", highlight=False, soft_wrap=True)
    except TVMGNNCostError as error:
        console.print(f"no report: {error}", highlight=False, soft_wrap=True)


def _shipped(tvm: Scheduler) -> Any:
    """The model that says which stages take the time where the run has none that could."""
    return tvm.gnn_model(0, "auto", "cpu")


def _comparison(folder: Path) -> Source:
    def told() -> Comparison:
        path = folder / RESULT_FILE
        return unfinished_runs(Comparison.load(path) if path.exists() else None, folder)

    return Source(
        folder / PAGE_FILE,
        lambda: [folder / RESULT_FILE, *run_files(folder)],
        lambda quick: _comparison_page(told()),
    )


def _comparison_page(comparison: Comparison) -> Page:
    from tvm_gnn_cost.report.page.comparison_page import comparison_page

    return comparison_page(comparison)


def _run(file: Path, log: Path | None) -> Source:
    """Of a run's file; `log` None: the log that the file names."""
    beside = file.parent if file.name == RUN else file.with_name(f"{file.name.removesuffix(RUN_SUFFIX)}.json")

    def page(quick: bool) -> Page:
        from tvm_gnn_cost.report.page.run_page import run_page

        told = Comparison.load(file)
        if not told.runs:
            raise InvalidArgumentError(f"{file} tells of no run")
        if quick:
            return run_page(told, without_views="while the run goes on they are left out")
        views, why = _views(log or _log_of(file, Path(told.runs[0].log_file)))
        return run_page(told, views, without_views=why)

    return Source(page_path(log or beside), lambda: [file], page)


def _log_of(file: Path, named: Path) -> Path:
    """The log of a run's file: as it was named, or beside the file where both were moved."""
    if file.name == RUN:
        return file.parent
    return named if named.exists() else file.with_name(named.name)


def _views(log: Path) -> tuple[list[ScheduleView], str]:
    """The fastest schedules of a log; or none, and why."""
    try:
        tvm = scheduler_of_log(None, str(log))
        views = tvm.best_views(str(log), _shipped(tvm))
        return views, "" if views else f"{log} holds none that ran"
    except TVMGNNCostError as error:
        return [], str(error)


def _evaluation(file: Path) -> Source:
    def page(quick: bool) -> Page:
        from tvm_gnn_cost.evaluation.summary import load_summary
        from tvm_gnn_cost.report.page.evaluation_page import evaluation_page

        return evaluation_page(*load_summary(file))

    return Source(file.parent / PAGE_FILE, lambda: [file], page)


def _pools(folder: Path) -> Source:
    def page(quick: bool) -> Page:
        from tvm_gnn_cost.report.page.pools_page import pools_page

        pools = [(log_stem(log), about) for log in find_logs([folder]) if (about := description.load(log))]
        if not pools:
            raise InvalidArgumentError(f"{folder / ABOUT} describes no pool of {folder}")
        return pools_page(os.path.basename(folder.resolve()), pools)

    return Source(folder / PAGE_FILE, lambda: [*sorted((folder / ABOUT).glob("*.json"))], page)
