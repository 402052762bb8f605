"""TVM's measurements as the learner takes them: stage graphs with latencies, task by task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from tvm_gnn_cost.ansor.measurements import costs_of, trial_seconds, usable_by_task
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.records.measured import MeasuredGraphs, warn_of_unusable
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

logger = logging.getLogger(__name__)


def read_measurements(
    inputs: Sequence[Any], results: Sequence[Any], builder_of: Callable[[Any], StageGraphBuilder]
) -> MeasuredGraphs | None:
    """The measurements that can be used, in order of task; None if none can. What is left out is told in the log.

    Args:
        inputs: MeasureInputs, complete or as read from a log.
        results: the MeasureResult of each.
        builder_of: gives the builder of a task's graphs.
    """
    usable, latency = usable_by_task(inputs, results)
    warn_of_unusable(latency, lambda i: costs_of(results[i]))
    parts: list[MeasuredGraphs] = []
    for name, ids in usable.items():
        try:
            builder = builder_of(_complete_task(inputs[ids[0]]))
            built = builder.build([_complete_state(builder, inputs[i].state) for i in ids])
        except Exception as error:  # a workload that cannot be built: the other tasks still count
            logger.warning("%d measurements of %s cannot be used: %s", len(ids), name, error)
            continue
        readable = [i for i, ok in zip(ids, built.readable, strict=True) if ok]
        kept = [known for i in readable if (known := latency[i]) is not None]
        if kept:
            seconds = [trial_seconds(results[i]) for i in readable]
            parts.append(MeasuredGraphs.of_task(built.graphs, kept, name, builder.flop, seconds))
    return MeasuredGraphs.concatenate(parts)


def _complete_task(inp: Any) -> Any:
    """The task of a MeasureInput; an input read from a log has one without a DAG."""
    if inp.task.compute_dag is not None:
        return inp.task
    return require_auto_scheduler().measure.recover_measure_input(inp, rebuild_state=False).task


def _complete_state(builder: StageGraphBuilder, state: Any) -> Any:
    """The state of a MeasureInput; one read from a log has steps but no stages. None if these cannot be replayed."""
    if len(state.stages):
        return state
    try:
        return builder.infer_bound(state)
    except Exception as error:  # counted with the states that cannot be read
        logger.debug("a recorded state cannot be rebuilt: %s", error)
        return None
