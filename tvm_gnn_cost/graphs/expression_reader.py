"""From TVM's expressions to light trees: what is the same for tensor expressions and TIR, in every release of TVM.

It knows the expressions by the names of their classes and attributes alone. What a load names, and where the type of an
expression is, are for the scheduler's side to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm_gnn_cost.graphs.dtypes import is_float, lanes_of
from tvm_gnn_cost.graphs.expression import Node

Given = Sequence[tuple[str, Node]]
"""The values of the variables of Lets around an expression."""

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
_BITWISE = {
    "LShift": "tir.shift_left",
    "RShift": "tir.shift_right",
    "BitwiseAnd": "tir.bitwise_and",
    "BitwiseOr": "tir.bitwise_or",
    "BitwiseXor": "tir.bitwise_xor",
}
"""Classes of their own since TVM 0.27; calls before."""


class ExpressionReader:
    """Reads expressions of the operation `owner` (a name, for messages)."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def load(self, expression: Any, given: Given) -> Node | None:
        """The node of a load, None for an expression of another class."""
        raise NotImplementedError

    def variable(self, expression: Any) -> Node:
        """The node of a variable."""
        return Node("Var", str(expression.name))

    def dtype(self, expression: Any) -> str:
        """The type of an expression, as "float32"."""
        return str(expression.dtype)

    def other(self, expression: Any, given: Given) -> Node:
        """The node of an expression that is in no table. Raises ValueError where it is not known."""
        raise ValueError(f"{self.owner} has an expression of a kind that is not known: {type(expression).__name__}")

    def node(self, expression: Any, given: Given = ()) -> Node:
        """Reads an expression into a tree. Raises ValueError for one of a kind that is not known."""
        kind = type(expression).__name__
        if kind in ("IntImm", "FloatImm"):
            return Node("Const", float(expression.value))
        if kind in ("Var", "SizeVar"):
            return self.variable(expression)
        load = self.load(expression, given)
        if load is not None:
            return load
        if kind == "Let":
            value = self.node(expression.value, given)
            inner = (*given, (expression.var.name, value))
            return Node("Let", expression.var.name, (value, self.node(expression.body, inner)))
        read = _CHILDREN.get(kind)
        if read is None:
            return self.other(expression, given)
        name, category, children = read(expression, self.dtype)
        nodes = tuple(self.node(child, given) for child in children)
        operations = float(lanes_of(self.dtype(expression))) if category else 1.0
        if name == "tir.if_then_else":
            kind = "Select"
        elif kind in _BITWISE:
            kind = "Call"
        return Node(kind, name, nodes, category, operations)

    def given_index(self, expression: Any, given: Given) -> Node:
        """An index of a load in the bodies of the Lets of `given`."""
        index = self.node(expression, given)
        for name, value in reversed(given):
            index = Node("Given", name, (value, index))
        return index


def operator_name(expression: Any) -> str:
    """What a Call calls, "tir.exp": today's TVM says tirx or prim for what was tir. "" where it is no operator."""
    namespace, dot, name = str(getattr(expression.op, "name", "")).partition(".")
    return f"tir.{name}" if dot and namespace in ("tirx", "prim") else namespace + dot + name


# What a kind of expression is read as: its name among calls, the category of its operation, its children.
_Parts = tuple[str | None, str | None, Sequence[Any]]
_TypeOf = Callable[[Any], str]


def _binary(expression: Any, dtype: _TypeOf) -> _Parts:
    operands = (expression.a, expression.b)
    floating = is_float(dtype(operands[0]))
    return None, f"float_{_BINARY[type(expression).__name__]}" if floating else "integer", operands


def _bitwise(expression: Any, dtype: _TypeOf) -> _Parts:
    return _BITWISE[type(expression).__name__], "integer", (expression.a, expression.b)


def _call(expression: Any, dtype: _TypeOf) -> _Parts:
    name = operator_name(expression)
    arguments = [a for a in expression.args if type(a).__name__ != "StringImm"]
    if name == "tir.if_then_else":
        return name, "select", arguments
    if name in ("tir.likely", "tir.reinterpret"):
        return name, None, arguments
    return name, "float_math" if is_float(dtype(expression)) else "integer", arguments


_CHILDREN: Mapping[str, Callable[[Any, _TypeOf], _Parts]] = {
    "Cast": lambda e, _: (None, "cast", (e.value,)),
    "Select": lambda e, _: (None, "select", (e.condition, e.true_value, e.false_value)),
    "Not": lambda e, _: (None, "integer", (e.a,)),
    "BitwiseNot": lambda e, _: (None, "integer", (e.a,)),
    "Call": _call,
    "Broadcast": lambda e, _: (None, None, (e.value,)),
    "Ramp": lambda e, _: (None, None, (e.base, e.stride)),
    "Shuffle": lambda e, _: (None, None, (*e.vectors, *e.indices)),
    "StringImm": lambda e, _: (None, None, ()),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_BITWISE, _bitwise),
}
"""By the class of TVM's expression."""
