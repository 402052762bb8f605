"""Robust reading of MetaSchedule's JSON databases (`records.databases` has their form).

TVM's own `JSONDatabase` gives up at the first bad line. Here each line is judged alone: a bad one is counted and
reported with its number and the reason, and the rest is used.

What is learnt from a record is what the cost model saw when it scored the candidate: a stored trace goes on after
`EnterPostproc` with what the postprocessors did, and is replayed as a whole, so that nothing is decided anew.

Modules and traces are in TVM's own JSON, whose names change from release to release: a database is read by the TVM that
wrote it. What travels between releases is the file of its stage graphs (`records.graph_file`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, NamedTuple

from tvm_gnn_cost.errors import RecordError, last_line
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.object_graph import module_problem, trace_problem
from tvm_gnn_cost.records.databases import (
    DatabaseFiles,
    RecordLine,
    WorkloadLine,
    read_record_lines,
    read_workload_lines,
    require_tables,
)
from tvm_gnn_cost.records.latency import latency
from tvm_gnn_cost.records.log_lines import describe_skipped
from tvm_gnn_cost.system.find_tvm import require_tvm

logger = logging.getLogger("tvm_gnn_cost")

_tables = ms.database.database


@dataclass(frozen=True)
class Workload:
    """A workload of a database that TVM could read.

    Attributes:
        line: its line in the table, from 1.
        hash: TVM's structural hash when it was written, as text.
        module: the IRModule that was to be scheduled.
    """

    line: int
    hash: str
    module: Any


class RecordedCandidate(NamedTuple):
    """A record of a database.

    Attributes:
        line: its line in the table, from 1.
        workload: whose.
        target: TVM's Target.
        candidate: a MeasureCandidate: `.sch.mod` is the module as the cost model scored it, `.args_info` its arguments.
        readings: seconds; none: it failed.
        digest: of its trace, its times and its target.
    """

    line: int
    workload: Workload
    target: Any
    candidate: Any
    readings: tuple[float, ...]
    digest: str

    @property
    def latency(self) -> float:
        """Seconds: the smallest of the readings; inf for a failure."""
        found = latency(self.readings, 0 if self.readings else 1)
        assert found is not None  # a line with other readings is left out
        return found


@dataclass(frozen=True)
class DatabaseRecords:
    """What a database holds, or a piece of it.

    Attributes:
        records: in the table's order; failed measurements are among them.
        skipped: (line number from 1, reason) of each record that was left out.
    """

    records: list[RecordedCandidate] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)


def read_database(path: str | os.PathLike[str]) -> DatabaseRecords:
    """All records of a database, a folder or its table of records.

    Left out, counted and reported in one warning: corrupt and truncated lines, records of a workload that is, traces
    that cannot be replayed, and times that are missing, NaN, zero or negative.

    Raises RecordError for a database that is missing, cannot be read at all, or that another TVM wrote.
    """
    found = _collect(_judged(path))
    if found.skipped:
        logger.warning("%s", describe_skipped(path, found.skipped, len(found)))
    return found


def read_database_chunks(path: str | os.PathLike[str], size: int) -> Iterator[DatabaseRecords]:
    """The same in pieces of `size` records, good or bad, for databases that are more than memory holds.

    Bad records are reported by the caller alone (see `describe_skipped`). Raises what `read_database` raises.
    """
    judged = _judged(path)
    while chunk := list(itertools.islice(judged, size)):
        yield _collect(chunk)


def read_workloads(path: str | os.PathLike[str]) -> dict[int, Workload]:
    """The workloads of a database by line, from 1; those that TVM cannot read are left out, with one warning.

    Raises RecordError where there are tables of another TVM, which this one cannot read, or none at all.
    """
    files = DatabaseFiles.of(path)
    require_tables(files)
    return _Workloads(files).usable


def _collect(judged: Iterable[tuple[int, RecordedCandidate | str]]) -> DatabaseRecords:
    found = DatabaseRecords()
    for line, record in judged:
        if isinstance(record, str):
            found.skipped.append((line, record))
        else:
            found.records.append(record)
    return found


def _judged(path: str | os.PathLike[str]) -> Iterator[tuple[int, RecordedCandidate | str]]:
    """Each record's line, with the record or the reason why it cannot be used."""
    files = DatabaseFiles.of(path)
    require_tables(files)
    workloads, targets = _Workloads(files), _Targets()
    for line in read_record_lines(files.records):
        yield line.line, line.problem if line.problem is not None else _replay(line, workloads, targets)


