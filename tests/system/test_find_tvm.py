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
    return install(tmp_path, version="0.25.0", ffi="0.1.12")


def install(folder: Path, *names: str, version: str, ffi: str | None = None, does: str = "") -> Path:
    """A folder for `sys.path` with a stand-in for apache-tvm: it has MetaSchedule, of which the probe `does` this."""
    module = f"class IRModule:\n    def __init__(self, functions): {does or 'pass'}\n"
    for room, text in {
        "tvm": f"__version__ = '{version}'\nfrom tvm import target\nprint('tvm is loaded')\n{module}",
        "tvm/te": "def __getattr__(name):\n    import unittest.mock\n    return unittest.mock.MagicMock()\n",
        "tvm/target": "Target = dict\n",
        "tvm/s_tir": "",
        "tvm/s_tir/meta_schedule": "import unittest.mock\nTuneContext = unittest.mock.MagicMock()\n",
    }.items():
        (folder / room).mkdir(parents=True)
        (folder / room / "__init__.py").write_text(text)
    packages = {name: version for name in names or ["apache-tvm"]} | ({"apache-tvm-ffi": ffi} if ffi else {})
    for name, its in packages.items():
        (folder / f"{name.replace('-', '_')}-{its}.dist-info").mkdir()
        (folder / f"{name.replace('-', '_')}-{its}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {its}\n"
        )
    return folder


def gate(call: str, path: Path) -> subprocess.CompletedProcess[str]:
    """What a call of `find_tvm` prints, its error included."""
    return run_python(
        "import logging; logging.basicConfig()\nfrom tvm_gnn_cost import TVMNotAvailableError\n"
        "from tvm_gnn_cost.system import find_tvm\n"
        f"try:\n    find_tvm.{call}()\n    print('found')\nexcept TVMNotAvailableError as error:\n    print(error)\n",
        path,
    )


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
    done = gate("require_auto_scheduler", tvm_without_auto_scheduler)
    assert done.returncode == 0, done.stderr
    for part in ("0.25.0", "no auto_scheduler", "separate environment", "tvm-gnn-cost[tvm]"):
        assert part in done.stdout


