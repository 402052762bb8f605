"""Which schedules the target can run at all: the cost model is the search's only filter for that.

Stock XGBModel lowers every candidate and runs `VerifyGPUCode`. Here a state is lowered only where nothing cheaper
decides. For a GPU the limits are checked on the loop nests, and candidates that an upper bound leaves in doubt are
lowered. For a CPU a state with constant extents builds, unless it makes vectors or floats of what no linear index is
(`axis_uses`); the others are lowered, since TVM lowers some that it cannot build (`cpu_build`). A state that could not
be read is lowered on either.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.axis_uses import Uses, axis_uses, has_initial_reads, is_plain, stages_in_doubt, what_decides
from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.states.reader import rebuild, record_line
from tvm_gnn_cost.ansor.states.schedule import Schedule, Structure
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.gpu_demand import verdicts
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loops import ComputeAt

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 1 << 15
"""Verdicts of TVM that are kept for a task; the search brings the same schedules again and again."""


class TaskReader(Protocol):
    """What the verdict asks of a builder of graphs."""

    @property
    def task(self) -> Any:
        """A SearchTask."""

    @property
    def hardware(self) -> Hardware:
        """What the task is for."""

    def schedules(self, states: Sequence[Any]) -> list[tuple[Schedule, Any]]:
        """Of these states: the schedule, and the bound-inferred StateObject that it was read from."""


class Validity:
    """Says which of a task's states the target can run."""

    def __init__(self, reader: TaskReader) -> None:
        self._reader = reader
        self._uses: dict[Structure, list[Uses]] = {}
        self._known: dict[Hashable, bool] = {}

    def valid(self, states: Sequence[Any], built: BuiltGraphs) -> NDArray[np.bool_]:
        """Bool (number of states,): whether each builds, or keeps the limits of a GPU; `built` are their graphs."""
        result = built.readable.copy()
        readable = np.flatnonzero(built.readable)
        doubts: dict[int, Hashable] = {}
        if self._reader.hardware.is_gpu:
            broken, doubtful = verdicts(built.resources, self._reader.hardware)
            doubtful |= self._begins_from_a_tensor & ~broken
            result[readable[broken]] = False
        else:
            doubtful = built.doubtful
            plain = readable[~doubtful]
            keys = self._doubts([states[int(i)] for i in plain])
            doubts = {int(i): key for i, key in zip(plain, keys, strict=True) if key is not None}
        for i in map(int, np.concatenate([np.flatnonzero(~built.readable), readable[doubtful]])):
            doubts[i] = self._key(states[i])
        if doubts:
            result[list(doubts)] = self._lowers([states[i] for i in doubts], list(doubts.values()))
            logger.debug("%d of %d states are not certain to run", len(doubts), len(states))
        return result

    def _lowers(self, states: Sequence[Any], keys: Sequence[Hashable]) -> list[bool]:
        """TVM's own verdict on each state: one for all with equal keys; what it said before is remembered."""
        new = {key: state for key, state in zip(keys, states, strict=True) if key not in self._known}
        found = dict(zip(new, lowers(list(new.values()), self._reader.task).tolist(), strict=True)) if new else {}
        result = [found[key] if key in found else self._known[key] for key in keys]
        self._known.update((key, verdict) for key, verdict in found.items() if isinstance(key, str | tuple))
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return result

    def _key(self, state: Any) -> Hashable:
        """The state's steps, which make its program; of what is no state of the task, what is like nothing else."""
        try:
            return record_line(self._reader.task, state)
        except Exception:  # `lowers` says what it thinks of it
            return object()

    @cached_property
    def _is_plain(self) -> bool:
        try:
            return is_plain(self._reader.task)
        except Exception as error:  # an expression that we do not know: then every state is looked at
            logger.debug("the axes of task %s cannot be read: %r", self._reader.task.workload_key, error)
            return False

    @cached_property
    def _begins_from_a_tensor(self) -> bool:
        """TVM caches a tensor of initial values in a GPU's shared memory where nothing computes it, and lowers no such
        schedule."""
        try:
            return any(has_initial_reads(operation) for operation in self._reader.task.compute_dag.ops)
        except Exception as error:  # an expression that we do not know: TVM's verdict is asked then
            logger.debug("task %s cannot be read: %r", self._reader.task.workload_key, error)
            return True

    def _doubts(self, states: Sequence[Any]) -> list[Hashable | None]:
        """Of each of these states, whose extents are constant: None where it builds, else what decides whether it
        does."""
        if self._is_plain or not states:
            return [None] * len(states)
        return [self._doubt(schedule, state) for schedule, state in self._reader.schedules(states)]

    def _doubt(self, schedule: Schedule, state: Any) -> Hashable | None:
        structure = schedule.structure()
        try:
            if structure not in self._uses:
                operations = [stage.op for stage in rebuild(self._reader.task, state).stages]
                inlined = [stage.compute_at == ComputeAt.INLINED for stage in schedule.stages]
                self._uses[structure] = axis_uses(operations, inlined)
            stages = stages_in_doubt(schedule, self._uses[structure])
            return what_decides(schedule, stages) if stages else None
        except Exception as error:  # TVM's verdict is asked then
            logger.debug("the axes of a state of task %s cannot be read: %r", self._reader.task.workload_key, error)
            return self._key(state)
