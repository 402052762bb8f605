"""The library speaks to those who call it: of parameters, not of the command line's options."""

from __future__ import annotations

from pathlib import Path

from tvm_gnn_cost.cli.hints import OPTION_OF, with_options

PACKAGE = Path(__file__).parents[2] / "tvm_gnn_cost"


def test_the_command_line_translates_parameters() -> None:
    assert with_options("begin anew (`restart`)") == "begin anew (--restart)"
    assert with_options("`no_such_parameter` stays") == "`no_such_parameter` stays"


def test_every_option_that_a_message_may_become_exists() -> None:
    commands = "\n".join(path.read_text() for path in (PACKAGE / "cli").glob("*.py") if path.name != "hints.py")
    assert all(f'"{option}"' in commands for option in OPTION_OF.values())
