"""Which room of the package may use which: the contract that docs/architecture.md draws."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tvm_gnn_cost"
NATIVE = PACKAGE.parent / "native"

ROOMS = json.loads((PACKAGE.parent / "docs" / "rooms.json").read_text())
MAY_USE: dict[str, set[str]] = {room: set(about["uses"]) for room, about in ROOMS.items()}
"""Room -> the rooms that it may import from, at the top of a file or inside a function."""

KNOW_TVM = {"system", "workloads", "networks", "measuring", "ansor", "meta_schedule", "collection", "testing", "cli"}
KNOW_TORCH = {"learning", "training", "evaluation", "networks", "loggers"}
STANDARD = sys.stdlib_module_names | {"typing_extensions"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def uses(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of what a file uses of the package's other rooms."""
    for line, name in imports(path):
        package, _, rest = name.partition(".")
        if package == "tvm_gnn_cost" and rest.partition(".")[0] != "_native":
            room = rest.partition(".")[0]
            if room != room_of(path):
                yield line, room


@pytest.mark.parametrize("room", sorted({room_of(path) for path in modules()}))
def test_a_room_uses_only_rooms_below(room: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}: {room} uses {other}"
        for path in modules()
        if room_of(path) == room
        for line, other in uses(path)
        if other not in MAY_USE[room]
    ]
    assert not found, "\n".join(found)


def test_the_contract_has_no_circle() -> None:
    order: list[str] = []
    left = dict(MAY_USE)
    while left:
        ready = [room for room, below in left.items() if below <= set(order)]
        assert ready, f"a circle among {', '.join(sorted(left))}"
        order += ready
        left = {room: below for room, below in left.items() if room not in ready}


def test_no_file_imports_itself_through_others() -> None:
    """Imports for types alone and those inside functions count as well."""

    def file_of(name: str) -> Path | None:
        parts = name.split(".")[1:]
        for count in range(len(parts), -1, -1):
            place = PACKAGE.joinpath(*parts[:count])
            if count and place.with_suffix(".py").exists():
                return place.with_suffix(".py")
            if (place / "__init__.py").exists():
                return place / "__init__.py"
        return None

    graph = {
        path: {file_of(name) for _, name in imports(path) if name.split(".")[0] == "tvm_gnn_cost"} - {None}
        for path in modules()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(str(path.relative_to(PACKAGE)) for path in error.args[1]))


def test_graphs_use_nothing_but_numpy() -> None:
    foreign = {
        name.partition(".")[0]
        for path in modules()
        if room_of(path) == "graphs"
        for _, name in imports(path)
        if name.partition(".")[0] not in STANDARD | {"tvm_gnn_cost"}
    }
    assert foreign == {"numpy"}


@pytest.mark.parametrize(
    ("library", "rooms"), [("tvm", KNOW_TVM), ("torch", KNOW_TORCH), ("torch_geometric", {"learning"})]
)
def test_a_library_is_known_only_where_it_belongs(library: str, rooms: set[str]) -> None:
    known = {room_of(path) for path in modules() for _, name in imports(path) if name.partition(".")[0] == library}
    assert known <= rooms


def test_the_extensions_graphs_include_nothing_of_a_scheduler() -> None:
    included = [
        f"{path.name}: {line}"
        for path in sorted((NATIVE / "graphs").glob("*.*"))
        if path.suffix in (".h", ".cpp")
        for line in path.read_text().splitlines()
        if line.startswith("#include") and ("ansor/" in line or "tvm/" in line)
    ]
    assert not included


def test_the_command_line_begins_without_torch_and_tvm() -> None:
    """Help, completion and errors of arguments come at once: a command imports what it needs when it runs."""
    code = "import sys, tvm_gnn_cost.cli; print([m for m in ('torch', 'tvm', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
