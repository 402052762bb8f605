"""Record logs among files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.databases import BESIDE_LOGS, database_path, is_database, is_workload_table

ABOUT = "about"
"""The folder of pools' descriptions, beside the logs."""


def is_log_name(name: str) -> bool:
    """Whether a file in a folder of logs is one, by its name."""
    return name.endswith((".json", ".json.gz")) and not name.endswith(BESIDE_LOGS)


def find_logs(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """The logs among files and folders, in order. Raises RecordError if there is none.

    A log is a file, or the folder of a MetaSchedule database (`databases.is_database`). Of any other folder those in it
    are meant: files `*.json` and `*.json.gz`, and databases.
    """
    found: list[Path] = []
    named = list(map(Path, paths))
    for path in named:
        if is_database(path):
            found.append(database_path(path))
        elif path.is_dir():
            inside = sorted(p for p in path.iterdir() if is_database(p) or _is_log(p))
            if not inside:
                raise RecordError(f"{path} holds no record log (*.json or *.json.gz) and no MetaSchedule database")
            found += inside
        elif path.name.endswith(BESIDE_LOGS) or is_workload_table(path):
            continue  # beside the logs of a pattern such as *.json
        elif path.exists():
            found.append(path)
        else:
            raise RecordError(f"{path}: no such record log or folder")
    if named and not found:
        raise RecordError(
            "no record log is named: files that end in .tasks.json or workload.json only say what the tasks of one "
            "are, those that end in .run.json how a tuning run went"
        )
    return list(dict.fromkeys(found))


def _is_log(path: Path) -> bool:
    return path.is_file() and is_log_name(path.name) and not is_workload_table(path)


def log_stem(path: Path) -> str:
    """The name of a log without .json or .json.gz; of a folder, its name."""
    return (path.name or path.resolve().name).removesuffix(".gz").removesuffix(".json")


def even_sample(items: Sequence[Any], number: int) -> list[Any]:
    """So many of the items, evenly spaced and in order; all where there are fewer."""
    return [items[i * len(items) // number] for i in range(number)] if number < len(items) else list(items)
