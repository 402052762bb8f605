"""Reads TVM's tensor expressions: operations, and all that their bodies read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tvm_gnn_cost.graphs.domains import estimated_extent
from tvm_gnn_cost.graphs.dtypes import element_bytes, is_float
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.expression_reader import ExpressionReader, Given
from tvm_gnn_cost.graphs.operation import NO_OPERATIONS, Domain, Operation, OperationKey, count_operations


def read_operation(stage: Any, by_address: dict[int, OperationKey]) -> Operation:
    """Reads the operation of an `auto_scheduler` stage; `by_address` names the operations of all stages."""
    op = stage.op
    dtypes = [str(op.output(i).dtype) for i in range(op.num_outputs)]
    output_bytes = tuple(element_bytes(dtype) for dtype in dtypes)
    operation = Operation(
        name=op.name,
        is_placeholder=int(stage.op_type) == 0,
        axis_names=(),
        axis_extents=(),
        reduce_extents=(),
        body=(),
        element_bytes=sum(output_bytes),
        is_float=all(is_float(dtype) for dtype in dtypes),
        is_constant=bool(op.attrs and "const_matrix" in op.attrs),
        counts=NO_OPERATIONS,
        output_bytes=output_bytes if len(output_bytes) > 1 else (),
    )
    if operation.is_placeholder:
        shape = [constant(extent) for extent in op.output(0).shape]
        return replace(operation, axis_extents=tuple(1 if extent is None else extent for extent in shape))
    return _ComputeReader(op, by_address).read(operation)


def address(obj: Any) -> int:
    """The address of a TVM object: its identity, as long as somebody holds it."""
    handle = obj.handle
    return int(getattr(handle, "value", handle) or 0)


def constant(value: Any) -> int | None:
    """A number of TVM's, or None for an expression."""
    constant = getattr(value, "value", None)
    return int(constant) if isinstance(constant, int) else None


class _ComputeReader(ExpressionReader):
    """Reads a `te.ComputeOp`."""

    def __init__(self, op: Any, by_address: dict[int, OperationKey]) -> None:
        super().__init__(op.name)
        self._op, self._by_address = op, by_address
        bodies = list(op.body)
        self._reduces = type(bodies[0]).__name__ == "Reduce"
        # a reduction of several outputs repeats all its sources in every body: it is read once
        self._bodies = bodies[:1] if self._reduces else bodies

    def read(self, operation: Operation) -> Operation:
        """The operation, with what it computes."""
        axes = [*self._op.axis, *self._op.reduce_axis]
        body = tuple(self.node(part) for part in self._bodies)
        init = tuple(self.node(part) for part in self._bodies[0].init) if self._reduces else ()
        domains: list[tuple[int, Domain]] = []
        extents: dict[str, int] = {}
        for number, axis in enumerate(axes):
            extent = constant(axis.dom.extent)
            if extent is None or constant(axis.dom.min) != 0:
                domain = Domain(self.node(axis.dom.min), self.node(axis.dom.extent))
                domains.append((number, domain))
                if extent is None:
                    extent = estimated_extent(axis.var.name, domain.extent, extents, self._indexed())
            extents[axis.var.name] = extent
        spatial = len(self._op.axis)
        return replace(
            operation,
            axis_names=tuple(axis.var.name for axis in axes),
            axis_extents=tuple(extents[axis.var.name] for axis in axes[:spatial]),
            reduce_extents=tuple(extents[axis.var.name] for axis in axes[spatial:]),
            body=body,
            counts=count_operations(body),
            init=init,
            init_counts=count_operations(init),
            domains=tuple(domains),
        )

    def _indexed(self) -> list[tuple[Node, int]]:
        """The indices of all reads, each with the size of the dimension that it indexes, where that is a constant."""
        from tvm.tir import ProducerLoad
        from tvm.tir.stmt_functor import post_order_visit

        found: list[tuple[Node, int]] = []

        def visit(node: Any) -> None:
            if isinstance(node, ProducerLoad):
                sizes = [constant(size) for size in node.producer.shape]
                indices = (self.node(index) for index in node.indices)
                found.extend((i, size) for i, size in zip(indices, sizes, strict=True) if size is not None)

        for body in self._bodies:
            for source in body.source if self._reduces else [body]:
                post_order_visit(source, visit)
        return found

    def other(self, expression: Any, given: Given) -> Node:
        """A reduction becomes its sources, the combiner's operations and its condition."""
        if type(expression).__name__ != "Reduce":
            return super().other(expression, given)
        parts = [self.node(source) for source in expression.source]
        parts += [_only_operations(self.node(result)) for result in expression.combiner.result]
        if constant(expression.condition) is None:
            parts.append(Node("Condition", None, (self.node(expression.condition),), "select"))
        return Node("Reduce", None, tuple(parts))

    def load(self, expression: Any, given: Given) -> Node | None:
        """A load's value is the TensorKey of what is read. Cache steps rebuild operations, so an address may be stale:
        such a stage is found by its name, which is then its own."""
        if type(expression).__name__ != "ProducerLoad":
            return None
        tensor = expression.producer
        operation = tensor.op
        indices = tuple(self.given_index(part, given) for part in expression.indices)
        key = self._by_address.get(address(operation), (operation.name, 0))
        return Node("Load", (*key, int(tensor.value_index)), indices)


def _only_operations(node: Node) -> Node:
    """A combiner's operations, without its own variables."""
    if node.kind == "Var":
        return Node("Const", 0.0)
    return replace(node, children=tuple(_only_operations(c) for c in node.children))
