"""Whether what a workload's function returns can be scheduled: TVM would say it later, or fail every measurement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError

if TYPE_CHECKING:
    from tvm_gnn_cost.workloads.tensors import Tensors


def checked(label: str, result: object) -> Tensors:
    """What a workload's function returned, as a list. Raises WorkloadError where that cannot be scheduled."""
    from tvm import te

    help_text = "return the inputs and the outputs, as in [A, B, C]"
    returned = [result] if isinstance(result, te.Tensor) else result
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes | dict):
        raise WorkloadError(f"{label} returns {type(result).__name__}, no list of TE tensors: {help_text}")
    tensors = list(returned)
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, te.Tensor):
            raise WorkloadError(f"{label} returns {type(tensor).__name__} at place {i}, no TE tensor: {help_text}")
    if all(isinstance(tensor.op, te.PlaceholderOp) for tensor in tensors):
        raise WorkloadError(f"{label} returns no output: {'only placeholders' if tensors else 'nothing'}; {help_text}")
    for i, tensor in enumerate(tensors):
        if any(tensor.op == other.op and tensor.value_index == other.value_index for other in tensors[:i]):
            raise WorkloadError(f"{label} returns {tensor.op.name} twice: {help_text}")
    given = {tensor.op for tensor in tensors}
    reached = _reached(given)
    for operation in reached:
        if not isinstance(operation, te.PlaceholderOp | te.ComputeOp):
            raise WorkloadError(
                f"{label}: {operation.name} is a {type(operation).__name__}; what te.compute makes can be scheduled"
            )
    for operation in reached:
        _check_shapes(label, operation)
        if isinstance(operation, te.PlaceholderOp) and operation not in given:
            raise WorkloadError(f"{label} reads the placeholder {operation.name}, but does not return it: {help_text}")
    return tensors


def _reached(operations: Iterable[Any]) -> set[Any]:
    """The operations and all that they are computed from."""
    found: set[Any] = set()
    left = list(operations)
    while left:
        operation = left.pop()
        if operation not in found:
            found.add(operation)
            left += [tensor.op for tensor in operation.input_tensors]
    return found


def _check_shapes(label: str, operation: Any) -> None:
    """Raises WorkloadError unless the extents of what an operation makes, and sums over, are numbers above 0."""
    from tvm_gnn_cost.workloads.tir import free_variables, simplified, tir

    for shape in (operation.output(i).shape for i in range(operation.num_outputs)):
        extents = [simplified(extent) for extent in shape]
        written = f"({', '.join(map(str, extents))})"
        if not all(isinstance(extent, tir.IntImm) for extent in extents):
            raise WorkloadError(
                f"{label}: {operation.name} has the symbolic shape {written}; schedules are tuned for fixed shapes: "
                "give numbers as arguments"
            )
        if any(int(extent) < 1 for extent in extents):
            raise WorkloadError(f"{label}: {operation.name} would have the shape {written}; the arguments do not fit")
    reduced = list(getattr(operation, "reduce_axis", ()))
    bound = {axis.var for axis in [*getattr(operation, "axis", ()), *reduced]}
    for axis in reduced:  # an extent may depend on where in the output it is, but on nothing else
        free = free_variables(axis.dom.extent, bound)
        if free:
            raise WorkloadError(f"{label}: {operation.name} reduces over the symbolic extent {free[0]}")
