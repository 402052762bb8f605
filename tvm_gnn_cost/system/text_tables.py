"""Tables as lines of text, for files and for people; rich draws them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from io import StringIO

from rich.box import MARKDOWN, Box
from rich.console import Console
from rich.table import Table

_UNDERLINED = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
"""Nothing but a line below the headings."""


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown has it."""
    return _lines(headings, rows, MARKDOWN, ())


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Columns of equal width, those with a number in `right` flush right, the headings underlined."""
    return _lines(headings, rows, _UNDERLINED, right)


def _lines(headings: Sequence[str], rows: Sequence[Sequence[str]], box: Box, right: Collection[int]) -> list[str]:
    table = Table(box=box, pad_edge=box is MARKDOWN, show_edge=box is MARKDOWN)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = StringIO()
    Console(file=text, width=100_000, color_system=None, markup=False, highlight=False, emoji=False).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
