"""The bodies of operations as light Python trees, and the linear forms of their indices.

TVM's expression objects cost microseconds a visit; a body is read once into a tree, then analysed as often as the
inlining of its stage asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor, isfinite, log2
from typing import Any

CATEGORIES = ("float_add", "float_mul", "float_div", "float_compare", "float_math", "integer", "select", "cast")
"""What an operation is counted as. Additions include subtractions; comparisons include min and max."""


@dataclass(frozen=True)
class Node:
    """One expression node: `operations` operations of `category`, one for each lane of its vector.

    `kind` is TVM's class name; `value` is the constant, the variable's name, or, for a load, what names the tensor that
    is read (`operation.TensorKey`). "Let" has its value and its body as children, and `value` is the variable. "Given"
    is the same where the value is computed elsewhere: an index in the body of a Let.
    """

    kind: str
    value: Any = None
    children: tuple[Node, ...] = ()
    category: str | None = None
    operations: float = 1.0


@dataclass(frozen=True)
class LinearForm:
    """sum(coefficients[v] * v) + a constant between `low` and `high`, its span at most `limit`.

    `affine` is False where the form only approximates the index (division, modulo, data-dependent parts). The whole
    lies between `least` and `most`, whatever the axes. Of `scattered` axes, on which it depends through data, the
    coefficients say no more than that: neighbours may be anywhere.
    """

    coefficients: Mapping[int, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    limit: float = float("inf")
    affine: bool = True
    least: float = float("-inf")
    most: float = float("inf")
    scattered: frozenset[int] = frozenset()

    @staticmethod
    def axis(number: int, extent: int) -> LinearForm:
        """An axis that runs from 0 to extent - 1."""
        return LinearForm({number: 1.0}, least=0.0, most=extent - 1.0)

    @staticmethod
    def constant(value: float) -> LinearForm:
        """A number."""
        return LinearForm({}, value, value, least=value, most=value)

    def plus(self, other: LinearForm) -> LinearForm:
        """The sum of both."""
        return _add(self, other, 1.0)


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
    if node.kind in ("Let", "Given"):
        value, body = node.children
        return linear_form(body, {**environment, node.value: linear_form(value, environment)})
    forms = [linear_form(c, environment) for c in node.children]
    combine = _OF_TWO.get(node.value if node.kind == "Call" else node.kind)
    if combine is not None and len(forms) == 2:
        return combine(*forms)
    form = _unknown(*forms)
    return replace(form, scattered=frozenset(form.coefficients)) if node.kind == "Load" else form


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
    return LinearForm(scaled.coefficients, low, high, scaled.limit, False, least, most, scaled.scattered)


def _modulo(a: LinearForm, b: LinearForm) -> LinearForm:
    divisor = _number(b)
    if not divisor:
        return _unknown(a, b)
    quotient = _only_quotient(_scale(a, 1.0 / divisor))
    if quotient is not None and divisor > 0.0:
        return _add(a, LinearForm.constant(quotient * divisor), -1.0)
    span = abs(divisor)
    return LinearForm(a.coefficients, 0.0, 0.0, min(a.limit, span), False, -span + 1.0, span - 1.0, a.scattered)


def _shift_left(a: LinearForm, b: LinearForm) -> LinearForm:
    bits = _number(b)
    return _unknown(a, b) if bits is None else _scale(a, 2.0**bits)


def _shift_right(a: LinearForm, b: LinearForm) -> LinearForm:
    bits = _number(b)
    return _unknown(a, b) if bits is None else _divide(a, LinearForm.constant(2.0**bits))


def _mask(a: LinearForm, b: LinearForm) -> LinearForm:
    """A bitwise "and" with 2^n - 1 is a remainder."""
    mask = _number(b)
    if mask is None or mask < 0.0 or not log2(mask + 1.0).is_integer():
        return _unknown(a, b)
    return _modulo(a, LinearForm.constant(mask + 1.0))


def _number(form: LinearForm) -> float | None:
    """The one value of the form; None where it depends on axes or is not known."""
    return form.low if not form.coefficients and form.low == form.high else None


def _only_quotient(scaled: LinearForm) -> float | None:
    """What the form rounds down to, if that is one number, as of co // (CO // groups) in a convolution of one group."""
    least, most = _floor(scaled.least), _floor(scaled.most)
    return least if least == most and least >= 0.0 else None


def _unknown(*forms: LinearForm) -> LinearForm:
    """What is known of a product or quotient of forms: which axes it depends on."""
    union = _union([LinearForm(), *forms])
    return LinearForm(union.coefficients, float("-inf"), float("inf"), affine=False, scattered=union.scattered)


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
        a.scattered | b.scattered,
    )


def _floor(x: float) -> float:
    return float(floor(x)) if isfinite(x) else x


def _scale(a: LinearForm, factor: float) -> LinearForm:
    if factor == 0.0:
        return LinearForm.constant(0.0)
    low, high = sorted((a.low * factor, a.high * factor))
    least, most = sorted((a.least * factor, a.most * factor))
    coefficients = {k: c * factor for k, c in a.coefficients.items()}
    return LinearForm(coefficients, low, high, a.limit * abs(factor), a.affine, least, most, a.scattered)


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
        frozenset().union(*(f.scattered for f in forms)),
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
    "tir.shift_left": _shift_left,
    "tir.shift_right": _shift_right,
    "tir.bitwise_and": _mask,
}
