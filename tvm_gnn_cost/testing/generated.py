"""Files that are generated from the code, and kept in the repository."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def generate(path: Path, text: str, description: str, arguments: Sequence[str] | None = None) -> int:
    """The command line of a generator: writes the text, or with --check tells whether it is there.

    Args:
        path: of the file.
        text: what it should hold.
        description: for --help.
        arguments: None: those of the process.

    Returns the exit code: 0 written or up to date, 1 out of date.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--check", action="store_true", help=f"write nothing; exit with 1 if {path.name} is out of date"
    )
    if parser.parse_args(arguments).check:
        return int(not path.exists() or path.read_text() != text)
    path.write_text(text)
    return 0
