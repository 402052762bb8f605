"""The bodies of operations as light Python trees, and the linear forms of their indices.

TVM's expression objects cost microseconds a visit; a body is read once into a tree, then analysed as often as the
inlining of its stage asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, isfinite
from typing import Any

CATEGORIES = ("float_add", "float_mul", "float_div", "float_compare", "float_math", "integer", "select", "cast")
"""What an operation is counted as. Additions include subtractions; comparisons include min and max."""

_INDEX_KINDS = frozenset({"Add", "Sub", "Mul", "Div", "Mod", "FloorDiv", "FloorMod", "Min", "Max"})


@dataclass(frozen=True)
class Node:
    """One expression node. `kind` is TVM's class name; `value` is the constant, the variable's name, or, for a
    load, what names the stage that is read (`operation.OperationKey`)."""

    kind: str
    value: Any = None
    children: tuple[Node, ...] = ()
    category: str | None = None


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