def _replay(line: RecordLine, workloads: _Workloads, targets: _Targets) -> RecordedCandidate | str:
    workload = workloads.usable.get(line.workload)
    if workload is None:
        return f"its workload, line {line.workload} of {workloads.path.name}, {workloads.problem(line.workload)}"
    trace, _, target, args = line.json
    problem = trace_problem(trace)
    if problem is not None:
        return problem
    try:
        made_for = targets.of(target)
        schedule = _tables.Schedule(workload.module, error_render_level="none")
        _tables.Trace.apply_json_to_schedule(_as_tvm_parses(trace), schedule)
        arguments = ms.arg_info.ArgInfo
        infos = [arguments.from_json(arg) for arg in args] if args else arguments.from_entry_func(schedule.mod)
        candidate = ms.MeasureCandidate(schedule, infos)
    except Exception as error:  # whatever TVM trips over
        return f"TVM cannot read it: {last_line(error)}"
    digest = hashlib.sha256(json.dumps(line.json[:3], sort_keys=True).encode()).hexdigest()
    return RecordedCandidate(line.line, workload, made_for, candidate, line.readings, digest)


def _as_tvm_parses(value: Any) -> Any:
    """A JSON value as TVM's own parser of databases makes it: without tvm-ffi, truth values are its expressions.

    Before that, TVM takes Python's for boxes that no instruction accepts.
    """
    if isinstance(value, list):
        return [_as_tvm_parses(item) for item in value]
    if isinstance(value, bool) and find_spec("tvm_ffi") is None:
        return require_tvm().tir.IntImm("bool", int(value))
    return value


class _Workloads:
    """The workloads of a database: those that can be used, and why others cannot."""

    def __init__(self, files: DatabaseFiles) -> None:
        self.path = files.workloads
        self.usable: dict[int, Workload] = {}
        self._problems: dict[int, str] = {}
        foreign = set()
        for line in read_workload_lines(files.workloads):
            found = line.problem or _workload(line)
            if isinstance(found, Workload):
                self.usable[line.line] = found
                continue
            self._problems[line.line] = found
            foreign.add(line.version)
        _check_written_here(files, foreign - {""}, self._problems, bool(self.usable))
        if self._problems:
            first, reason = next(iter(self._problems.items()))
            logger.warning(
                "%s: %d workloads cannot be used; the first is on line %d: %s",
                self.path, len(self._problems), first, reason,
            )  # fmt: skip

    def problem(self, line: int) -> str:
        """Why a line is none of the usable ones."""
        return f"cannot be used: {self._problems[line]}" if line in self._problems else "is not there"


class _Targets:
    """The targets of a database, each made once."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def of(self, exported: dict[str, Any]) -> Any:
        text = json.dumps(exported, sort_keys=True)
        if text not in self._made:
            self._made[text] = require_tvm().target.Target(exported)
        return self._made[text]


def _workload(line: WorkloadLine) -> Workload | str:
    """What TVM reads in the line, or why it cannot."""
    problem = module_problem(line.json[1])
    if problem is not None:
        return problem
    try:
        module = _tables.Workload.from_json(line.json).mod
    except Exception as error:  # whatever TVM trips over
        return f"TVM cannot read it: {last_line(error)}"
    if not isinstance(module, require_tvm().ir.IRModule):
        return "it holds no module"
    return Workload(line.line, line.hash, module)


def _check_written_here(files: DatabaseFiles, versions: set[str], problems: dict[int, str], some_usable: bool) -> None:
    """Raises RecordError for a database of another TVM of which nothing can be read."""
    here = str(require_tvm().__version__)
    others = sorted(versions - {here})
    if some_usable or not others:
        return
    reason = next(iter(problems.values()))
    beside = (
        f"{files.graphs} has its stage graphs" if files.graphs.is_file() else "no file of stage graphs is beside it"
    )
    raise RecordError(
        f"{files.workloads} was written by TVM {', '.join(others)}, and TVM {here} cannot read it ({reason}). What is "
        f"learnt from it needs no TVM once its stage graphs are written where that TVM is (`keep_graphs`), and {beside}"
    )
