"""The floating-point operations of a task: TVM's count, and our own where TVM has none."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.ansor.states.te_reader import read_operation
from tvm_gnn_cost.graphs.work import operations_of


def count_flop(dag: Any) -> float:
    """The operations of a `ComputeDAG`, 0 for pure data movement.

    TVM counts -1 for what its FlopEstimator does not know (`src/auto_scheduler/compute_dag.cc`): extents that are
    expressions, Let, vectors. Then the operations are counted here: those on floating-point numbers, and on integers
    where the elements are integers.
    """
    counted = float(dag.flop_ct)
    if counted >= 0.0:
        return counted
    return sum(_operations(stage) for stage in dag.get_init_state().stages)


def _operations(stage: Any) -> float:
    """The operations of one stage; none where it cannot be read."""
    try:
        operation = read_operation(stage, {})
    except ValueError:
        return 0.0
    return operations_of(operation)
