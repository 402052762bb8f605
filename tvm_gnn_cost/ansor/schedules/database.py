"""A database of schedules: what every tuning run has measured, for the next one of the same or a similar task.

`FOLDER/NAME-DIGEST.json` is an ordinary record log of one task, `FOLDER/NAME-DIGEST.tasks.json` keeps what it computes,
and `FOLDER/index.sqlite` says where the fastest records are (`records.schedule_index`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.older_records import RecordUpgrade
from tvm_gnn_cost.ansor.record_format import parse_record
from tvm_gnn_cost.ansor.schedules.structure import distance, structure_of
from tvm_gnn_cost.ansor.task_identity import TaskIdentities, identity_of
from tvm_gnn_cost.ansor.task_store import keep_tasks, register_saved_tasks
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.errors import RecordError, last_line
from tvm_gnn_cost.records.latency import latency
from tvm_gnn_cost.records.saved_tasks import tasks_path
from tvm_gnn_cost.records.schedule_index import IndexedRecord, IndexedTask, ScheduleIndex
from tvm_gnn_cost.system.files import safe_name
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.workloads.registry import describe

if TYPE_CHECKING:
    from tvm.auto_scheduler import MeasureInput, MeasureResult, SearchTask

logger = logging.getLogger("tvm_gnn_cost")

_ELSEWHERE = 1.0
"""How far apart, in octaves of every extent, the same shape on two targets counts as."""


@dataclass(frozen=True)
class KnownSchedule:
    """A schedule of the database.

    Attributes:
        task: whose it is.
        record: its line in the log.
        steps: its transform steps, as the record has them.
        latency_s: of its own task, in seconds.
        distance: how far that task is from the one that was asked for, in octaves; 0 where it is the same.
    """

    task: IndexedTask
    record: str
    steps: list[list[Any]]
    latency_s: float
    distance: float


class ScheduleDatabase:
    """Schedules in a folder, which is made where it is missing. Several processes may add to it at once.

    Args:
        folder: of the database.

    Raises RecordError where the folder cannot be used, TVMNotAvailableError without TVM's auto_scheduler.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        require_auto_scheduler()
        register_all()
        self.folder = Path(folder)
        self._tasks: dict[str, IndexedTask] = {}
        self._index = ScheduleIndex(self.folder, self._read)
        self._has_warned = False

    def add(self, inputs: Sequence[MeasureInput], results: Sequence[MeasureResult]) -> None:
        """Adds measurements, failed ones too. Where they cannot be written, the log says so once."""
        identities = TaskIdentities()
        by_task: dict[str, list[int]] = {}
        for i, inp in enumerate(inputs):
            by_task.setdefault(identities.of(inp.task).key, []).append(i)
        for ids in by_task.values():
            try:
                self._append([inputs[i] for i in ids], [results[i] for i in ids])
            except RecordError as error:
                level = logging.DEBUG if self._has_warned else logging.WARNING
                logger.log(level, "not added to the database of schedules: %s", error)
                self._has_warned = True

    def best(self, task: SearchTask, count: int = 1) -> list[KnownSchedule]:
        """The fastest schedules of a task itself, on the same target; fewer where fewer are known."""
        key = identity_of(task).key
        lines = self._index.fastest(key, count)
        return self._known(self._describe(task, key), lines, 0.0)

    def similar(self, task: SearchTask, tasks: int = 8, each: int = 4) -> list[KnownSchedule]:
        """The fastest schedules of similar tasks: of the same structure and kind of target, the nearest first.

        Args:
            task: to which they are similar; it is not among them.
            tasks: how many similar tasks at most.
            each: schedules of each at most.
        """
        asked = self._describe(task, identity_of(task).key)
        near = [(far, other) for far, other in self._near(asked) if other.key != asked.key]
        return [
            schedule
            for far, other in near[:tasks]
            for schedule in self._known(other, self._index.fastest(other.key, each), far)
        ]

    def nearest(self, task: SearchTask) -> float:
        """How far from a task the nearest is of which something is known, in octaves; inf where nothing is."""
        return next((far for far, _ in self._near(self._describe(task, identity_of(task).key))), math.inf)

    def counts(self) -> tuple[int, int]:
        """How many tasks and how many records it holds."""
        return self._index.count()

    def close(self) -> None:
        self._index.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _near(self, asked: IndexedTask) -> list[tuple[float, IndexedTask]]:
        """What is known of the same structure and kind of target, each with its distance, the nearest first."""
        near = [
            (distance(asked.extents, other.extents) + _ELSEWHERE * (other.target != asked.target), other)
            for other in self._index.of_structure(asked.kind, asked.structure)
            if len(other.extents) == len(asked.extents)  # else the index is damaged
        ]
        return sorted(near, key=lambda pair: (pair[0], pair[1].key))

    def _append(self, inputs: Sequence[MeasureInput], results: Sequence[MeasureResult]) -> None:
        dump = require_auto_scheduler().measure_record.dump_record_to_string
        task = inputs[0].task
        described = self._describe(task, identity_of(task).key)
        log = _log_name(described)
        path = self.folder / log
        self._index.append(
            log,
            [(described, dump(i, r).strip(), measured_latency(r)) for i, r in zip(inputs, results, strict=True)],
            before=lambda: keep_tasks(tasks_path(path), [task], [1.0], "", resumed=path.exists()),
        )

    def _describe(self, task: SearchTask, key: str) -> IndexedTask:
        if key not in self._tasks:
            structure, extents = structure_of(task)
            name = str(task.desc) or describe(str(task.workload_key))
            target = identity_of(task).target
            self._tasks[key] = IndexedTask(key, name, target, str(task.target.kind.name), structure, extents)
        return self._tasks[key]

    def _known(self, task: IndexedTask, lines: Sequence[str], far: float) -> list[KnownSchedule]:
        """The lines that are records."""
        known = []
        for line in lines:
            problem, record = parse_record(line)
            if problem is None and record is not None and (seconds := _latency(record)) is not None:
                known.append(KnownSchedule(task, line, record["i"][1][1], seconds, far))
        return known

    def _read(self, path: Path, offset: int) -> Iterator[IndexedRecord]:
        """What a log holds from an offset on. What is bad, or of a workload that is not known, is left out."""
        reader = _LogReader(path, self._describe)
        try:
            with open(path, "rb") as log:
                log.seek(offset)
                for raw in log:
                    line = raw.rstrip(b"\r\n")
                    record = reader.read(line, offset)
                    offset += len(raw)
                    if record is not None:
                        yield record
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
        if reader.left_out:
            logger.warning("%s: %d lines are not in the database's index: %s", path, *reader.left_out)


