"""The bodies of blocks: what they store and load, with the loops and Lets that are inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.expression_reader import ExpressionReader, Given
from tvm_gnn_cost.meta_schedule.names import NAMES

KeyOf = Any
"""(buffer) -> TensorKey | None: what names a buffer that is read; None for one that a block has for itself."""


@dataclass
class Body:
    """What a body is made of.

    Attributes:
        stores: its `BufferStore`s, each with the Lets around it.
        conditions: the conditions of its `if`s.
        loops: the `For`s inside, outermost first.
        is_opaque: it has what is no store: calls to intrinsics, loops without a bound.
    """

    stores: list[tuple[Any, tuple[tuple[Any, Any], ...]]] = field(default_factory=list)
    conditions: list[Any] = field(default_factory=list)
    loops: list[Any] = field(default_factory=list)
    is_opaque: bool = False


def read_body(statement: Any) -> Body:
    """Collects a block's body."""
    body = Body()
    _collect(statement, (), body)
    return body


def _collect(statement: Any, lets: tuple[tuple[Any, Any], ...], body: Body) -> None:
    kind = type(statement).__name__
    if kind == "BufferStore":
        body.stores.append((statement, lets))
    elif kind == "SeqStmt":
        for inner in statement.seq:
            if type(inner).__name__ == "Bind":
                lets = (*lets, (inner.var, inner.value))
            else:
                _collect(inner, lets, body)
    elif kind == "LetStmt":
        _collect(statement.body, (*lets, (statement.var, statement.value)), body)
    elif kind == "IfThenElse":
        body.conditions.append(statement.condition)
        _collect(statement.then_case, lets, body)
        if statement.else_case is not None:
            _collect(statement.else_case, lets, body)
    elif kind == "For" and type(statement.extent).__name__ == "IntImm":
        body.loops.append(statement)
        _collect(statement.body, lets, body)
    elif kind in ("AttrStmt", "Allocate", "AllocateConst", "DeclBuffer") and hasattr(statement, "body"):
        _collect(statement.body, lets, body)
    elif kind not in ("AllocBuffer", "DeclBuffer", "AssertStmt"):
        body.is_opaque = True


class BodyReader(ExpressionReader):
    """Reads the expressions of a block into nodes over the axes of its stage.

    Args:
        owner: the block's name, for messages.
        axes: what the block's variables are, by address.
        key_of: names the buffers that are read.
    """

    def __init__(self, owner: str, axes: Mapping[int, Node], key_of: KeyOf) -> None:
        super().__init__(f"block {owner}")
        self._axes, self._key_of = axes, key_of

    def dtype(self, expression: Any) -> str:
        return NAMES.dtype(expression)

    def variable(self, expression: Any) -> Node:
        found = self._axes.get(NAMES.address(expression))
        return found if found is not None else Node("Var", str(expression.name))

    def load(self, expression: Any, given: Given) -> Node | None:
        """A load of a buffer of the block's own is no read."""
        if type(expression).__name__ != NAMES.load:
            return None
        indices = tuple(self.given_index(index, given) for index in expression.indices)
        key = self._key_of(NAMES.loaded(expression))
        return Node("Load", key, indices) if key is not None else Node("Own", None, indices)

    def other(self, expression: Any, given: Given) -> Node:
        """A variable that holds a buffer is an argument of calls, and nothing that is computed."""
        if type(expression).__name__ in ("Buffer", "Op", "GlobalVar"):
            return Node("Own", None)
        return super().other(expression, given)

    def under(self, expression: Any, lets: Sequence[tuple[Any, Any]]) -> Node:
        """The node of an expression inside Lets; the values of these run before it."""
        given: list[tuple[str, Node]] = []
        for variable, value in lets:
            given.append((str(variable.name), self.node(value, given)))
        node = self.node(expression, given)
        for name, value in reversed(given):
            node = Node("Let", name, (value, node))
        return node
