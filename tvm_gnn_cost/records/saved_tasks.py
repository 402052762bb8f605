"""What a log's tasks compute, beside the log: `LOG.tasks.json` for `LOG.json`, `about/LOG.tasks.json` for a pool.

A database of MetaSchedule holds the modules themselves; `database.tasks.json` in it says what they are called.

A log names its tasks by workload keys alone. For a network's tasks these are hashes, for a user's operator its name and
arguments; the file holds what they stand for, so that the log can be read without the script that made it.

    {"schema": 1, "tasks": [{"workload_key": "[...]", "name": "...", "weight": 1.0, "flop": 1e9, "target": "llvm ...",
                             "source": "resnet-18 ...", "computation": "[...]", "tensors": "{...}", "sha256": "..."}]}
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.databases import TASKS_SUFFIX
from tvm_gnn_cost.records.logs import ABOUT, log_stem
from tvm_gnn_cost.system.files import finite_number, parse_json, write_atomically

logger = logging.getLogger("tvm_gnn_cost")

SCHEMA = 1


@dataclass(frozen=True)
class SavedTask:
    """A task as it is kept beside a log.

    Attributes:
        workload_key: as the log's records have it.
        name: what it is called; of a network's task, its operators.
        weight: how often it occurs.
        flop: floating-point operations.
        target: the scheduler's string.
        source: the network or the command that it came from; "" where that is not known.
        computation: the scheduler's hash of what is computed.
        tensors: the scheduler's own JSON of the inputs and outputs; "" where the log itself holds what is computed.
    """

    workload_key: str
    name: str
    weight: float
    flop: float
    target: str
    source: str
    computation: str
    tensors: str


def tasks_path(log: str | os.PathLike[str]) -> Path:
    """Where the tasks of a log that is written by a tuning run are kept: beside it.

    Raises RecordError for a log whose name says that it is no log.
    """
    path = Path(log)
    if path.name.endswith(TASKS_SUFFIX):
        raise RecordError(
            f"{path} is no record log by its name: what ends in {TASKS_SUFFIX} keeps what the tasks of one compute"
        )
    return path.with_name(log_stem(path) + TASKS_SUFFIX)


def pool_tasks_path(log: str | os.PathLike[str]) -> Path:
    """Where those of a pool are kept: with its description."""
    beside = tasks_path(log)
    return beside.parent / ABOUT / beside.name


def load_saved_tasks(log: str | os.PathLike[str]) -> list[SavedTask]:
    """The tasks that are kept for a log; none where there is no such file.

    What is damaged is reported in one warning and left out.
    """
    return [task for path in (tasks_path(log), pool_tasks_path(log)) for task in read_saved_tasks(path)]


def read_saved_tasks(path: Path) -> list[SavedTask]:
    """The tasks of a file, see `load_saved_tasks`."""
    if not path.is_file():
        return []
    tasks, problems = _read(path)
    if problems:
        logger.warning(
            "%s is damaged (%s); records of the tasks it lacks are left out unless their workloads are "
            "registered (`definitions`)",
            path,
            "; ".join(problems),
        )
    return tasks


def task_names(log: str | os.PathLike[str]) -> dict[str, str]:
    """Workload key -> name of the tasks that are kept for a log."""
    kept = [_read(path)[0] for path in (tasks_path(log), pool_tasks_path(log)) if path.is_file()]
    return {task.workload_key: task.name for tasks in kept for task in tasks}


def save_tasks(path: Path, tasks: Sequence[SavedTask], *, keep: bool) -> None:
    """Write tasks to a file, atomically; with `keep`, those that it holds stay. No file is made for no tasks.

    Raises RecordError where it cannot be written, and for a task of the same key that computes something else.
    """
    known: dict[tuple[str, str], SavedTask] = {}
    if keep and path.is_file():
        kept, problems = _read(path)
        known = {(task.workload_key, task.target): task for task in kept}
        computed = {task.workload_key: task.computation for task in kept}
        for task in tasks:
            if computed.get(task.workload_key, task.computation) != task.computation:
                raise RecordError(
                    f"{task.name or task.workload_key} computes something else than when the records beside {path} "
                    "were measured: name another log, or go back to the definition that it began with"
                )
        if problems:
            path.rename(f"{path}.rejected")
            logger.warning("%s is damaged (%s): kept as %s.rejected, and made anew", path, "; ".join(problems), path)
    known |= {(task.workload_key, task.target): task for task in tasks}
    if not known:
        if not keep:
            path.unlink(missing_ok=True)  # of an earlier log of this name
        return
    entries = [asdict(task) | {"sha256": _digest(task)} for task in known.values()]
    text = json.dumps({"schema": SCHEMA, "tasks": entries}, indent=1, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode() + b"\n")
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error.strerror or error}") from error


def saved_tasks_digest(log: str | os.PathLike[str]) -> str:
    """Of what is kept for a log, "" for nothing: what was read with it is read again when it changes."""
    contents = [path.read_bytes() for path in (tasks_path(log), pool_tasks_path(log)) if path.is_file()]
    return hashlib.sha256(b"".join(contents)).hexdigest() if contents else ""


def _read(path: Path) -> tuple[list[SavedTask], list[str]]:
    """The good tasks of a file, and what is wrong with it."""
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        return [], [str(error)]
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or not isinstance(content.get("tasks"), list):
        return [], [f"it holds no tasks in schema {SCHEMA}"]
    tasks, problems = [], []
    for number, entry in enumerate(content["tasks"], start=1):
        task = _task(entry)
        if task is None:
            problems.append(f"task {number} is not as it was written")
        else:
            tasks.append(task)
    return tasks, problems


def _task(entry: object) -> SavedTask | None:
    """One entry; None where it is incomplete or changed."""
    if not isinstance(entry, Mapping):
        return None
    fields: dict[str, Any] = {}
    for name, field in SavedTask.__dataclass_fields__.items():
        value = entry.get(name)
        if field.type == "float":
            value = finite_number(value)
        elif not isinstance(value, str):
            value = None
        if value is None:
            return None
        fields[name] = value
    task = SavedTask(**fields)
    return task if entry.get("sha256") == _digest(task) else None


def _digest(task: SavedTask) -> str:
    """Of what the scheduler reads: TVM does not survive every damage to its JSON."""
    return hashlib.sha256("\0".join((task.workload_key, task.computation, task.tensors)).encode()).hexdigest()
