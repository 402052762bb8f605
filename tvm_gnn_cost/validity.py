"""Which schedules the target can run at all: the cost model is the search's only filter for that.

Stock XGBModel lowers every candidate and runs `VerifyGPUCode`. Here the limits are checked on the loop nests, and only
candidates that an upper bound leaves in doubt are lowered, by the stock code itself. A CPU has no such limits: a state
that could be read and bound-inferred lowers. Some that lower cannot be built all the same (`stage_graph.allocations`);
stock accepts these, and each costs it a measurement.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.stage_graph.allocations import can_be_allocated
from tvm_gnn_cost.stage_graph.builder import BuiltGraphs, StageGraphBuilder
from tvm_gnn_cost.stage_graph.reader import state_object
from tvm_gnn_cost.stage_graph.resources import verdicts

logger = logging.getLogger(__name__)


def valid_states(builder: StageGraphBuilder, states: Sequence[Any], built: BuiltGraphs) -> NDArray[np.bool_]:
    """Bool (number of states,): readable, and within the target's limits."""
    valid = built.readable.copy()
    if not builder.hardware.is_gpu:
        if builder.has_nonlinear_reads():
            positions = np.flatnonzero(built.readable)
            valid[positions] = _can_be_allocated(builder, [states[int(i)] for i in positions])
        return valid
    broken, doubtful = verdicts(built.resources, builder.hardware)
    positions = np.flatnonzero(built.readable)
    valid[positions[broken]] = False
    in_doubt = positions[doubtful]
    if len(in_doubt):
        valid[in_doubt] = lowers([states[int(i)] for i in in_doubt], builder.task)
        logger.debug("%d of %d states were lowered to see whether they fit the GPU", len(in_doubt), len(states))
    return valid


def _can_be_allocated(builder: StageGraphBuilder, states: Sequence[Any]) -> NDArray[np.bool_]:
    objects = [state_object(state) for state in states]
    can = np.ones(len(objects), bool)
    for i, schedule in builder.symbolic_schedules(objects).items():
        can[i] = can_be_allocated(schedule, objects[i])
    return can


def lowers(states: Sequence[Any], task: Any) -> NDArray[np.bool_]:
    """Stock TVM's verdict, bool (number of states,): a state that it cannot lower or verify has no features."""
    from tvm.auto_scheduler.feature import get_per_store_features_from_states

    try:
        features = get_per_store_features_from_states([state_object(state) for state in states], task)
    except Exception as error:  # one state whose steps cannot be replayed ends the whole batch
        if len(states) > 1:
            return np.concatenate([lowers([state], task) for state in states])
        logger.debug("a state cannot be lowered: %r", error)
        return np.zeros(len(states), bool)
    return np.array([not (f.min() == f.max() == 0) for f in features], dtype=bool)
