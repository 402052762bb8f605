"""Reads TVM's tensor expressions: operations and their bodies."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.operation import Operation, OperationKey, count_operations

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
    is_placeholder = int(stage.op_type) == 0
    dtype = str(op.output(0).dtype)
    digits = "".join(c for c in dtype.split("x")[0] if c.isdigit())
    axes = [] if is_placeholder else [*op.axis, *op.reduce_axis]
    body = () if is_placeholder else tuple(_name_loads(read_expression(b), by_address) for b in _bodies(op))
    shape = op.output(0).shape if is_placeholder else [axis.dom.extent for axis in op.axis]
    return Operation(
        name=op.name,
        is_placeholder=is_placeholder,
        axis_names=tuple(axis.var.name for axis in axes),
        axis_extents=tuple(_extent(extent) for extent in shape),
        reduce_extents=() if is_placeholder else tuple(_extent(axis.dom.extent) for axis in op.reduce_axis),
        body=body,
        element_bytes=max(1, int(digits or 8) // 8),
        is_float="float" in dtype,
        is_constant=bool(op.attrs and "const_matrix" in op.attrs),
        counts=count_operations(body),
    )


def _extent(value: Any) -> int:
    constant = getattr(value, "value", None)
    return int(constant) if isinstance(constant, int) else 1


def _bodies(op: Any) -> list[Any]:
    """A multi-output reduction repeats all its sources in every body: read it once."""
    bodies = list(op.body)
    return bodies[:1] if type(bodies[0]).__name__ == "Reduce" else bodies


def _name_loads(node: Node, by_address: dict[int, OperationKey]) -> Node:
    """Names the stages that are read. Cache steps rebuild operations, so an address may be stale: such a stage is
    found by its name, which is then its own."""
    children = tuple(_name_loads(c, by_address) for c in node.children)
    value = node.value
    if node.kind == "Load":
        name, where = node.value
        value = by_address.get(where, (name, 0))
    return Node(node.kind, value, children, node.category)


def read_expression(expression: Any) -> Node:
    """Reads a `tvm.tir.PrimExpr` into a tree. A reduction becomes its source plus the combiner's operations.

    A load's value is (name, address) of the operation that is read.
    """
    kind = type(expression).__name__
    if kind in ("IntImm", "FloatImm"):
        return Node("Const", float(expression.value))
    if kind in ("Var", "SizeVar"):
        return Node("Var", expression.name)
    if kind == "ProducerLoad":
        operation = expression.producer.op
        return Node("Load", (operation.name, address(operation)), tuple(read_expression(i) for i in expression.indices))
    if kind == "Reduce":
        parts = [read_expression(s) for s in expression.source]
        parts += [_only_operations(read_expression(r)) for r in expression.combiner.result]
        return Node("Reduce", None, tuple(parts))
    if kind == "Cast":
        return Node("Cast", None, (read_expression(expression.value),), "cast")
    if kind == "Select":
        branches = (expression.condition, expression.true_value, expression.false_value)
        return Node("Select", None, tuple(read_expression(c) for c in branches), "select")
    if kind == "Not":
        return Node("Not", None, (read_expression(expression.a),), "integer")
    if kind == "Let":
        return Node("Let", expression.var.name, (read_expression(expression.value), read_expression(expression.body)))
    if kind == "Call":
        name = getattr(expression.op, "name", "")
        children = tuple(read_expression(a) for a in expression.args if _is_expression(a))
        if name == "tir.if_then_else":
            return Node("Select", None, children, "select")
        cheap = name in ("tir.likely", "tir.reinterpret")
        floating = "float" in str(expression.dtype)
        return Node("Call", name, children, None if cheap else "float_math" if floating else "integer")
    if kind in _BINARY:
        operands = (expression.a, expression.b)
        floating = "float" in str(operands[0].dtype)
        category = f"float_{_BINARY[kind]}" if floating else "integer"
        return Node(kind, None, tuple(read_expression(o) for o in operands), category)
    return Node("Unknown", kind)


def address(obj: Any) -> int:
    """The address of a TVM object: its identity, as long as somebody holds it."""
    handle = obj.handle
    return int(getattr(handle, "value", handle) or 0)


def _is_expression(argument: Any) -> bool:
    return type(argument).__name__ != "StringImm"


def _only_operations(node: Node) -> Node:
    """A combiner's operations, without its own variables."""
    if node.kind == "Var":
        return Node("Const", 0.0)
    return Node(node.kind, node.value, tuple(_only_operations(c) for c in node.children), node.category)
