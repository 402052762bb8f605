"""Every code block of the quick start and of the guides runs, in its page's order, with fewer trials.

Blocks of text are output or say what another machine has to do; a title makes a block a file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "quickstart.md", *sorted((DOCS / "guides").glob("*.md"))]
ANY_TVM = {"metaschedule"}
NOTHING_TO_RUN = {"rpc"}
NOT_RUN = {"text", "diff", "json"}
QUICK = "--population 16 --round 2 --repeat 1 --min-repeat-ms 1"


class Block(NamedTuple):
    language: str
    title: str | None
    code: str


def blocks(page: Path) -> Iterator[Block]:
    for found in re.finditer(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", page.read_text(), re.M | re.S):
        yield Block(*found.groups())


def fewer(trials: str) -> str:
    return str(max(2, int(trials) // 16))


def shortened(block: Block) -> str:
    """The block with a sixteenth of its trials, and measured in a hurry."""
    if block.language == "python":
        return re.sub(r"(trials|per_round)=(\d+)", lambda m: f"{m[1]}={fewer(m[2])}", block.code)
    lines = []
    for line in block.code.splitlines():
        if command := re.match(r"tvm-gnn-cost (tune|compare|collect) ", line):
            line = re.sub(r"--trials (\d+)", lambda m: f"--trials {fewer(m[1])}", line)
            quick = QUICK.replace("--round 2", "--wait-quiet 0") if command[1] == "collect" else QUICK
            line = line if "--dry-run" in line else f"{line} {quick}"
        lines.append(line)
    return "\n".join(lines)


def run(block: Block, folder: Path) -> None:
    here = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    shells = {"python": [sys.executable, "-c"], "sh": ["bash", "-euc"]}
    command = [*shells[block.language], shortened(block)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{block.code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.tvm
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_works(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if page.stem not in ANY_TVM:
        pytest.importorskip("tvm.auto_scheduler")
    shown = [block for block in blocks(page) if block.title or block.language not in NOT_RUN]
    assert bool(shown) != (page.stem in NOTHING_TO_RUN)
    for block in shown:
        if block.title:
            (tmp_path / block.title).write_text(block.code)
        else:
            run(block, tmp_path)
