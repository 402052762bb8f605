"""The library speaks to those who call it: of parameters, not of the command line's options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tvm_gnn_cost.cli.hints import OPTION_OF, with_options

PACKAGE = Path(__file__).parents[2] / "tvm_gnn_cost"
OF_THE_COMMAND_LINE = ("cli", "generated.py", "proof.py", "trust.py", "worker_process.py")
"""Folders and files that read a command line themselves, or write one."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that is no docstring; an f-string is one text, with its fields in braces."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            documentation |= {id(part) for part in node.values}
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_no_message_of_the_library_names_an_option() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not set(path.relative_to(PACKAGE).parts) & set(OF_THE_COMMAND_LINE)
        for line, text in texts(path)
        if re.search(r"(^|[\s(])--[a-z]", text) and "tvm.exec" not in text
    ]
    assert not found, "\n".join(found)


def test_the_command_line_translates_parameters() -> None:
    assert with_options("begin anew (`restart`)") == "begin anew (--restart)"
    assert with_options("`no_such_parameter` stays") == "`no_such_parameter` stays"


def test_every_option_that_a_message_may_become_exists() -> None:
    commands = "\n".join(path.read_text() for path in (PACKAGE / "cli").glob("*.py") if path.name != "hints.py")
    assert all(f'"{option}"' in commands for text in OPTION_OF.values() for option in re.findall(r"--[a-z-]+", text))
