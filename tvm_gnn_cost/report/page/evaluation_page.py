"""The page of an evaluation: the tables of its experiments, what there is to draw, what was tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tvm_gnn_cost.evaluation.summary import Summary
from tvm_gnn_cost.report.evaluation_plots import figures
from tvm_gnn_cost.report.evaluation_tables import experiment_tables
from tvm_gnn_cost.report.page.page import Page, PageTable, Section, as_svg
from tvm_gnn_cost.report.page.run_sections import facts

_POOL_FACTS = ("name", "operator", "scheduler", "target", "records", "failed")


def evaluation_page(summary: Summary, about: Mapping[str, Any]) -> Page:
    """The page of an evaluation, as `load_summary` gives it. Raises PlotsNotAvailableError without matplotlib."""
    machine, versions = about.get("machine") or {}, about.get("versions") or {}
    pools = about.get("pools") or []
    tested = {i for fold in about.get("folds") or [] for i in fold.get("tests", ())}
    tables = experiment_tables(summary)
    if not tables:
        notes = "Nothing was found."
    else:
        notes = "Means over pools; of these the median over seeds, and in brackets their range."
    sections = [
        Section("What was found", notes),
        *(Section(str(table.title), table=page_table(table), is_part=True) for table in tables),
        *(Section(title, picture=as_svg(figure)) for _, title, figure in figures(summary)),
    ]
    if summary.skipped:
        sections.append(Section("What was left out", table=PageTable([], [[reason] for reason in summary.skipped])))
    rows = [[str(pools[i].get(name, "")) for name in _POOL_FACTS] for i in sorted(tested) if i < len(pools)]
    if rows:
        sections.append(Section("Tested pools", table=PageTable(_POOL_FACTS, rows), folded=f"{len(rows)} pools"))
    sections += [
        Section("Models", table=facts(about.get("models") or {}), folded=f"{len(about.get('models') or {})} models"),
        Section("How it was made", table=facts(about.get("options") or {})),
        Section("Machine and versions", table=facts({**machine, **versions}), folded="versions"),
    ]
    lead = f"{len(tested)} pools tested on {machine.get('cpu', 'unknown processor')}, {about.get('created', '')}"
    return Page("Evaluation", lead, sections)


def page_table(table: Table) -> PageTable:
    """A table for a terminal as one for a page."""
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    return PageTable([_plain(column.header) for column in table.columns], list(zip(*columns, strict=True)))


def _plain(cell: Any) -> str:
    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)
