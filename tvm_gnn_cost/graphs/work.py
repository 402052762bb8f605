"""The floating-point operations of what is computed."""

from __future__ import annotations

from math import prod

from tvm_gnn_cost.graphs.expression import CATEGORIES
from tvm_gnn_cost.graphs.operation import Operation


def operations_of(operation: Operation) -> float:
    """The operations of one stage: those on floating-point numbers, and on integers where its elements are integers."""
    elements, reduction = prod(operation.axis_extents), prod(operation.reduce_extents)
    counted = [name.startswith("float_") or (name == "integer" and not operation.is_float) for name in CATEGORIES]
    an_iteration, an_element = (
        sum(n for n, counts in zip(numbers, counted, strict=True) if counts)
        for numbers in (operation.counts, operation.init_counts)
    )
    return float(elements) * (reduction * an_iteration + an_element)
