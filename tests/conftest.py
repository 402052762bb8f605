"""Helpers are plain modules beside the tests; what needs TVM is in folders of its own, left out where TVM is not.

python -m pytest -m "not tvm"       the part that needs no TVM (it runs where none is installed)
python -m pytest -m "not slow"      without what tunes, collects or trains for more than some seconds
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NEED_TVM = ("ansor", "collection", "cli", "measuring", "networks")
"""Folders whose tests run TVM's auto_scheduler."""

sys.path.insert(0, str(TESTS))


def has_tvm() -> bool:
    try:
        return importlib.util.find_spec("tvm.auto_scheduler") is not None
    except ModuleNotFoundError:
        return False


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The folders that need TVM are not even imported without it."""
    return True if _folder(collection_path) in NEED_TVM and not has_tvm() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _folder(item.path) in NEED_TVM:
            item.add_marker(pytest.mark.tvm)
        if item.path.name.startswith("test_native"):
            item.add_marker(pytest.mark.native)


def _folder(path: Path) -> str:
    parts = path.relative_to(TESTS).parts if path.is_relative_to(TESTS) else ()
    return parts[0] if parts else ""
