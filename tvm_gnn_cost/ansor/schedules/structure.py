"""What a task has in common with tasks of other shapes: its structure, which schedules carry over to."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.states.te_reader import address, constant

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask


def structure_of(task: SearchTask) -> tuple[str, tuple[int, ...]]:
    """The structure of a task as a digest, and its shape.

    The structure is its operations in order: the kind of each, how many axes it has and reduces over, what it reads.
    The shape is all their extents. Where two tasks have the same structure, the steps of a schedule of the one name
    loops that the other has as well.
    """
    operations = list(task.compute_dag.ops)
    places = {address(op): number for number, op in enumerate(operations)}
    facts, extents = [], list[int]()
    for op in operations:
        axes, reduced = (list(getattr(op, name, ())) for name in ("axis", "reduce_axis"))
        reads = sorted({places[address(tensor.op)] for tensor in op.input_tensors if address(tensor.op) in places})
        facts.append([type(op).__name__, len(axes), len(reduced), int(op.num_outputs), reads, sorted(op.attrs or ())])
        extents += [_extent(axis.dom.extent) for axis in (*axes, *reduced)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16], tuple(extents)


def distance(one: Sequence[int], other: Sequence[int]) -> float:
    """How far apart two shapes of a structure are: octaves in the mean over their extents."""
    if not one:
        return 0.0
    return sum(abs(math.log2(a / b)) for a, b in zip(one, other, strict=True)) / len(one)


def _extent(value: Any) -> int:
    """1 where it is no number."""
    return max(1, constant(value) or 1)
