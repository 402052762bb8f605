"""Reads TVM's states through Python: the readable specification of the native reader, and its fallback.

A walk over `state.stages[*].iters[*]` costs 1-4 ms a state. What Python cannot see there (`attach_map`, unroll pragmas,
storage offsets, split factors) is taken from the state's record, which lists every transform step
(`src/auto_scheduler/measure_record.cc`, `transform_step.cc`).

A cache write of a stage with two outputs inserts two stages where something reads the second output, which
`transform_step.cc` calls a bug of TVM's. Such states are not read: the search never hands one out, since TVM's own
sketch rules and bound inference end in an error for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tvm_gnn_cost.ansor.states.schedule import (
    UNDEFINED_EXTENT,
    UNKNOWN_EXTENT,
    Loop,
    Schedule,
    StageSchedule,
    Step,
    StepKind,
)
from tvm_gnn_cost.graphs.loops import ComputeAt

ADD_A_STAGE = ("CHR", "CHW", "RF")
"""Steps of a record that do: a cache that is read or written, a factored reduction."""


def state_object(state: Any) -> Any:
    """The `StateObject` of a `State`; what is none stays as it is."""
    from tvm.auto_scheduler.loop_state import State

    # An attribute that a TVM object lacks costs 40 us to ask for, so a StateObject is not asked for its own.
    return state.state_object if isinstance(state, State) else state


def read_schedule(task: Any, state: Any) -> Schedule:
    """The schedule of a bound-inferred `State` or `StateObject` of `task`."""
    obj = state_object(state)
    return schedule_from_parts(_stages(obj), record_steps(task, obj))


def record_line(task: Any, state: Any) -> str:
    """The state as a line of a record log, with an empty result."""
    from tvm import auto_scheduler

    line: str = auto_scheduler.measure_record.dump_record_to_string(
        auto_scheduler.MeasureInput(task, state_object(state)), auto_scheduler.MeasureResult([0.0], 0, "", 0.0, 0.0)
    )
    return line


def record_steps(task: Any, state: Any) -> list[list[Any]]:
    """The transform steps as TVM writes them to a record: ["SP", stage, loop, extent, factors, inner_to_outer], ..."""
    steps: list[list[Any]] = json.loads(record_line(task, state))["i"][1][1]
    return steps


def rebuild(task: Any, state: Any) -> Any:
    """The state built anew from its steps.

    TVM fills tile sizes into a sketch without rebuilding its operations, so the operations of a sampled state with
    an rfactor stage still have the extents of the unfilled sketch.
    """
    from tvm import auto_scheduler

    hollow, _ = auto_scheduler.measure_record.load_record_from_string(record_line(task, state))
    return task.compute_dag.infer_bound_from_state(hollow.state).state_object


def schedule_from_parts(stages: list[tuple[int, tuple[Loop, ...]]], steps: list[list[Any]]) -> Schedule:
    """Puts a schedule together from (compute_at, loops) of every stage and the record's transform steps."""
    hidden = _replay_hidden(len(stages), steps)
    return Schedule(
        tuple(
            StageSchedule(
                compute_at=compute_at,
                attach=slot.attach if compute_at == ComputeAt.ITER else None,
                auto_unroll_max_step=slot.auto_unroll_max_step,
                storage_offset=slot.storage_offset,
                loops=loops,
            )
            for (compute_at, loops), slot in zip(stages, hidden, strict=True)
        ),
        tuple(_shaping_steps(steps)),
    )


def _stages(state: Any) -> list[tuple[int, tuple[Loop, ...]]]:
    result = []
    for stage in state.stages:
        loops = []
        for it in stage.iters:
            extent = UNDEFINED_EXTENT if it.range is None else _constant(it.range.extent)
            loops.append(Loop(extent, int(it.iter_kind), int(it.annotation)))
        result.append((int(stage.compute_at), tuple(loops)))
    return result


def _constant(extent: Any) -> int:
    value = getattr(extent, "value", None)
    return value if isinstance(value, int) else UNKNOWN_EXTENT


class _Slot:
    """What the steps say of one stage, by identity, so that inserted stages do not renumber it."""

    def __init__(self) -> None:
        self.attach_slot: _Slot | None = None
        self.attach_loop = 0
        self.attach: tuple[int, int] | None = None
        self.auto_unroll_max_step = 0
        self.storage_offset = 0


