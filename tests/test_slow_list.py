"""What tests/slow.txt names is there: a test that was renamed would count as a fast one without a word."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
SUITES = TESTS.parent / "tvm_gnn_cost" / "testing"
"""Of tests that a class inherits."""


def test_every_slow_test_is_there() -> None:
    inherited = "".join(path.read_text() for path in SUITES.glob("*.py"))
    for line in (TESTS / "slow.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        file, *names = line.split("::")
        source = (TESTS / file).read_text() + (inherited if len(names) == 2 else "")
        assert not names or f"def {names[-1]}(" in source, line
