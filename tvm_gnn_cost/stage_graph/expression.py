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

    `affine` is False where the form only approximates the index (division, modulo, data-dependent parts). The whole
    lies between `least` and `most`, whatever the axes.
    """

    coefficients: Mapping[int, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    limit: float = float("inf")
    affine: bool = True
    least: float = float("-inf")
    most: float = float("inf")

    @staticmethod
    def axis(number: int, extent: int) -> LinearForm:
        """An axis that runs from 0 to extent - 1."""
        return LinearForm({number: 1.0}, least=0.0, most=extent - 1.0)

    @staticmethod
    def constant(value: float) -> LinearForm:
        """A number."""
        return LinearForm({}, value, value, least=value, most=value)


Environment = Mapping[str, LinearForm]


def linear_form(node: Node, environment: Environment) -> LinearForm:
    """The linear form of an index expression, over the axes that `environment` gives to its variables."""
    if node.kind == "Const":
        return LinearForm.constant(node.value)
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
    if constant == 0.0 and node.kind == "Mul":
        return LinearForm.constant(0.0)
    if constant is None or constant == 0.0:
        merged = _union([a, b])
        return LinearForm(merged.coefficients, float("-inf"), float("inf"), affine=False)
    if node.kind == "Mul":
        return _scale(a, constant)
    scaled = _scale(a, 1.0 / constant)
    least, most = _floor(scaled.least), _floor(scaled.most)
    one_quotient = least == most and least >= 0.0  # as of co // (CO // groups) in a convolution of one group
    if node.kind in ("Div", "FloorDiv"):
        if one_quotient:
            return LinearForm.constant(least)
        return LinearForm(
            scaled.coefficients, _floor(scaled.low), _floor(scaled.high), scaled.limit, False, least, most
        )
    if one_quotient and constant > 0.0:
        return _add(a, LinearForm.constant(least * constant), -1.0)
    return LinearForm(
        a.coefficients, 0.0, 0.0, min(a.limit, abs(constant)), False, -abs(constant) + 1.0, abs(constant) - 1.0
    )


def _add(a: LinearForm, b: LinearForm, sign: float) -> LinearForm:
    coefficients = dict(a.coefficients)
    for axis, c in b.coefficients.items():
        coefficients[axis] = coefficients.get(axis, 0.0) + sign * c
    low, high = (b.low, b.high) if sign > 0 else (-b.high, -b.low)
    least, most = (b.least, b.most) if sign > 0 else (-b.most, -b.least)
    return LinearForm(
        {k: c for k, c in coefficients.items() if c != 0.0},
        a.low + low,
        a.high + high,
        a.limit + b.limit,
        a.affine and b.affine,
        a.least + least,
        a.most + most,
    )


def _floor(x: float) -> float:
    return float(floor(x)) if isfinite(x) else x


def _scale(a: LinearForm, factor: float) -> LinearForm:
    if factor == 0.0:
        return LinearForm.constant(0.0)
    low, high = sorted((a.low * factor, a.high * factor))
    least, most = sorted((a.least * factor, a.most * factor))
    coefficients = {k: c * factor for k, c in a.coefficients.items()}
    return LinearForm(coefficients, low, high, a.limit * abs(factor), a.affine, least, most)


def _union(forms: Sequence[LinearForm]) -> LinearForm:
    coefficients: dict[int, float] = {}
    for form in forms:
        for axis, c in form.coefficients.items():
            if abs(c) > abs(coefficients.get(axis, 0.0)):
                coefficients[axis] = c
    return LinearForm(
        coefficients,
        min(f.low for f in forms),
        max(f.high for f in forms),
        max(f.limit for f in forms),
        False,
        min(f.least for f in forms),
        max(f.most for f in forms),
    )
