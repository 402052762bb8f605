"""Robust reading of auto_scheduler's record logs.

TVM's own `RecordReader` gives up at the first bad line. Here each line is judged alone: a bad one is counted and
reported with its number and the reason, and the rest is used.
"""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.tvm_compat import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler import ComputeDAG, MeasureInput, MeasureResult

logger = logging.getLogger("tvm_gnn_cost")

SHOWN = 5  # bad lines named in a warning
_GZIP_MAGIC = b"\x1f\x8b"
_ERROR_NUMBERS = range(9)  # tvm/auto_scheduler/measure.py, MeasureErrorNo
# A step's code -> the kinds of its fields (transform_step.cc): i integer, l list of integers, s string.
_STEPS = {
    "AN": "iii",
    "FU": "il",
    "PR": "iis",
    "RE": "il",
    "SP": "iiili",
    "FSP": "iiii",
    "FFSP": "iilii",
    "SA": "iiii",
    "CA": "iii",
    "CI": "i",
    "CR": "i",
    "CHR": "isl",
    "CHW": "is",
    "RF": "iii",
}
_ANNOTATIONS = range(12)  # loop_state.h, IteratorAnnotation
_LAYOUT_OPTIONS = range(3)  # compute_dag.h, LayoutRewriteOption
_INT32 = range(-(2**31), 2**31)


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
    workloads = _Workloads()
    for number, text, problem in _record_lines(path):
        reason = problem or check_record(text)
        inp = res = None
        if reason is None:
            try:
                inp, res = auto_scheduler.measure_record.load_record_from_string(text)
                reason = workloads.problem(inp.task.workload_key, json.loads(text)["i"][1][1])
                if reason is None and rebuild:
                    inp = recover(inp)
            except Exception as error:  # whatever TVM's reader trips over
                reason = f"TVM cannot read it: {last_line(error)}"
        yield _Judged(number, inp, res, reason)


def recover(inp: MeasureInput) -> MeasureInput:
    """A complete MeasureInput from a hollow one read from a log: its DAG and its stages, bounds inferred."""
    auto_scheduler = require_auto_scheduler()
    return auto_scheduler.measure.recover_measure_input(inp, rebuild_state=True)


def describe_skipped(path: str | os.PathLike[str], skipped: Sequence[tuple[int, str]], used: int) -> str:
    """One line: how many records of the log were used and skipped, and the first few bad lines with their reasons."""
    first = "; ".join(f"line {number}: {reason}" for number, reason in skipped[:SHOWN])
    more = f"; and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
    return f"{os.fspath(path)}: {used} records used, {len(skipped)} skipped ({first}{more})"


def check_record(text: str) -> str | None:
    """Why a line is not a usable record, or None. Knows the format and needs no TVM."""
    problem, record = check_format(text)
    if problem is not None or record is None:
        return problem
    costs, error_no = record["r"][:2]
    if error_no == 0:
        if not costs:
            return "the measurement holds no cost"
        bad = [cost for cost in costs if cost <= 0]
        if bad:
            return f"the measurement holds the cost {bad[0]!r}, which is not above zero"
    return None


def repair_log(path: str | os.PathLike[str]) -> int:
    """Make a plain log fit for TVM's own reader and for appending; returns the number of lines that were moved out.

    Lines that are no records (corrupt, or truncated by a kill) go to `<path>.rejected`; a missing newline at the end
    is added. The log is replaced atomically, and not at all when it is in order. Does nothing for a missing log.
    Raises RecordError where it cannot be read or written.
    """
    log = Path(path)
    if not log.exists():
        return 0
    good: list[bytes] = []
    rejected: list[bytes] = []
    try:
        data = log.read_bytes()
        for raw in data.split(b"\n"):
            if raw.strip():  # TVM's reader stops at an empty line
                (good if is_readable(raw) else rejected).append(raw)
        if data == b"".join(line + b"\n" for line in good):
            return 0
        if rejected:
            with open(f"{log}.rejected", "ab") as out:
                out.writelines(line + b"\n" for line in rejected)
        write_atomically(log, b"".join(line + b"\n" for line in good))
    except OSError as error:
        raise RecordError(f"{log} cannot be repaired: {error.strerror or error}") from error
    if rejected:
        logger.warning("%s: %d unreadable lines moved to %s.rejected", log, len(rejected), log)
    return len(rejected)


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
    """The workloads met in a log; each is built once."""

    def __init__(self) -> None:
        self._built: dict[str, tuple[str | None, tuple[bool, ...]]] = {}

    def problem(self, key: str, steps: Sequence[Sequence[Any]]) -> str | None:
        """Why the steps cannot be replayed on the workload, or None."""
        if key not in self._built:
            self._built[key] = _build(key)
        reason, is_compute = self._built[key]
        return reason or check_steps_fit(steps, is_compute)


def _build(key: str) -> tuple[str | None, tuple[bool, ...]]:
    """Why the workload cannot be built, or None; and for each of its stages whether it computes."""
    auto_scheduler = require_auto_scheduler()
    registry = auto_scheduler.workload_registry.WORKLOAD_FUNC_REGISTRY
    name = json.loads(key)[0]
    if key not in registry and name not in registry:
        return f"workload {name!r} is not registered (register it, or extract the network's tasks, before reading)", ()
    try:
        dag: ComputeDAG = auto_scheduler.ComputeDAG(key)
        stages = dag.get_init_state().stages
    except Exception as error:  # the user's function may raise anything
        return f"workload {key} cannot be built: {last_line(error)}", ()
    return None, tuple(hasattr(stage.op, "axis") for stage in stages)


