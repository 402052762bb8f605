"""The form of a line of auto_scheduler's record logs, checked before TVM's own reader meets it. Needs no TVM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.system.files import finite_number, parse_json

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


def parse_record(text: str) -> tuple[str | None, dict[str, Any] | None]:
    """Why a line is not a usable record, or None; and what it holds, where it is a record in form."""
    problem, record = check_format(text)
    if problem is not None or record is None:
        return problem, record
    costs, error_no = record["r"][:2]
    if error_no == 0:
        if not costs:
            return "the measurement holds no cost", record
        bad = [cost for cost in costs if cost <= 0]
        if bad:
            return f"the measurement holds the cost {bad[0]!r}, which is not above zero", record
    return None, record


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


def check_format(text: str) -> tuple[str | None, dict[str, Any] | None]:
    """Why a line is no record in form, or None; and what it holds, if it is one. Its cost may be useless."""
    try:
        record = parse_json(text, parse_constant=_no_constant)
    except _ConstantError as error:
        return f"it holds {error}, which is not a number", None
    except ValueError as error:
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
        key = parse_json(task[0])
    except ValueError:
        key = None
    if not isinstance(key, list) or not key or not isinstance(key[0], str):
        return f"its workload key is malformed: {task[0][:60]!r}"
    if len(task) > 2 and not (_is_ints(task[2]) and len(task[2]) == 8):
        return "its hardware parameters are not eight integers"
    if len(task) > 3 and not isinstance(task[3], str):
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
    if not all(finite_number(cost) is not None for cost in costs):
        return "its costs are not finite numbers"
    if not _is_int(error_no) or error_no not in _ERROR_NUMBERS:
        return f"its error number is {error_no!r}"
    if finite_number(seconds) is None or finite_number(timestamp) is None:
        return "its times are not numbers"
    return None


def _is_kind(value: object, kind: str) -> bool:
    return {"i": _is_int, "l": _is_ints, "s": lambda v: isinstance(v, str)}[kind](value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT32


def _is_ints(value: object) -> bool:
    return isinstance(value, list) and all(_is_int(v) for v in value)


class _ConstantError(ValueError):
    """NaN or an infinity in JSON, which Python would let pass."""


def _no_constant(text: str) -> float:
    raise _ConstantError(text)
