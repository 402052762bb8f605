"""A page as sections of text, tables and pictures, and how it becomes HTML."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.system.files import write_atomically

Row = Sequence[str]


@dataclass(frozen=True)
class PageTable:
    """Cells as text; the first column names the rows."""

    head: Row
    rows: Sequence[Row]


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        text: a sentence or two; "" for none.
        picture: an SVG element, see `as_svg`; "" for none.
        table: below the picture.
        code: text of which every space counts, above the picture; "" for none.
        folded: what to press to see all but the text; "" where it is to be seen at once.
        on_paper: whether the picture is made for white paper, and keeps it in the dark.
        is_part: whether it belongs to the section above.
    """

    title: str
    text: str = ""
    picture: str = ""
    table: PageTable | None = None
    code: str = ""
    folded: str = ""
    on_paper: bool = False
    is_part: bool = False


@dataclass(frozen=True)
class Page:
    """Everything of a page.

    Attributes:
        title: of the page.
        lead: the line below it.
        sections: from top to bottom.
        refresh_s: a browser asks for it again after so many seconds; None: never.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    refresh_s: int | None = None

    def html(self) -> str:
        """The page as HTML. What it says is escaped, wherever it comes from."""
        environment = Environment(
            loader=PackageLoader("tvm_gnn_cost.report.page", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        text: str = environment.get_template("page.html.j2").render(
            title=self.title, lead=self.lead, sections=self.sections, refresh_s=self.refresh_s
        )
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, atomically. Raises RecordError where that fails."""
        try:
            write_atomically(Path(path), self.html().encode())
        except OSError as error:
            raise RecordError(f"the page cannot be written to {path}: {error.strerror or error}") from error


def as_svg(figure: Any) -> str:
    """A matplotlib Figure as an SVG element that takes the colour of the text around it, light or dark.

    It is as wide as its place, but no wider than it was made for.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tvm-gnn-cost"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    style = f'style="max-width: {figure.get_figwidth():.2f}in"'
    text = svg_element(buffer.getvalue())
    text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', rf"\1 {style}", text, count=1)
    # matplotlib's black is for axes and letters; what it leaves out is black too
    return text.replace("#000000", "currentColor").replace("<svg ", '<svg fill="currentColor" ', 1)


def svg_element(text: str) -> str:
    """The element of an SVG file, without what is only for a file."""
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.S)
