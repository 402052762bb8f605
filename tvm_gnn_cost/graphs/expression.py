"""The bodies of operations as light Python trees, and the linear forms of their indices.

TVM's expression objects cost microseconds a visit; a body is read once into a tree, then analysed as often as the
inlining of its stage asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, isfinite
from typing import Any

CATEGORIES = ("float_add", "float_mul", "float_div", "float_compare", "float_math", "integer", "select", "cast")
"""What an operation is counted as. Additions include subtractions; comparisons include min and max."""


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
    if node.kind == "Cast" or (node.kind == "Call" and node.value == "tir.likely"):
        return linear_form(node.children[0], environment)
    if node.kind == "Select":
        return _union([linear_form(c, environment) for c in node.children[1:]])
    combine = _OF_TWO.get(node.kind)
    if combine is None:
        return LinearForm(low=float("-inf"), high=float("inf"), affine=False)
    a, b = (linear_form(c, environment) for c in node.children)
    return combine(a, b)


def _multiply(a: LinearForm, b: LinearForm) -> LinearForm:
    if not a.coefficients:
        a, b = b, a
    factor = _number(b)
    return _unknown(a, b) if factor is None else _scale(a, factor)


def _divide(a: LinearForm, b: LinearForm) -> LinearForm:
    divisor = _number(b)
    if not divisor:
        return _unknown(a, b)
    scaled = _scale(a, 1.0 / divisor)
    quotient = _only_quotient(scaled)
    if quotient is not None:
        return LinearForm.constant(quotient)
    low, high, least, most = (_floor(x) for x in (scaled.low, scaled.high, scaled.least, scaled.most))
    return LinearForm(scaled.coefficients, low, high, scaled.limit, False, least, most)


def _modulo(a: LinearForm, b: LinearForm) -> LinearForm:
    divisor = _number(b)
    if not divisor:
        return _unknown(a, b)
    quotient = _only_quotient(_scale(a, 1.0 / divisor))
    if quotient is not None and divisor > 0.0:
        return _add(a, LinearForm.constant(quotient * divisor), -1.0)
    span = abs(divisor)
    return LinearForm(a.coefficients, 0.0, 0.0, min(a.limit, span), False, -span + 1.0, span - 1.0)


def _number(form: LinearForm) -> float | None:
    """The one value of the form; None where it depends on axes or is not known."""
    return form.low if not form.coefficients and form.low == form.high else None


def _only_quotient(scaled: LinearForm) -> float | None:
    """What the form rounds down to, if that is one number, as of co // (CO // groups) in a convolution of one group."""
    least, most = _floor(scaled.least), _floor(scaled.most)
    return least if least == most and least >= 0.0 else None


def _unknown(a: LinearForm, b: LinearForm) -> LinearForm:
    """What is known of a product or quotient of two forms: which axes it depends on."""
    return LinearForm(_union([a, b]).coefficients, float("-inf"), float("inf"), affine=False)


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


_OF_TWO: Mapping[str, Callable[[LinearForm, LinearForm], LinearForm]] = {
    "Add": lambda a, b: _add(a, b, 1.0),
    "Sub": lambda a, b: _add(a, b, -1.0),
    "Mul": _multiply,
    "Div": _divide,
    "FloorDiv": _divide,
    "Mod": _modulo,
    "FloorMod": _modulo,
    "Min": lambda a, b: _union([a, b]),
    "Max": lambda a, b: _union([a, b]),
}
