"""What MkDocs calls while it builds the site: the page of commands is made from what they say of themselves."""

from __future__ import annotations

from typing import Any

import click

from tvm_gnn_cost.cli import cli

_WIDTH = 84


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Adds the help of every command to its page."""
    if page.file.src_uri != "reference/commands.md":
        return markdown
    context = click.Context(cli, info_name="tvm-gnn-cost", terminal_width=_WIDTH, max_content_width=_WIDTH)
    parts = [markdown, _block(cli.get_help(context))]
    for name, command in sorted(cli.commands.items()):
        own = click.Context(command, context, name, terminal_width=_WIDTH, max_content_width=_WIDTH)
        parts += [f"## {name}", _block(command.get_help(own))]
    return "\n\n".join(parts)


def _block(text: str) -> str:
    return f"```text\n{text}\n```"
