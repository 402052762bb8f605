"""Robust reading of auto_scheduler's record logs.

TVM's own `RecordReader` gives up at the first bad line. Here each line is judged alone: a bad one is counted and
reported with its number and the reason, and the rest is used.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tvm_gnn_cost.ansor.older_records import RecordUpgrade
from tvm_gnn_cost.ansor.record_format import check_format, check_steps_fit, parse_record
from tvm_gnn_cost.ansor.task_store import computation_of, is_registered, register_saved_tasks
from tvm_gnn_cost.errors import RecordError, last_line
from tvm_gnn_cost.records.log_lines import describe_skipped, read_lines
from tvm_gnn_cost.records.saved_tasks import tasks_path
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler import ComputeDAG, MeasureInput, MeasureResult

logger = logging.getLogger("tvm_gnn_cost")


class _Judged(NamedTuple):
    """A record of a log: its line from 1, MeasureInput and MeasureResult; and why it cannot be used, or None."""

    line: int
    inp: Any
    result: Any
    reason: str | None


@dataclass(frozen=True)
class RecordLog:
    """What a record log holds.

    Attributes:
        inputs: MeasureInputs in the log's order; hollow unless read with `rebuild=True` (see `recover`).
        results: their MeasureResults; failed measurements are among them, with `error_no` other than 0.
        skipped: (line number from 1, reason) of each line that was left out.
        lines: the line number, from 1, of each record.
    """

    inputs: list[MeasureInput] = field(default_factory=list)
    results: list[MeasureResult] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs)


def read_records(path: str | os.PathLike[str], n_lines: int | None = None, *, rebuild: bool = False) -> RecordLog:
    """Read a record log, plain or gzipped, leaving out what is bad.

    Left out, counted and reported in one warning: corrupt and truncated lines, workloads that are not registered or
    cannot be built, and measurements without error whose cost is missing, NaN, infinite, zero or negative.

    Args:
        path: the log.
        n_lines: read only so many records from its beginning, good or bad; None reads all.
        rebuild: also replay each state's steps, which costs 1 to 4 ms a record and leaves out those that fail.

    Raises RecordError for a log that is missing or cannot be read at all, TVMNotAvailableError without TVM.
    """
    require_auto_scheduler()
    if n_lines is not None and n_lines < 0:
        raise RecordError(f"n_lines is {n_lines}; it must be at least 0, or None for all")
    log = _collect(itertools.islice(_judged(path, rebuild), n_lines))
    if log.skipped:
        logger.warning("%s", describe_skipped(path, log.skipped, len(log)))
    return log


def read_record_chunks(path: str | os.PathLike[str], size: int, *, rebuild: bool = False) -> Iterator[RecordLog]:
    """The log in pieces of `size` records, good or bad, for logs that are more than memory holds.

    Bad records are left out as `read_records` does it, but reported by the caller alone (see `describe_skipped`).
    Raises what `read_records` raises.
    """
    require_auto_scheduler()
    records = _judged(path, rebuild)
    while chunk := list(itertools.islice(records, size)):
        yield _collect(chunk)


def _collect(records: Iterable[_Judged]) -> RecordLog:
    log = RecordLog()
    for record in records:
        if record.reason is None:
            log.inputs.append(record.inp)
            log.results.append(record.result)
            log.lines.append(record.line)
        else:
            log.skipped.append((record.line, record.reason))
    return log


def _judged(path: str | os.PathLike[str], rebuild: bool) -> Iterator[_Judged]:
    """Each record of a log, good or bad."""
    auto_scheduler = require_auto_scheduler()
    workloads, upgrade = _Workloads(path), RecordUpgrade(path)
    for number, text, problem in read_lines(path):
        reason, record = (problem, None) if problem is not None else parse_record(text)
        inp = res = None
        if reason is None and record is not None:
            try:
                inp, res = auto_scheduler.measure_record.load_record_from_string(upgrade(text, record))
                reason = workloads.problem(inp.task.workload_key, record["i"][1][1])
                if reason is None and rebuild:
                    inp = recover(inp)
            except RecordError as error:
                reason = str(error)
            except Exception as error:  # whatever TVM's reader trips over
                reason = f"TVM cannot read it: {last_line(error)}"
        yield _Judged(number, inp, res, reason)


def recover(inp: MeasureInput) -> MeasureInput:
    """A complete MeasureInput from a hollow one read from a log: its DAG and its stages, bounds inferred."""
    auto_scheduler = require_auto_scheduler()
    return auto_scheduler.measure.recover_measure_input(inp, rebuild_state=True)


def repair_log(path: str | os.PathLike[str]) -> int:
    """Make a plain log fit for TVM's own reader and for appending; returns the number of lines that were moved out.

    Lines that are no records (corrupt, truncated by a kill, for a target that TVM cannot make) go to `<path>.rejected`;
    records of older releases are written anew as TVM reads them, and what they were goes to `<path>.older`; a missing
    newline at the end is added. The log is replaced atomically, and not at all when it is in order. Does nothing for a
    missing log. Raises RecordError where it cannot be read or written.
    """
    log = Path(path)
    if not log.exists():
        return 0
    upgrade = RecordUpgrade(log)
    good: list[bytes] = []
    rejected: list[bytes] = []
    older: list[bytes] = []
    try:
        data = log.read_bytes()
        for raw in data.split(b"\n"):
            if not raw.strip():  # TVM's reader stops at an empty line
                continue
            line = _as_tvm_reads(raw, upgrade)
            (rejected if line is None else good).append(raw if line is None else line)
            if line is not None and line != raw:
                older.append(raw)
        if data == b"".join(line + b"\n" for line in good):
            return 0
        for name, lines in (("rejected", rejected), ("older", older)):
            if lines:
                with open(f"{log}.{name}", "ab") as out:
                    out.writelines(line + b"\n" for line in lines)
        write_atomically(log, b"".join(line + b"\n" for line in good))
    except OSError as error:
        raise RecordError(f"{log} cannot be repaired: {error.strerror or error}") from error
    if rejected:
        logger.warning("%s: %d unreadable lines moved to %s.rejected", log, len(rejected), log)
    if older:
        logger.warning("%s: %d records of an older TVM are written anew; as they were: %s.older", log, len(older), log)
    return len(rejected)


def _as_tvm_reads(raw: bytes, upgrade: RecordUpgrade) -> bytes | None:
    """The line as TVM's reader gets over it: a comment, or a record in form (its cost may be useless); else None."""
    if raw[:1] in (b"#", b" "):
        return raw
    try:
        text = raw.decode("utf-8")
        problem, record = check_format(text)
        return upgrade(text, record).encode() if problem is None and record is not None else None
    except (UnicodeDecodeError, RecordError):
        return None