class _LogReader:
    """Reads the lines of a log that was put into the folder, or that the index is behind."""

    def __init__(self, path: Path, describe_task: Any) -> None:
        self._describe, self._upgrade = describe_task, RecordUpgrade(path)
        self._known: dict[str, IndexedTask | str] = {}
        self.left_out: tuple[int, str] | None = None
        register_saved_tasks(path)

    def read(self, line: bytes, offset: int) -> IndexedRecord | None:
        if not line.strip() or line[:1] == b"#":
            return None
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            self._leave_out(str(error))
            return None
        problem, record = parse_record(text)
        if problem is not None or record is None:
            self._leave_out(problem or "not a record")
            return None
        asked = json.dumps(record["i"][0])
        if asked not in self._known:
            self._known[asked] = self._task(text, record)
        task = self._known[asked]
        if isinstance(task, str):
            self._leave_out(task)
            return None
        return IndexedRecord(task, offset, len(line), _latency(record))

    def _task(self, text: str, record: dict[str, Any]) -> IndexedTask | str:
        """The task of a record; why it cannot be made, where it cannot."""
        auto_scheduler = require_auto_scheduler()
        try:
            inp, _ = auto_scheduler.measure_record.load_record_from_string(self._upgrade(text, record))
            task = auto_scheduler.measure.recover_measure_input(inp).task
            return self._describe(task, identity_of(task).key)  # type: ignore[no-any-return]
        except Exception as error:  # whatever TVM, or a user's function, trips over
            return f"its task cannot be made: {last_line(error)}"

    def _leave_out(self, why: str) -> None:
        self.left_out = (1 if self.left_out is None else self.left_out[0] + 1, why)


def _latency(record: dict[str, Any]) -> float | None:
    """Of a record in form, in seconds; None where it failed."""
    seconds = latency(*record["r"][:2])
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _log_name(task: IndexedTask) -> str:
    stem = safe_name(task.name).strip("_.")[:80]
    return f"{stem}-{hashlib.sha256(task.key.encode()).hexdigest()[:12]}.json"
