"""TVM compute bodies as light Python trees, and the linear forms of their indices.

TVM's expression objects cost microseconds a visit; a body is read once into tuples, then analysed as often as the
inlining of its stage asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, isfinite
from typing import Any

CATEGORIES = ("float_add", "float_mul", "float_div", "float_compare", "float_math", "integer", "select", "cast")
"""What an operation is counted as. Additions include subtractions; comparisons include min and max."""

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
_INDEX_KINDS = frozenset({"Add", "Sub", "Mul", "Div", "Mod", "FloorDiv", "FloorMod", "Min", "Max"})


@dataclass(frozen=True)
class Node:
    """One expression node. `kind` is TVM's class name; `value` is the constant, the variable's name, or, for a
    load, the (operation name, operation address) of the stage that is read."""

    kind: str
    value: Any = None
    children: tuple[Node, ...] = ()
    category: str | None = None


def read_expression(expression: Any) -> Node:
    """Reads a `tvm.tir.PrimExpr` into a tree. A reduction becomes its source plus the combiner's operations."""
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


@dataclass(frozen=True)
class LinearForm:
    """sum(coefficients[v] * v) + a constant between `low` and `high`, its span at most `limit`.

    `affine` is False where the form only approximates the index (division, modulo, data-dependent parts).
    """

    coefficients: Mapping[int, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    limit: float = float("inf")
    affine: bool = True


Environment = Mapping[str, LinearForm]


def linear_form(node: Node, environment: Environment) -> LinearForm:
    """The linear form of an index expression, over the axes that `environment` gives to its variables."""
    if node.kind == "Const":
        return LinearForm({}, node.value, node.value)
    if node.kind == "Var":
        return environment.get(node.value, LinearForm(affine=False))
    if node.kind == "Cast":
        return linear_form(node.children[0], environment)
    if node.kind == "Call" and node.value == "tir.likely":
        return linear_form(node.children[0], environment)
    if node.kind == "Select":
        return _union([linear_form(c, environment) for c in node.children[1:]])
    if node.kind not in _INDEX_KINDS:
        return LinearForm(low=float("-inf"), high=float("inf"), affine=False)
    a, b = (linear_form(c, environment) for c in node.children)
    if node.kind == "Add":
        return _add(a, b, 1.0)
    if node.kind == "Sub":
        return _add(a, b, -1.0)
    if node.kind in ("Min", "Max"):
        return _union([a, b])
    if node.kind == "Mul" and not a.coefficients:
        a, b = b, a
    constant = b.low if not b.coefficients and b.low == b.high else None
    if constant is None or constant == 0:
        merged = _union([a, b])
        return LinearForm(merged.coefficients, float("-inf"), float("inf"), affine=False)
    if node.kind == "Mul":
        return _scale(a, constant)
    if node.kind in ("Div", "FloorDiv"):
        scaled = _scale(a, 1.0 / constant)
        return LinearForm(scaled.coefficients, _floor(scaled.low), _floor(scaled.high), scaled.limit, affine=False)
    return LinearForm(a.coefficients, 0.0, 0.0, min(a.limit, abs(constant)), affine=False)


def _add(a: LinearForm, b: LinearForm, sign: float) -> LinearForm:
    coefficients = dict(a.coefficients)
    for axis, c in b.coefficients.items():
        coefficients[axis] = coefficients.get(axis, 0.0) + sign * c
    low, high = (b.low, b.high) if sign > 0 else (-b.high, -b.low)
    return LinearForm(
        {k: c for k, c in coefficients.items() if c != 0.0},
        a.low + low,
        a.high + high,
        a.limit + b.limit,
        a.affine and b.affine,
    )


def _floor(x: float) -> float:
    return float(floor(x)) if isfinite(x) else x


def _scale(a: LinearForm, factor: float) -> LinearForm:
    low, high = sorted((a.low * factor, a.high * factor))
    return LinearForm({k: c * factor for k, c in a.coefficients.items()}, low, high, a.limit * abs(factor), a.affine)


def _union(forms: Sequence[LinearForm]) -> LinearForm:
    coefficients: dict[int, float] = {}
    for form in forms:
        for axis, c in form.coefficients.items():
            if abs(c) > abs(coefficients.get(axis, 0.0)):
                coefficients[axis] = c
    return LinearForm(
        coefficients, min(f.low for f in forms), max(f.high for f in forms), max(f.limit for f in forms), affine=False
    )
