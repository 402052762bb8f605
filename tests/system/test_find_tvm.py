from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BLOCK_TVM = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "tvm" or name.startswith("tvm."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


def run_python(code: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = [str(p) for p in (path, ROOT) if p is not None]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def tvm_without_auto_scheduler(tmp_path: Path) -> Path:
    package = tmp_path / "tvm"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "0.25.0"\n')
    return tmp_path


def test_import_is_light() -> None:
    done = run_python(
        "import sys, tvm_gnn_cost, tvm_gnn_cost.workloads, tvm_gnn_cost.ansor.record_log\n"
        "assert not {'tvm', 'torch', 'torch_geometric', 'xgboost'} & sys.modules.keys()\n"
        "print(tvm_gnn_cost.__version__)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_package_imports_without_tvm() -> None:
    done = run_python(BLOCK_TVM + "import tvm_gnn_cost\nfrom tvm_gnn_cost import TVMNotAvailableError")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "call",
    [
        "find_tvm.require_auto_scheduler()",
        "tasks.make_task('matmul', (64, 64, 64))",
        "parse_target('llvm')",
        "record_log.read_records('log.json')",
    ],
)
def test_what_needs_tvm_names_the_extra(call: str) -> None:
    done = run_python(
        BLOCK_TVM
        + "from tvm_gnn_cost import TVMNotAvailableError\n"
        + "from tvm_gnn_cost.ansor import record_log, tasks\nfrom tvm_gnn_cost.system import find_tvm\n"
        + "from tvm_gnn_cost.workloads import parse_target\n"
        + f"try:\n    {call}\nexcept TVMNotAvailableError as error:\n    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert 'pip install "tvm-gnn-cost[tvm]"' in done.stdout
    assert "not installed" in done.stdout


def test_a_newer_tvm_is_named_with_what_to_do(tvm_without_auto_scheduler: Path) -> None:
    done = run_python(
        "from tvm_gnn_cost import TVMNotAvailableError\n"
        "from tvm_gnn_cost.system.find_tvm import require_auto_scheduler\n"
        "try:\n    require_auto_scheduler()\nexcept TVMNotAvailableError as error:\n    print(error)\n",
        tvm_without_auto_scheduler,
    )
    assert done.returncode == 0, done.stderr
    for part in ("0.25.0", "no auto_scheduler", "separate environment", "tvm-gnn-cost[tvm]"):
        assert part in done.stdout


def test_a_broken_tvm_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "tvm").mkdir()
    (tmp_path / "tvm" / "__init__.py").write_text('raise OSError("libLLVM.so: cannot open shared object file")\n')
    done = run_python(
        "from tvm_gnn_cost import TVMNotAvailableError\n"
        "from tvm_gnn_cost.system.find_tvm import require_auto_scheduler\n"
        "try:\n    require_auto_scheduler()\nexcept TVMNotAvailableError as error:\n    print(error)\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "libLLVM.so: cannot open shared object file" in done.stdout


def test_the_command_line_says_it_in_one_line(tvm_without_auto_scheduler: Path) -> None:
    done = run_python(
        "import sys; from tvm_gnn_cost.cli import main; sys.exit(main(['tune', 'matmul', '64', '64', '64']))",
        tvm_without_auto_scheduler,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "0.25.0" in done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tvm_gnn_cost

    with pytest.raises(AttributeError, match="no_such_name"):
        tvm_gnn_cost.no_such_name  # noqa: B018
    assert "GNNCostModel" in dir(tvm_gnn_cost)
