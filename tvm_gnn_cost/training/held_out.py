"""Whole workloads that a network does not learn, and how well it ranks their schedules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import IntArray
from tvm_gnn_cost.learning.fitting import score_records
from tvm_gnn_cost.learning.metrics import pairwise_accuracy, top_k_score
from tvm_gnn_cost.learning.scoring import Scorer
from tvm_gnn_cost.records.source import RecordSource
from tvm_gnn_cost.records.task import StoredTask


@dataclass(frozen=True)
class TaskRanking:
    """How well one task's schedules were ranked; nan where that cannot be told (see `metrics`).

    Attributes:
        task: whose.
        records: how many were ranked.
        pairwise: share of pairs in the right order.
        top1, top5: best latency over the best among the 1 or 5 that scored highest.
    """

    task: StoredTask
    records: int
    pairwise: float
    top1: float
    top5: float


def hold_out_workloads(
    tasks: Sequence[StoredTask],
    fraction: float,
    operators: Collection[str],
    known: Collection[str],
    generator: np.random.Generator,
) -> list[bool]:
    """Which of the tasks are held out. All tasks of a workload, whatever their target, are on one side.

    Args:
        tasks: n of them.
        fraction: of the workloads, drawn at random; not used where operators are named.
        operators: hold out these operators' tasks instead.
        known: workloads that the network has learnt before, which are not drawn.
        generator: what the draw depends on.

    Returns: n flags; none is set where a fraction comes to less than half a workload.

    Raises InvalidArgumentError for an operator that no task has, or if nothing is left to learn.
    """
    if operators:
        present = sorted({task.operator for task in tasks})
        missing = sorted(set(operators) - set(present))
        if missing:
            there = ", ".join(present)
            raise InvalidArgumentError(f"no task of the operator {missing[0]!r} to hold out; there are {there}")
        held = {task.workload for task in tasks if task.operator in operators}
    else:
        workloads = sorted({task.workload for task in tasks})
        unknown = [workload for workload in workloads if workload not in known]
        count = min(int(fraction * len(workloads) + 0.5), len(unknown))
        held = {unknown[i] for i in generator.permutation(len(unknown))[:count]}
    flags = [task.workload in held for task in tasks]
    if all(flags):
        raise InvalidArgumentError(f"all {len(tasks)} tasks are held out, and none is left to learn: hold out less")
    return flags


def rank_task(scorer: Scorer, source: RecordSource, task: StoredTask, ids: IntArray) -> TaskRanking:
    """How well the scorer ranks these records of the task."""
    scores: NDArray[np.float32] = score_records(scorer, source, ids)
    latency = source.latency(ids)
    return TaskRanking(
        task,
        len(ids),
        pairwise_accuracy(scores, latency),
        top_k_score(scores, latency, 1),
        top_k_score(scores, latency, 5),
    )
