"""Helpers are plain modules beside the tests; what needs TVM is in folders of its own, left out where TVM is not.

python -m pytest -m "not tvm"       the part that needs no TVM (it runs where none is installed)
python -m pytest -m auto_scheduler  the part that needs TVM 0.19; the rest runs with apache-tvm, too
python -m pytest -m "not slow"      without what tunes, collects or trains for more than some seconds
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rpc_sessions import Sessions

    from tvm_gnn_cost.testing.rpc_rig import Rig

TESTS = Path(__file__).parent
NEED_AUTO_SCHEDULER = ("ansor", "collection", "cli", "networks")
"""Folders whose tests run TVM's auto_scheduler."""
NEED_META_SCHEDULE = ("meta_schedule", "measuring", "workloads")
"""Folders whose tests run with every TVM that has MetaSchedule."""

sys.path.insert(0, str(TESTS))


def has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The folders that need TVM are not even imported without it."""
    folder = _folder(collection_path)
    missing = folder in NEED_AUTO_SCHEDULER and not has("tvm.auto_scheduler")
    missing = missing or (folder in NEED_META_SCHEDULE and not has("tvm"))
    return True if missing else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = set((TESTS / "slow.txt").read_text().splitlines())  # tests, or all of a file
    for item in items:
        name = item.nodeid.partition("[")[0].removeprefix("tests/")
        if name in slow or name.partition("::")[0] in slow:
            item.add_marker(pytest.mark.slow)
        if _folder(item.path) in NEED_AUTO_SCHEDULER + NEED_META_SCHEDULE:
            item.add_marker(pytest.mark.tvm)
        if _folder(item.path) in NEED_AUTO_SCHEDULER:
            item.add_marker(pytest.mark.auto_scheduler)
        if item.path.name.startswith("test_native"):
            item.add_marker(pytest.mark.native)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A process gets whole files, whose tests share what they set up; the guides' pages are long, and share nothing."""
    from xdist.scheduler import LoadFileScheduling

    class FilesAndPages(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if "test_guides.py" in nodeid else str(super()._split_scope(nodeid))

    return FilesAndPages(config, log)


@pytest.fixture(autouse=True)
def _package_logger() -> Iterator[None]:
    """The command line takes the package's log messages over, in a process of its own; the next test wants them too."""
    logger = logging.getLogger("tvm_gnn_cost")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A tracker and servers of this machine, for all tests of a file."""
    from tvm_gnn_cost.testing.rpc_rig import running_rig

    with running_rig() as found:
        yield found


@pytest.fixture
def one(rig: Rig) -> Rig:
    """With a single server."""
    return rig.keep(1)


@pytest.fixture
def two(rig: Rig) -> Rig:
    """With two servers."""
    return rig.keep(2)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    from rpc_sessions import Sessions

    return Sessions(monkeypatch)


def _folder(path: Path) -> str:
    parts = path.relative_to(TESTS).parts if path.is_relative_to(TESTS) else ()
    return parts[0] if parts else ""
