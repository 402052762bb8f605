"""Record logs among files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import RecordError


def find_logs(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """The logs among files and folders (there `*.json` and `*.json.gz`), in order. Raises RecordError if none."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.endswith((".json", ".json.gz")))
            if not inside:
                raise RecordError(f"{path} holds no record log (*.json or *.json.gz)")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise RecordError(f"{path}: no such record log or folder")
    return list(dict.fromkeys(found))


def log_stem(path: Path) -> str:
    """The name of a log without .json or .json.gz."""
    return path.name.removesuffix(".gz").removesuffix(".json")


def even_sample(items: Sequence[Any], number: int) -> list[Any]:
    """So many of the items, evenly spaced and in order; all where there are fewer."""
    return [items[i * len(items) // number] for i in range(number)] if number < len(items) else list(items)