def _replay_hidden(num_stages: int, steps: list[list[Any]]) -> list[_Slot]:
    """Replays the steps on the fields that Python cannot read, with the same updates as `AttachMap`."""
    inserted = sum(step[0] in ADD_A_STAGE for step in steps)
    slots = [_Slot() for _ in range(num_stages - inserted)]
    for step in steps:
        replay = _REPLAY.get(step[0])
        if replay is not None:
            replay(slots, step)
    position = {id(slot): i for i, slot in enumerate(slots)}
    for slot in slots:
        if slot.attach_slot is not None:
            slot.attach = (position[id(slot.attach_slot)], slot.attach_loop)
    return slots


def _insert_reader(slots: list[_Slot], step: list[Any]) -> None:
    slots.insert(step[1] + 1, _Slot())


def _insert_producer(slots: list[_Slot], step: list[Any]) -> None:
    slots[step[1]].auto_unroll_max_step = slots[step[1]].storage_offset = 0
    slots.insert(step[1], _Slot())


def _attach(slots: list[_Slot], step: list[Any]) -> None:
    slots[step[1]].attach_slot, slots[step[1]].attach_loop = slots[step[2]], step[3]


def _detach(slots: list[_Slot], step: list[Any]) -> None:
    slots[step[1]].attach_slot = None


def _pragma(slots: list[_Slot], step: list[Any]) -> None:
    name, _, value = step[3].partition("$")
    if name == "auto_unroll_max_step":
        slots[step[1]].auto_unroll_max_step = int(value)
    elif name == "debug_skip_region":
        _detach(slots, step)


def _align_storage(slots: list[_Slot], step: list[Any]) -> None:
    slots[step[1]].storage_offset = step[4]


def _split(slots: list[_Slot], step: list[Any], more: int) -> None:
    """So many loops more, from the loop that is split on."""
    for slot in slots:
        if slot.attach_slot is slots[step[1]] and slot.attach_loop >= step[2]:
            slot.attach_loop += more


def _fuse(slots: list[_Slot], step: list[Any]) -> None:
    if not step[2]:  # fusing the loops of a scalar stage, none, makes one
        return
    first, last = step[2][0], step[2][-1]
    for slot in slots:
        if slot.attach_slot is slots[step[1]] and slot.attach_loop > first:
            slot.attach_loop = first if slot.attach_loop <= last else slot.attach_loop - (last - first)


_REPLAY: Mapping[str, Callable[[list[_Slot], list[Any]], None]] = {
    "CHR": _insert_reader,
    "CHW": _insert_producer,
    "RF": _insert_producer,
    "CA": _attach,
    "CR": _detach,
    "CI": _detach,
    "PR": _pragma,
    "SA": _align_storage,
    "SP": lambda slots, step: _split(slots, step, len(step[4])),
    "FSP": lambda slots, step: _split(slots, step, step[4]),
    "FFSP": lambda slots, step: _split(slots, step, 1),
    "FU": _fuse,
}
"""What a step does to the stages, by its name in a record. Each is called with the stages so far and the step."""


def _shaping_steps(steps: list[list[Any]]) -> list[Step]:
    shaping = []
    for step in steps:
        kind, stage = step[0], step[1]
        if kind == "SP":
            shaping.append(Step(StepKind.SPLIT, stage, step[2], tuple(step[4]), bool(step[5])))
        elif kind == "FSP":
            factors, n_split = steps[step[3]][4], step[4]
            rest = 1
            for factor in factors[n_split - 1 :]:
                rest *= factor
            shaping.append(Step(StepKind.SPLIT, stage, step[2], (*factors[: n_split - 1], rest), True))
        elif kind == "FFSP":
            factor = 1
            for source in step[3]:
                factor *= steps[source][4][step[4]]
            shaping.append(Step(StepKind.SPLIT, stage, step[2], (factor,), bool(step[5])))
        elif kind == "FU":
            shaping.append(Step(StepKind.FUSE, stage, 0, tuple(step[2])))
        elif kind == "RE":
            shaping.append(Step(StepKind.REORDER, stage, 0, tuple(step[2])))
        elif kind == "CHR":
            shaping.append(Step(StepKind.INSERT, stage, 1, tuple(step[3])))
        elif kind == "CHW":
            shaping.append(Step(StepKind.INSERT, stage, 0))
        elif kind == "RF":
            shaping.append(Step(StepKind.INSERT, stage, 0, tuple(step[2:4])))
    return shaping
