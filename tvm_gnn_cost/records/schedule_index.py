"""An index of the record logs in a folder: whose records they hold, how fast each is, and which tasks are alike.

The logs are ordinary ones and the truth; the index is made again from them where it is missing, damaged or behind, so a
log may be put into the folder by hand, and a run that is killed loses nothing. Several processes may write at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.logs import is_log_name
from tvm_gnn_cost.system.files import parse_json

logger = logging.getLogger("tvm_gnn_cost")

INDEX = "index.sqlite"
SCHEMA = 1
_WAIT_S = 60.0
"""How long to wait for another process that is writing."""

_TABLES = f"""
PRAGMA user_version = {SCHEMA};
CREATE TABLE task (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
                   kind TEXT NOT NULL, structure TEXT NOT NULL, extents TEXT NOT NULL);
CREATE INDEX by_structure ON task (kind, structure);
CREATE TABLE log (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TABLE record (task INTEGER NOT NULL REFERENCES task, log TEXT NOT NULL, offset INTEGER NOT NULL,
                     length INTEGER NOT NULL, latency_s REAL);
CREATE INDEX by_latency ON record (task, latency_s);
CREATE INDEX by_log ON record (log);
"""


_DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a damaged index raises; the second where SQLite's own message quotes it."""


@dataclass(frozen=True)
class IndexedTask:
    """A task that has records.

    Attributes:
        key: what tells tasks apart, see `TaskIdentity.key`.
        name: what it is called.
        target: what it was measured on, as the key has it.
        kind: of the target, such as "llvm".
        structure: what it has in common with tasks of other shapes, as a digest.
        extents: its shape: tasks of the same structure have as many.
    """

    key: str
    name: str
    target: str
    kind: str
    structure: str
    extents: tuple[int, ...]


@dataclass(frozen=True)
class IndexedRecord:
    """A line of a log.

    Attributes:
        task: whose it is.
        offset, length: of the line in bytes, without its end.
        latency_s: the best of its readings in seconds; None where it failed.
    """

    task: IndexedTask
    offset: int
    length: int
    latency_s: float | None


class ScheduleIndex:
    """The index of a folder, which is made where it is missing.

    Args:
        folder: where the logs are.
        read: `read(log, offset)` gives the records of a log from an offset on.

    Raises RecordError where the folder cannot be used.
    """

    def __init__(self, folder: Path, read: Callable[[Path, int], Iterable[IndexedRecord]]) -> None:
        self.folder, self._read = folder, read
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"{folder} cannot be a database of schedules: {error.strerror or error}") from error
        self._is_read_only = (folder / INDEX).exists() and not os.access(folder, os.W_OK)
        self._database = self._open()
        self.catch_up()

    def catch_up(self) -> None:
        """Takes in what the logs hold and the index does not, where the folder can be written."""
        if not self._is_read_only and self._behind():
            with self._writing():
                self._take_in(self._behind())

    def append(
        self, log: str, records: Sequence[tuple[IndexedTask, str, float | None]], before: Callable[[], None]
    ) -> None:
        """Appends lines to a log and to the index, at once for all processes.

        Args:
            log: the name of a log in the folder.
            records: of each the task, the line without its end, and the latency in seconds (None: failed).
            before: called when no other process writes.

        Raises RecordError where they cannot be written.
        """
        path = self.folder / log
        with self._writing():
            self._take_in([path])
            try:
                before()
                start, lines = _append(path, [line for _, line, _ in records])
            except OSError as error:
                raise RecordError(
                    f"{len(records)} measurements cannot be written to {path}: {error.strerror or error}"
                ) from error
            placed = zip(records, lines, strict=True)
            self._insert(log, [IndexedRecord(task, *place, latency) for (task, _, latency), place in placed], start)

    def fastest(self, key: str, count: int) -> list[str]:
        """The lines of a task's fastest records, the fastest first; fewer where it has fewer, or some are gone."""
        rows = self._rows(
            "SELECT log, offset, length FROM record JOIN task ON task.id = record.task"
            " WHERE key = ? AND latency_s IS NOT NULL ORDER BY latency_s LIMIT ?",
            (key, count),
        )
        places = [row for row in rows if tuple(map(type, row)) == (str, int, int)]
        return [line for log, *place in places if (line := _line(self.folder / Path(log).name, *place)) is not None]

    def count(self) -> tuple[int, int]:
        """How many tasks, and how many records there are."""
        tasks, records = (
            self._database.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in ("task", "record")
        )
        return int(tasks), int(records)

    def of_structure(self, kind: str, structure: str) -> list[IndexedTask]:
        """The tasks of that structure that have a record that ran."""
        rows = self._rows(
            "SELECT key, name, target, kind, structure, extents FROM task WHERE kind = ? AND structure = ?"
            " AND EXISTS (SELECT 1 FROM record WHERE task = task.id AND latency_s IS NOT NULL) ORDER BY key",
            (kind, structure),
        )
        return [task for row in rows if (task := _task(row)) is not None]

    def close(self) -> None:
        self._database.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What a query finds. What is damaged is found by none, and reported."""
        try:
            return self._database.execute(query, values).fetchall()
        except _DAMAGED as error:
            logger.warning("%s is damaged (%s): what it knows is not used", self.folder / INDEX, error)
            return []

    def _open(self) -> sqlite3.Connection:
        path = self.folder / INDEX
        try:
            return self._connect(path)
        except _DAMAGED as error:
            if isinstance(error, sqlite3.OperationalError):  # such as a folder that cannot be written
                raise RecordError(f"{path} cannot be opened: {error}") from error
            logger.warning("%s is damaged (%s): it is made again from the logs", path, error)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return self._connect(path)

    def _connect(self, path: Path) -> sqlite3.Connection:
        if self._is_read_only:
            return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, timeout=_WAIT_S)
        database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        database.text_factory = lambda data: data.decode(errors="replace")
        try:
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("BEGIN IMMEDIATE")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            if version == 0 and tables == 0:
                for statement in _TABLES.split(";"):
                    database.execute(statement)
            elif version != SCHEMA:
                raise sqlite3.DatabaseError(f"schema {version}, not {SCHEMA}")
            else:
                (verdict,) = database.execute("PRAGMA quick_check").fetchone()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)
                if _definitions(database) != _own_definitions():
                    raise sqlite3.DatabaseError("its tables are none of ours")
            database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone among all processes; what is done within is done, or not at all."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise RecordError(f"{self.folder / INDEX} cannot be written: {error}") from error
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _behind(self) -> list[Path]:
        """The logs that are longer, or shorter, than when they were indexed; and those that are gone."""
        known = dict(self._database.execute("SELECT name, bytes FROM log").fetchall())
        found = {path.name: path for path in sorted(self.folder.glob("*.json")) if is_log_name(path.name)}
        changed = [path for name, path in found.items() if path.stat().st_size != known.get(name, 0)]
        return changed + [self.folder / name for name in known if name not in found]

    def _take_in(self, logs: Sequence[Path]) -> None:
        """Brings the index up to date with these logs."""
        for path in logs:
            row = self._database.execute("SELECT bytes FROM log WHERE name = ?", (path.name,)).fetchone()
            size, start = (path.stat().st_size if path.exists() else 0), int(row[0]) if row else 0
            if size == start:
                continue
            if size < start:  # it was changed by hand: all of it is read again
                self._database.execute("DELETE FROM record WHERE log = ?", (path.name,))
                start = 0
            if not path.exists():
                self._database.execute("DELETE FROM log WHERE name = ?", (path.name,))
                continue
            self._insert(path.name, list(self._read(path, start)), size)

    def _insert(self, log: str, records: Sequence[IndexedRecord], size: int) -> None:
        """Indexes records of a log, which now has so many bytes."""
        numbers: dict[str, int] = {}
        for task in dict.fromkeys(record.task for record in records):
            self._database.execute(
                "INSERT INTO task (key, name, target, kind, structure, extents) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (key) DO NOTHING",
                (task.key, task.name, task.target, task.kind, task.structure, json.dumps(task.extents)),
            )
            (numbers[task.key],) = self._database.execute("SELECT id FROM task WHERE key = ?", (task.key,)).fetchone()
        self._database.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
            [(numbers[r.task.key], log, r.offset, r.length, r.latency_s) for r in records],
        )
        self._database.execute("INSERT OR REPLACE INTO log VALUES (?, ?)", (log, size))


def _definitions(database: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """What tables and indexes there are, as they were made."""
    return database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()


@cache
def _own_definitions() -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        return _definitions(database)


def _task(row: tuple[Any, ...]) -> IndexedTask | None:
    """The task of a row; None where it is damaged."""
    if not all(isinstance(value, str) for value in row):
        return None
    *texts, extents = row
    try:
        numbers = parse_json(extents)
    except ValueError:
        return None
    if not isinstance(numbers, list) or not all(type(number) is int and 0 < number < 2**63 for number in numbers):
        return None
    key, name, target, kind, structure = texts
    return IndexedTask(key, name, target, kind, structure, tuple(numbers))


def _append(path: Path, lines: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """Appends lines; returns the size of the log then, and of each line its offset and length in bytes."""
    with open(path, "ab+") as out:
        end = out.seek(0, os.SEEK_END)
        if end:
            out.seek(end - 1)
            if out.read(1) != b"\n":  # a line that was cut short stays a line by itself
                out.write(b"\n")
                end += 1
        places = []
        for line in lines:
            data = line.encode()
            out.write(data + b"\n")
            places.append((end, len(data)))
            end += len(data) + 1
        out.flush()
        os.fsync(out.fileno())
    return end, places


def _line(path: Path, offset: int, length: int) -> str | None:
    """A line of a log; None where it is not there as it was."""
    try:
        with open(path, "rb") as log:
            log.seek(offset)
            return log.read(length).decode()
    except (OSError, UnicodeDecodeError):
        return None
