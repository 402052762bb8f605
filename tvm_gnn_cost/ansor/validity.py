"""Which schedules the target can run at all: the cost model is the search's only filter for that.

Stock XGBModel lowers every candidate and runs `VerifyGPUCode`. Here a state is lowered only where nothing cheaper
decides, and on a CPU during a search only where the state may be measured. For a GPU the limits are checked on the loop
nests, and candidates that an upper bound leaves in doubt are lowered. For a CPU a state with constant extents builds,
unless it makes vectors or floats of what no linear index is (`axis_uses`); the others are lowered, since TVM lowers
some that it cannot build (`cpu_build`). A state that could not be read is lowered on either.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.axis_uses import (
    Uses,
    axis_uses,
    has_initial_reads,
    is_plain,
    reason_of,
    stages_in_doubt,
    what_decides,
)
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


LOOKED_AT = 128
"""States of a call by a search: TVM's keeps twice as many candidates as it measures in a round, by default 64."""

ENOUGH = 8
"""Verdicts on states that are in doubt for the same reason, after which the others are taken to be like them."""

AGAIN = 16
"""Where those agree, one in so many is looked at all the same."""


class _Doubt(NamedTuple):
    """Why it is in doubt whether a state builds.

    Attributes:
        key: what decides about it: TVM's verdict on all with equal keys is the same.
        reason: what it has in common with states that are in doubt in the same way, whatever their extents.
    """

    key: Hashable
    reason: Hashable


@dataclass
class _Verdicts:
    """TVM's verdicts on states that are in doubt for one reason: how many there are, and how many of these build."""

    number: int = 0
    builds: int = 0

    @property
    def agree(self) -> bool:
        return self.builds in (0, self.number)

    def count(self, verdicts: Sequence[bool]) -> None:
        self.number += len(verdicts)
        self.builds += sum(verdicts)


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
        self._verdicts: dict[Hashable, _Verdicts] = {}

    def valid(
        self, states: Sequence[Any], built: BuiltGraphs, promise: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """Bool (number of states,): whether each builds, or keeps the limits of a GPU; `built` are their graphs.

        Args:
            promise: (number of graphs,), see `StageGraphSource.can_run`. What TVM lowers for a CPU, and then may not
                build, is then looked at only among the best.
        """
        result = built.readable.copy()
        readable = np.flatnonzero(built.readable)
        doubts: dict[int, Hashable] = {}
        if self._reader.hardware.is_gpu:
            broken, doubtful = verdicts(built.resources, self._reader.hardware)
            doubtful |= self._begins_from_a_tensor & ~broken
            result[readable[broken]] = False
        else:
            doubtful = built.doubtful
            if promise is None:
                plain = readable[~doubtful]
                doubts = {i: doubt.key for i, doubt in self._doubts(states, plain).items()}
            else:
                best = np.argsort(-promise, kind="stable")
                self._look_at_the_best(states, readable[best[~doubtful[best]]], result)
        for i in map(int, np.concatenate([np.flatnonzero(~built.readable), readable[doubtful]])):
            doubts[i] = self._key(states[i])
        if doubts:
            result[list(doubts)] = self._lowers([states[i] for i in doubts], list(doubts.values()))
            logger.debug("%d of %d states are not certain to run", len(doubts), len(states))
        return result

    def _look_at_the_best(self, states: Sequence[Any], order: NDArray[np.int64], result: NDArray[np.bool_]) -> None:
        """Writes into `result` whether states build, LOOKED_AT after LOOKED_AT until half as many do.

        `order` are the places of those that may be looked at, the best first.
        """
        number = 0
        while number < len(order):
            some = order[number : number + LOOKED_AT]
            self._judge_alike(states, self._doubts(states, some), result)
            number += LOOKED_AT
            if 2 * int(result[order[:number]].sum()) >= LOOKED_AT:
                return

    def _judge_alike(self, states: Sequence[Any], doubts: Mapping[int, _Doubt], result: NDArray[np.bool_]) -> None:
        """Writes into `result` the verdicts on doubts, by their places: TVM's own, or what it said of all others that
        are in doubt for the same reason, where it was asked of enough of them."""

        def look(places: list[int]) -> None:
            verdicts = self._lowers([states[i] for i in places], [doubts[i].key for i in places])
            result[places] = verdicts
            asked.count(verdicts)

        by_reason: dict[Hashable, list[int]] = {}
        for i, doubt in doubts.items():
            by_reason.setdefault(doubt.reason, []).append(i)
        for reason, places in by_reason.items():
            asked = self._verdicts.setdefault(reason, _Verdicts())
            first = max(0, ENOUGH - asked.number)
            look(places[:first])
            others = places[first:]
            if others and asked.agree:
                look(others[::AGAIN])
                others = [i for n, i in enumerate(others) if n % AGAIN]
                if asked.agree:
                    result[others] = asked.builds > 0
                    continue
            look(others)

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

    def _doubts(self, states: Sequence[Any], places: NDArray[np.int64]) -> dict[int, _Doubt]:
        """Why it is in doubt whether the states at these places build, whose extents are constant; none that is not."""
        if self._is_plain or not len(places):
            return {}
        schedules = self._reader.schedules([states[int(i)] for i in places])
        found = {int(i): self._doubt(*one) for i, one in zip(places, schedules, strict=True)}
        return {i: doubt for i, doubt in found.items() if doubt is not None}

    def _doubt(self, schedule: Schedule, state: Any) -> _Doubt | None:
        structure = schedule.structure()
        try:
            if structure not in self._uses:
                operations = [stage.op for stage in rebuild(self._reader.task, state).stages]
                inlined = [stage.compute_at == ComputeAt.INLINED for stage in schedule.stages]
                self._uses[structure] = axis_uses(operations, inlined)
            stages = stages_in_doubt(schedule, self._uses[structure])
            if not stages:
                return None
            return _Doubt(what_decides(schedule, stages), reason_of(schedule, stages, self._uses[structure]))
        except Exception as error:  # TVM's verdict is asked then
            logger.debug("the axes of a state of task %s cannot be read: %r", self._reader.task.workload_key, error)
            key = self._key(state)
            return _Doubt(key, key)