def check_steps_fit(steps: Sequence[Sequence[Any]], is_compute: Sequence[bool]) -> str | None:
    """Why steps do not fit the stages they name, or None.

    TVM raises an error for most misfits when it replays the steps, but one takes the process down: caching the writes
    of (or factoring) a stage that computes nothing (`CacheWriteStepNode::ApplyToState`).
    """
    stages = list(is_compute)
    for step in steps:
        code, stage = step[0], step[1]
        if not 0 <= stage < len(stages):
            return f"its step {step} names stage {stage} of {len(stages)}"
        if code in ("CHW", "RF"):
            if not stages[stage]:
                return f"its step {step} names stage {stage}, which computes nothing"
            stages.insert(stage, True)
        elif code == "CHR":
            stages.insert(stage + 1, True)
    return None


def _record_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str, str | None]]:
    """(line number, text, problem) of each line that is neither empty nor a comment."""
    number = 0
    try:
        with _open(path) as file:
            for raw in file:
                number += 1
                if not raw.strip() or raw[:1] in (b"#", b" "):  # comments, as TVM's reader has them
                    continue
                try:
                    yield number, raw.decode("utf-8").strip(), None
                except UnicodeDecodeError:
                    yield number, "", "not UTF-8 text"
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield number + 1, "", f"the gzip stream is damaged from here on ({error})"
    except OSError as error:
        raise RecordError(f"record log {os.fspath(path)} cannot be read: {error.strerror or error}") from error


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    with open(path, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path, "rb")) if compressed else open(path, "rb")


def is_readable(raw: bytes) -> bool:
    """Whether TVM's reader gets over this line: a comment, or a record in form (its cost may still be useless)."""
    if raw[:1] in (b"#", b" "):
        return True
    try:
        return check_format(raw.decode("utf-8"))[0] is None
    except UnicodeDecodeError:
        return False


def check_format(text: str) -> tuple[str | None, dict[str, Any] | None]:
    try:
        record = json.loads(text, parse_constant=_no_constant)
    except _ConstantError as error:
        return f"it holds {error}, which is not a number", None
    except (ValueError, RecursionError) as error:
        return f"not JSON, perhaps truncated ({last_line(error)})", None
    if not isinstance(record, dict) or not {"i", "r"} <= record.keys() <= {"i", "r", "v"}:
        return "not a record of auto_scheduler (its fields are i, r and v)", None
    if "v" in record and not isinstance(record["v"], str):
        return "its version is not a string", None
    inp = record["i"]
    if not isinstance(inp, list) or len(inp) != 2:
        return "its input is not [task, state]", None
    problem = _check_task(inp[0]) or _check_state(inp[1]) or _check_result(record["r"])
    return problem, None if problem else record


def _check_task(task: object) -> str | None:
    if not isinstance(task, list) or not 2 <= len(task) <= 6 or not all(isinstance(s, str) for s in task[:2]):
        return "its task is not [workload, target, ...]"
    try:
        key = json.loads(task[0])
    except ValueError:
        key = None
    if not isinstance(key, list) or not key or not isinstance(key[0], str):
        return f"its workload key is malformed: {task[0]!r}"
    if len(task) > 2 and not (_is_ints(task[2]) and len(task[2]) == 8):
        return "its hardware parameters are not eight integers"
    if len(task) == 4 or (len(task) > 3 and not isinstance(task[3], str)):
        return "its target host is malformed"
    if len(task) > 4 and (not _is_int(task[4]) or task[4] not in _LAYOUT_OPTIONS):
        return "its layout option is malformed"
    if len(task) > 5 and not (isinstance(task[5], list) and all(isinstance(name, str) for name in task[5])):
        return "its task inputs are malformed"
    return None


def _check_state(state: object) -> str | None:
    if not isinstance(state, list) or len(state) != 2 or state[0] != [] or not isinstance(state[1], list):
        return "its state is not [[], steps]"
    for step in state[1]:
        if not isinstance(step, list) or not step or not isinstance(step[0], str) or step[0] not in _STEPS:
            return f"it holds an unknown step: {str(step)[:60]}"
        kinds = _STEPS[step[0]]
        fields = step[1:]
        if len(fields) != len(kinds) or not all(_is_kind(f, k) for f, k in zip(fields, kinds, strict=True)):
            return f"it holds a malformed step: {str(step)[:60]}"
        if step[0] == "AN" and fields[2] not in _ANNOTATIONS:
            return f"it holds an unknown annotation: {step}"
    return None


def _check_result(result: object) -> str | None:
    if not isinstance(result, list) or len(result) != 4 or not isinstance(result[0], list):
        return "its result is not [costs, error, seconds, time]"
    costs, error_no, seconds, timestamp = result
    if not all(_is_number(cost) for cost in costs):
        return "its costs are not finite numbers"
    if not _is_int(error_no) or error_no not in _ERROR_NUMBERS:
        return f"its error number is {error_no!r}"
    if not _is_number(seconds) or not _is_number(timestamp):
        return "its times are not numbers"
    return None


def _is_kind(value: object, kind: str) -> bool:
    return {"i": _is_int, "l": _is_ints, "s": lambda v: isinstance(v, str)}[kind](value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT32


def _is_ints(value: object) -> bool:
    return isinstance(value, list) and all(_is_int(v) for v in value)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


class _ConstantError(ValueError):
    """NaN or an infinity in JSON, which Python would let pass."""


def _no_constant(text: str) -> float:
    raise _ConstantError(text)


def last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