def test_a_broken_tvm_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "tvm").mkdir()
    (tmp_path / "tvm" / "__init__.py").write_text('raise OSError("libLLVM.so: cannot open shared object file")\n')
    done = gate("require_auto_scheduler", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "libLLVM.so: cannot open shared object file" in done.stdout


def test_a_tvm_without_a_tuner_is_named(tmp_path: Path) -> None:
    (tmp_path / "tvm").mkdir()
    (tmp_path / "tvm" / "__init__.py").write_text('__version__ = "0.22.0"\n')
    for call in ("require_tvm", "require_auto_scheduler", "require_meta_schedule"):
        done = gate(call, tmp_path)
        assert "TVM 0.22.0 has no tuner, neither auto_scheduler nor MetaSchedule" in done.stdout
        assert "tvm-gnn-cost[apache-tvm]" in done.stdout


def test_a_pair_that_crashes_is_named_before_it_is_loaded(tmp_path: Path) -> None:
    done = gate("require_meta_schedule", install(tmp_path, version="0.27.0.post1", ffi="0.1.15.post2"))
    assert "apache-tvm 0.27.0.post1 with apache-tvm-ffi 0.1.15.post2 crashes" in done.stdout
    assert "pip install 'apache-tvm-ffi>=0.1.14.post0,<0.1.15'" in done.stdout
    assert "'apache-tvm==0.27.0.post1' 'apache-tvm-ffi>=0.1.14.post0,<0.1.15'" in done.stdout
    assert "tvm is loaded" not in done.stdout and "found" not in done.stdout


def test_a_pair_that_works_is_let_through(tmp_path: Path) -> None:
    done = gate("require_meta_schedule", install(tmp_path, version="0.27.0.post1", ffi="0.1.14.post1"))
    assert done.stdout.split("\n")[1] == "found", done.stdout + done.stderr
    assert not done.stderr


def test_the_pairs_that_were_tried(tmp_path: Path) -> None:
    wanted = {
        ("0.27.1", "0.1.16"): ">=0.1.14.post0,<0.1.15",
        ("0.27.0", "0.1.15.post1"): ">=0.1.14.post0,<0.1.15",
        ("0.27.0", "0.1.13.post3"): ">=0.1.14.post0,<0.1.15",
        ("0.27.0", "0.1.14.post0"): None,
        ("0.26.0", "0.1.15.post1"): ">=0.1.13.post2,<0.1.15",
        ("0.26.0", "0.1.14.post1"): None,
        ("0.26.0", "0.1.13.post2"): None,
        ("0.26.0", "0.1.12"): ">=0.1.13.post2,<0.1.15",
        ("0.25.0.post1", "0.1.13.post2"): "==0.1.12",
        ("0.25.0", "0.1.12"): None,
        ("0.99.0", "0.9.0"): None,
        ("0.27.dev3+g12ab", "0.1.15.dev1"): ">=0.1.14.post0,<0.1.15",
    }
    folders = [str(install(tmp_path / "-".join(pair), version=pair[0], ffi=pair[1])) for pair in wanted]
    done = run_python(
        "import sys\nfrom tvm_gnn_cost.system import tvm_packages\n"
        f"for folder in {folders}:\n    sys.path.insert(0, folder)\n    print(tvm_packages.misfit())\n"
    )
    for pair, pin, said in zip(wanted, wanted.values(), done.stdout.splitlines(), strict=True):
        assert said == "None" if pin is None else f"'apache-tvm-ffi{pin}'" in said, pair


def test_apache_tvm_without_its_ffi_is_named(tmp_path: Path) -> None:
    done = run_python(
        "from importlib import metadata\nfind = metadata.distribution\n"
        "def without(name):\n    if name == 'apache-tvm-ffi':\n        raise metadata.PackageNotFoundError(name)\n"
        "    return find(name)\nmetadata.distribution = without\n"
        "from tvm_gnn_cost.system import tvm_packages\nprint(tvm_packages.misfit())\n",
        install(tmp_path, version="0.27.0"),
    )
    assert "apache-tvm 0.27.0 is installed without apache-tvm-ffi: pip install" in done.stdout


def test_packages_over_one_another_are_named(tmp_path: Path) -> None:
    folder = install(tmp_path, "apache-tvm", "xtc-tvm-python-bindings", version="0.19.0.12", ffi="0.1.14.post1")
    done = gate("require_tvm", folder)
    assert "xtc-tvm-python-bindings 0.19.0.12 and apache-tvm 0.19.0.12 are installed over one another" in done.stdout
    assert str(folder / "tvm") in done.stdout
    assert "pip uninstall xtc-tvm-python-bindings apache-tvm" in done.stdout
    assert "tvm is loaded" not in done.stdout


def test_the_other_package_in_another_folder_does_no_harm(tmp_path: Path) -> None:
    """As in an environment that sees a second one's packages: the first on the path is what is imported."""
    install(tmp_path / "second", "xtc-tvm-python-bindings", version="0.19.0.12")
    first = install(tmp_path / "first", version="0.27.0", ffi="0.1.14.post1")
    done = run_python(
        f"import sys; sys.path.insert(1, {str(tmp_path / 'second')!r})\n"
        "from tvm_gnn_cost.system import find_tvm; find_tvm.require_meta_schedule(); print('found')",
        first,
    )
    assert "found" in done.stdout, done.stderr


def test_a_pair_that_nobody_tried_is_probed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    note = f"open({str(tmp_path / 'probes')!r}, 'a').write('x')"
    folder = install(tmp_path, version="0.99.0", ffi="0.9.0", does=note)
    for _ in range(2):
        done = gate("require_meta_schedule", folder)
        assert "found" in done.stdout, done.stderr
        assert "apache-tvm 0.99.0 with apache-tvm-ffi 0.9.0 was never tried" in done.stderr
    assert (tmp_path / "probes").read_text() == "x"


def test_a_pair_that_nobody_tried_may_crash_a_child_but_not_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = gate(
        "require_meta_schedule",
        install(tmp_path, version="0.99.0", ffi="0.9.0", does="__import__('os').kill(__import__('os').getpid(), 11)"),
    )
    assert done.returncode == 0, done.stderr
    assert "apache-tvm 0.99.0 with apache-tvm-ffi 0.9.0 does not work" in done.stdout
    assert "signal 11" in done.stdout
    assert "'apache-tvm==0.27.0.post1' 'apache-tvm-ffi>=0.1.14.post0,<0.1.15'" in done.stdout


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    done = run_python(
        "import sys; from tvm_gnn_cost.cli import main; sys.exit(main(['tune', 'matmul', '64', '64', '64']))",
        install(tmp_path, version="0.27.0", ffi="0.1.15.post2"),
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "apache-tvm 0.27.0 with apache-tvm-ffi 0.1.15.post2" in done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tvm_gnn_cost

    with pytest.raises(AttributeError, match="no_such_name"):
        tvm_gnn_cost.no_such_name  # noqa: B018
    assert "GNNCostModel" in dir(tvm_gnn_cost)
