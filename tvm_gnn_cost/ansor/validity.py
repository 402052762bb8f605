"""Which schedules the target can run at all: the cost model is the search's only filter for that.

Stock XGBModel lowers every candidate and runs `VerifyGPUCode`. Here the limits are checked on the loop nests, and only
candidates that an upper bound leaves in doubt are lowered. A CPU has no such limits: a state that could be read and
bound-inferred lowers. Some that lower cannot be built all the same (`states.allocations`); stock accepts these,
and each costs it a measurement.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.states.allocations import can_be_allocated
from tvm_gnn_cost.ansor.states.schedule import Schedule
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.gpu_demand import verdicts
from tvm_gnn_cost.graphs.hardware import Hardware

logger = logging.getLogger(__name__)


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


def symbolic_states(built: BuiltGraphs) -> NDArray[np.int64]:
    """Positions of the states in which a loop has an extent that TVM gave as an expression."""
    return np.flatnonzero(built.readable)[built.inexact]


def valid_states(reader: TaskReader, states: Sequence[Any], built: BuiltGraphs) -> NDArray[np.bool_]:
    """Bool (number of states,): readable, and within the target's limits."""
    valid = built.readable.copy()
    if not reader.hardware.is_gpu:
        in_doubt = symbolic_states(built)
        schedules = reader.schedules([states[int(i)] for i in in_doubt])
        valid[in_doubt] = [can_be_allocated(schedule, state) for schedule, state in schedules]
        return valid
    broken, doubtful = verdicts(built.resources, reader.hardware)
    positions = np.flatnonzero(built.readable)
    valid[positions[broken]] = False
    in_doubt = positions[doubtful]
    if len(in_doubt):
        valid[in_doubt] = lowers([states[int(i)] for i in in_doubt], reader.task)
        logger.debug("%d of %d states were lowered to see whether they fit the GPU", len(in_doubt), len(states))
    return valid
