"""Tables of names and figures that a narrow terminal does not cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def figures_table(title: str, names: str, figures: Sequence[str]) -> Table:
    """A table with a column of names, folded where it is narrow, and columns of figures, which stay whole."""
    table = Table(title=title)
    table.add_column(names, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