def append_records(
    path: str | os.PathLike[str], inputs: Sequence[MeasureInput], results: Sequence[MeasureResult]
) -> None:
    """Append measurements to a log, and report a full disk (TVM's own writer loses them in silence).

    Raises RecordError where they cannot be written.
    """
    auto_scheduler = require_auto_scheduler()
    dump = auto_scheduler.measure_record.dump_record_to_string
    lines = [dump(inp, res).strip() + "\n" for inp, res in zip(inputs, results, strict=True)]
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as out:
            out.writelines(lines)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise RecordError(
            f"{len(lines)} measurements cannot be written to {path}: {error.strerror or error}"
        ) from error


class _Workloads:
    """The workloads met in a log; each is built once. Those that are kept beside the log are registered."""

    def __init__(self, log: str | os.PathLike[str]) -> None:
        self._log = log
        self._computations = register_saved_tasks(log)
        self._built: dict[str, tuple[str | None, tuple[bool, ...]]] = {}

    def problem(self, key: str, steps: Sequence[Sequence[Any]]) -> str | None:
        """Why the steps cannot be replayed on the workload, or None."""
        if key not in self._built:
            self._built[key] = self._build(key)
        reason, is_compute = self._built[key]
        return reason or check_steps_fit(steps, is_compute)

    def _build(self, key: str) -> tuple[str | None, tuple[bool, ...]]:
        """Why the workload cannot be built, or None; and for each of its stages whether it computes."""
        auto_scheduler = require_auto_scheduler()
        if not is_registered(key):
            beside = tasks_path(self._log)
            lacks = "lacks it" if beside.exists() else "is not beside the log"
            return (
                f"workload {json.loads(key)[0]!r} is not registered, and {beside.name}, which keeps a log's tasks, "
                f"{lacks}: copy it there, name a file that registers the workload (`definitions`), or extract the "
                "network's tasks before reading"
            ), ()
        try:
            dag: ComputeDAG = auto_scheduler.ComputeDAG(key)
            stages = dag.get_init_state().stages
        except Exception as error:  # the user's function may raise anything
            return f"workload {key} cannot be built: {last_line(error)}", ()
        if key in self._computations and self._computations[key] != computation_of(dag):
            return f"workload {key} computes something else here than when it was measured", ()
        return None, tuple(hasattr(stage.op, "axis") for stage in stages)
