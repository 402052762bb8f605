"""Reads TVM's tensor expressions: operations, and all that their bodies read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tvm_gnn_cost.graphs.domains import estimated_extent
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.operation import NO_OPERATIONS, Domain, Operation, OperationKey, count_operations

_BINARY = {
    "Add": "add",
    "Sub": "add",
    "Mul": "mul",
    "Div": "div",
    "Mod": "div",
    "FloorDiv": "div",
    "FloorMod": "div",
    "Min": "compare",
    "Max": "compare",
    "EQ": "compare",
    "NE": "compare",
    "LT": "compare",
    "LE": "compare",
    "GT": "compare",
    "GE": "compare",
    "And": "compare",
    "Or": "compare",
}


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
        is_float=all("float" in dtype for dtype in dtypes),
        is_constant=bool(op.attrs and "const_matrix" in op.attrs),
        counts=NO_OPERATIONS,
        output_bytes=output_bytes if len(output_bytes) > 1 else (),
    )
    if operation.is_placeholder:
        shape = [constant(extent) for extent in op.output(0).shape]
        return replace(operation, axis_extents=tuple(1 if extent is None else extent for extent in shape))
    return _ComputeReader(op, by_address).read(operation)


def element_bytes(dtype: str) -> int:
    """Bytes of an element of a type, all its lanes: what TVM allocates for it, whole bytes."""
    from tvm import DataType

    parsed = DataType(dtype)
    return max(1, (parsed.bits * parsed.lanes + 7) // 8)


def lanes_of(dtype: str) -> int:
    """The lanes of a type: 4 for "float32x4"."""
    lanes = dtype.rpartition("x")[2]
    return int(lanes) if lanes.isdigit() and lanes != dtype else 1


def address(obj: Any) -> int:
    """The address of a TVM object: its identity, as long as somebody holds it."""
    handle = obj.handle
    return int(getattr(handle, "value", handle) or 0)


def constant(value: Any) -> int | None:
    """A number of TVM's, or None for an expression."""
    constant = getattr(value, "value", None)
    return int(constant) if isinstance(constant, int) else None


class _ComputeReader:
    """Reads a `te.ComputeOp`."""

    def __init__(self, op: Any, by_address: dict[int, OperationKey]) -> None:
        self._op, self._by_address = op, by_address
        bodies = list(op.body)
        self._reduces = type(bodies[0]).__name__ == "Reduce"
        # a reduction of several outputs repeats all its sources in every body: it is read once
        self._bodies = bodies[:1] if self._reduces else bodies

    def read(self, operation: Operation) -> Operation:
        """The operation, with what it computes."""
        axes = [*self._op.axis, *self._op.reduce_axis]
        body = tuple(self._node(part) for part in self._bodies)
        init = tuple(self._node(part) for part in self._bodies[0].init) if self._reduces else ()
        domains: list[tuple[int, Domain]] = []
        extents: dict[str, int] = {}
        for number, axis in enumerate(axes):
            extent = constant(axis.dom.extent)
            if extent is None or constant(axis.dom.min) != 0:
                domain = Domain(self._node(axis.dom.min), self._node(axis.dom.extent))
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
                indices = (self._node(index) for index in node.indices)
                found.extend((i, size) for i, size in zip(indices, sizes, strict=True) if size is not None)

        for body in self._bodies:
            for source in body.source if self._reduces else [body]:
                post_order_visit(source, visit)
        return found

    def _node(self, expression: Any, given: Sequence[tuple[str, Node]] = ()) -> Node:
        """Reads a `tvm.tir.PrimExpr` into a tree; `given` are the values of the variables of Lets around it.

        A reduction becomes its sources, the combiner's operations and its condition.
        """
        kind = type(expression).__name__
        if kind in ("IntImm", "FloatImm"):
            return Node("Const", float(expression.value))
        if kind in ("Var", "SizeVar"):
            return Node("Var", expression.name)
        if kind == "ProducerLoad":
            return self._load(expression, given)
        if kind == "Reduce":
            return self._reduction(expression)
        if kind == "Let":
            value = self._node(expression.value, given)
            inner = (*given, (expression.var.name, value))
            return Node("Let", expression.var.name, (value, self._node(expression.body, inner)))
        read = _CHILDREN.get(kind)
        if read is None:
            raise ValueError(f"{self._op.name} has an expression of a kind that is not known: {kind}")
        name, category, children = read(expression)
        nodes = tuple(self._node(child, given) for child in children)
        operations = float(lanes_of(str(expression.dtype))) if category else 1.0
        return Node("Select" if name == "tir.if_then_else" else kind, name, nodes, category, operations)

    def _load(self, expression: Any, given: Sequence[tuple[str, Node]]) -> Node:
        """A load's value is the TensorKey of what is read. Cache steps rebuild operations, so an address may be stale:
        such a stage is found by its name, which is then its own."""
        tensor = expression.producer
        operation = tensor.op
        indices = []
        for part in expression.indices:
            index = self._node(part, given)
            for name, value in reversed(given):
                index = Node("Given", name, (value, index))
            indices.append(index)
        key = self._by_address.get(address(operation), (operation.name, 0))
        return Node("Load", (*key, int(tensor.value_index)), tuple(indices))

    def _reduction(self, expression: Any) -> Node:
        parts = [self._node(source) for source in expression.source]
        parts += [_only_operations(self._node(result)) for result in expression.combiner.result]
        if constant(expression.condition) is None:
            parts.append(Node("Condition", None, (self._node(expression.condition),), "select"))
        return Node("Reduce", None, tuple(parts))


def _only_operations(node: Node) -> Node:
    """A combiner's operations, without its own variables."""
    if node.kind == "Var":
        return Node("Const", 0.0)
    return replace(node, children=tuple(_only_operations(c) for c in node.children))


# What a kind of expression is read as: its name among calls, the category of its operation, its children.
_Parts = tuple[str | None, str | None, Sequence[Any]]


def _binary(expression: Any) -> _Parts:
    operands = (expression.a, expression.b)
    floating = "float" in str(operands[0].dtype)
    return None, f"float_{_BINARY[type(expression).__name__]}" if floating else "integer", operands


def _call(expression: Any) -> _Parts:
    name = getattr(expression.op, "name", "")
    arguments = [a for a in expression.args if type(a).__name__ != "StringImm"]
    if name == "tir.if_then_else":
        return name, "select", arguments
    if name in ("tir.likely", "tir.reinterpret"):
        return name, None, arguments
    return name, "float_math" if "float" in str(expression.dtype) else "integer", arguments


_CHILDREN: Mapping[str, Callable[[Any], _Parts]] = {
    "Cast": lambda e: (None, "cast", (e.value,)),
    "Select": lambda e: (None, "select", (e.condition, e.true_value, e.false_value)),
    "Not": lambda e: (None, "integer", (e.a,)),
    "Call": _call,
    "Broadcast": lambda e: (None, None, (e.value,)),
    "Ramp": lambda e: (None, None, (e.base, e.stride)),
    "Shuffle": lambda e: (None, None, (*e.vectors, *e.indices)),
    "StringImm": lambda e: (None, None, ()),
    **dict.fromkeys(_BINARY, _binary),
}
"""By the class of TVM's expression."""
