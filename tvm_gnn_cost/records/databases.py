"""MetaSchedule's JSON databases as files: which files they are, what a line says, which TVM wrote it. No TVM is needed.

A database is two tables, a JSON value on each line, plain or gzipped:

| file                          | a line                                                                             |
| ----------------------------- | ---------------------------------------------------------------------------------- |
| `database_workload.json`      | `[structural hash, base64 of TVM's JSON of the module that was to be scheduled]`    |
| `database_tuning_record.json` | `[workload, [trace, run_secs, target, args_info]]`; workload: a line, from 0, above |

Nothing measured is missing from it: what failed to build or to run is there with `run_secs` [1e10] (TVM's
`AddToDatabase`), without the reason. The trace holds the postprocessors' instructions too, so that replaying it gives
the candidate as the cost model saw it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.log_lines import read_lines
from tvm_gnn_cost.system.files import finite_number, parse_json

WORKLOADS = "database_workload.json"
RECORDS = "database_tuning_record.json"
TASKS_SUFFIX = ".tasks.json"
"""How the file ends that says what the tasks of a log compute (`saved_tasks`)."""
RUN_SUFFIX = ".run.json"
"""How the file ends that says how the tuning run went that wrote a log (`run_file`)."""
BESIDE_LOGS = (TASKS_SUFFIX, RUN_SUFFIX)
"""How the files beside a log end that are no logs themselves."""
GRAPHS = "graphs.npz"
"""The stage graphs of a database, in its folder: see `graph_file`."""
NAMES = "database" + TASKS_SUFFIX
"""What its workloads are called: see `saved_tasks`."""
RUN = "database" + RUN_SUFFIX
"""How the tuning run went that wrote it: see `run_file`."""

FAILED_S = 1e10
"""What MetaSchedule writes for the time of a candidate that failed, in seconds."""

_TABLE, _OTHER_TABLE = "tuning_record.json", "workload.json"
_VERSION = re.compile(rb'"tvm_version"\s*:\s*"([^"]+)"')
_HASH = re.compile(r"-?\d+")
_SAMPLE = "Sample"
"""What the names of instructions begin with that take a decision."""
_NULL_ATTRIBUTES = frozenset({"TransformLayout"})
"""Instructions of which an attribute may be null."""


@dataclass(frozen=True)
class DatabaseFiles:
    """Where a database is.

    Attributes:
        workloads, records: its tables; those that are gzipped end in .gz.
        graphs: its stage graphs, which need not be there.
        names: what its workloads are called; need not be there either.
    """

    workloads: Path
    records: Path
    graphs: Path
    names: Path

    @staticmethod
    def of(path: str | PathLike[str]) -> DatabaseFiles:
        """Of a folder with tables of the usual names, or of a table `NAMEtuning_record.json` beside its
        `NAMEworkload.json`."""
        named = Path(path)
        if named.name.endswith((_TABLE, _TABLE + ".gz")):
            stem, _, ending = named.name.rpartition(_TABLE)
            if named.name.removesuffix(".gz") == RECORDS:
                return DatabaseFiles.of(named.parent)
            workloads, graphs, names = (
                named.with_name(stem + end) for end in (_OTHER_TABLE, GRAPHS, NAMES.removeprefix("database"))
            )
            return DatabaseFiles(_found(workloads), named, graphs, names)
        return DatabaseFiles(_found(named / WORKLOADS), _found(named / RECORDS), named / GRAPHS, named / NAMES)

    @property
    def has_tables(self) -> bool:
        """Whether both tables are there."""
        return self.workloads.is_file() and self.records.is_file()

    def digest(self) -> str:
        """Of the content of both tables; "" where one is missing. Raises RecordError where they cannot be read."""
        if not self.has_tables:
            return ""
        digest = hashlib.sha256()
        for table in (self.workloads, self.records):
            for _, text, problem in read_lines(table):
                digest.update((problem or text).encode() + b"\n")
        return digest.hexdigest()

    def tvm_version(self) -> str:
        """The release of TVM that wrote the first workload that says it; "" where none does."""
        if self.workloads.is_file():
            for line in read_workload_lines(self.workloads):
                if line.version:
                    return line.version
        return ""


def is_database(path: str | PathLike[str]) -> bool:
    """Whether a path names a database, or the graphs of one, by the names of files."""
    named = Path(path)
    if named.is_dir():
        files = DatabaseFiles.of(named)
        return files.records.is_file() or files.graphs.is_file()
    return named.name.endswith((_TABLE, _TABLE + ".gz"))


def database_path(path: Path) -> Path:
    """One name for each database: of tables with the usual names, their folder."""
    return path.parent if path.name.removesuffix(".gz") == RECORDS else path


def is_workload_table(path: Path) -> bool:
    """Whether a file is the other table of a database, by the names of files."""
    stem, table, _ = path.name.rpartition(_OTHER_TABLE)
    beside = path.with_name(f"{stem}{_TABLE}")
    return bool(table) and (beside.is_file() or beside.with_name(f"{beside.name}.gz").is_file())


class WorkloadLine(NamedTuple):
    """A line of the table of workloads.

    `line` counts from 1; `hash` is TVM's structural hash, as text; `version` is that of the TVM that wrote it, or "";
    `json` is what TVM reads. `problem` says why the line cannot be used, or is None.
    """

    line: int
    hash: str
    version: str
    json: list[str]
    problem: str | None


class RecordLine(NamedTuple):
    """A line of the table of records.

    `line` counts from 1; `workload` is a line of the other table, from 1; `json` is [trace, run_secs, target,
    args_info]; `readings` are seconds, none for what failed. `problem` says why the line cannot be used, or is None.
    """

    line: int
    workload: int
    json: list[Any]
    readings: tuple[float, ...]
    problem: str | None


def read_workload_lines(path: Path) -> Iterator[WorkloadLine]:
    """The workloads of a table, good and bad. Raises RecordError where it cannot be read."""
    for number, text, problem in read_lines(path):
        value, problem = _parse(text, problem)
        if problem is None and not (isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))):
            problem = "it is not [structural hash, module]"
        if problem is None and not _HASH.fullmatch(value[0]):
            problem = f"{value[0]!r} is no structural hash"
        content = b""
        if problem is None:
            try:
                content = base64.b64decode(value[1], validate=True)
            except (ValueError, binascii.Error):
                problem = "its module is not base64"
        if problem is None and b"{" not in content:
            problem = "it holds no module"
        if problem is not None:
            yield WorkloadLine(number, "", "", [], problem)
            continue
        found = _VERSION.search(content)
        yield WorkloadLine(number, value[0], found[1].decode(errors="replace") if found else "", value, None)


def read_record_lines(path: Path) -> Iterator[RecordLine]:
    """The records of a table, good and bad. Raises RecordError where it cannot be read."""
    for number, text, problem in read_lines(path):
        value, problem = _parse(text, problem)
        if problem is None:
            problem = _form_problem(value)
        if problem is not None:
            yield RecordLine(number, 0, [], (), problem)
            continue
        readings, problem = _readings(value[1][1])
        yield RecordLine(number, value[0] + 1, value[1], readings, problem)


def _parse(text: str, problem: str | None) -> tuple[Any, str | None]:
    """The JSON value of a line, and what is wrong with the line."""
    if problem is not None:
        return None, problem
    try:
        return parse_json(text, parse_constant=_no_number), None
    except ValueError as error:
        return None, f"truncated or damaged ({error})"


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _form_problem(value: Any) -> str | None:
    """Why a value is no record by its form, or None."""
    if not (isinstance(value, list) and len(value) == 2 and type(value[0]) is int and value[0] >= 0):
        return "it is not [workload, record]"
    record = value[1]
    if not (isinstance(record, list) and len(record) == 4):
        return "its record is not [trace, run_secs, target, args_info]"
    trace, _, target, _ = record
    if not (isinstance(trace, list) and len(trace) == 2 and all(isinstance(part, list) for part in trace)):
        return "its trace is not [instructions, decisions]"
    if not isinstance(target, dict):
        return "it names no target"
    return _trace_problem(*trace)


def _trace_problem(instructions: list[Any], decisions: list[Any]) -> str | None:
    """Why TVM must not follow a trace, or None: what is missing or null in it, TVM neither checks nor survives."""
    undecided = set()
    for number, instruction in enumerate(instructions):
        if not isinstance(instruction, list) or len(instruction) != 4 or not _is_text(instruction[0]):
            return f"instruction {number} of its trace is not [name, inputs, attributes, outputs]"
        name, *parts = instruction
        if not all(isinstance(part, list) for part in parts) or not all(map(_is_text, parts[2])):
            return f"instruction {number} of its trace, {name}, is malformed"
        if name not in _NULL_ATTRIBUTES and _holds_null(parts[1]):
            return f"instruction {number} of its trace, {name}, has a null attribute"
        if name.startswith(_SAMPLE):
            undecided.add(number)
    for decision in decisions:
        is_pair = isinstance(decision, list) and len(decision) == 2 and type(decision[0]) is int
        if not is_pair or decision[0] not in undecided:
            return f"{str(decision)[:60]} decides nothing in its trace"
        number, value = decision
        name, _, attributes, _ = instructions[number]
        if not _fits(value, name, attributes):
            return f"{str(value)[:60]} is no decision of instruction {number} of its trace, {name}"
        undecided.discard(number)
    if undecided:
        return f"instruction {min(undecided)} of its trace is not decided"
    return None


def _fits(value: Any, name: str, attributes: list[Any]) -> bool:
    """Whether a value can be the decision of a sampling instruction."""
    if name == "SampleCategorical":
        candidates = attributes[0] if attributes else None
        return isinstance(candidates, list) and type(value) is int and 0 <= value < len(candidates)
    if name.endswith("Tile"):
        is_tile = isinstance(value, list) and all(type(part) is int and part > 0 for part in value)
        return is_tile and attributes[:1] == [len(value)]
    return type(value) is int


def _holds_null(value: Any) -> bool:
    return value is None or (isinstance(value, list) and any(map(_holds_null, value)))


def _readings(run_secs: Any) -> tuple[tuple[float, ...], str | None]:
    """Seconds, none for a failure; and why they cannot be used, or None."""
    if not isinstance(run_secs, list) or not run_secs:
        return (), "it holds no measured time"
    numbers = [number for number in map(finite_number, run_secs) if number is not None and number > 0]
    if len(numbers) < len(run_secs):
        return (), f"its times are no positive numbers: {run_secs}"
    return tuple(number for number in numbers if number < FAILED_S), None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _found(path: Path) -> Path:
    """The file, or its gzipped form where only that is there."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.is_file() and not path.is_file() else path


def require_tables(files: DatabaseFiles) -> None:
    """Raises RecordError where a table is missing."""
    for table in (files.workloads, files.records):
        if not table.is_file():
            raise RecordError(f"{table}: no such table of a MetaSchedule database; its two files belong together")
