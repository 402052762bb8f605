"""TIR's expressions in every TVM: `tir` is `tirx` since 0.25; since 0.27 `arith` is `sym`, and a read is a call.

This module imports TVM, so it is imported late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import te

try:
    from tvm import tirx as tir
except ImportError:
    from tvm import tir
try:
    from tvm import arith
except ImportError:
    from tvm import sym as arith

__all__ = ["dtype_of", "free_variables", "name_of", "read_of", "simplified", "tir", "visit"]


def dtype_of(expression: Any) -> str:
    """The element type, as `float32`."""
    return str(expression.dtype if hasattr(expression, "dtype") else expression.ty.dtype)


def read_of(expression: Any) -> tuple[te.Tensor, list[Any]] | None:
    """The tensor that an expression reads, and at which indices; None where it reads none itself."""
    kind = type(expression).__name__  # where the class is changes with every release
    if kind == "ProducerLoad":
        return expression.producer, list(expression.indices)
    if kind == "Call" and name_of(expression.op) == "te.tensor_load":
        tensor, *indices = expression.args
        return tensor, indices
    return None


def name_of(operator: Any) -> str:
    """The name of what a call calls, as `tir.exp`; empty where it has none."""
    room, _, name = str(getattr(operator, "name", "")).rpartition(".")
    return f"tir.{name}" if room in ("tirx", "prim") else f"{room}.{name}".lstrip(".")


def visit(expression: Any, function: Callable[[Any], object]) -> None:
    """Calls a function with every node of an expression, in no order to rely on; not with what computes a tensor."""
    if hasattr(tir, "stmt_functor"):
        tir.stmt_functor.post_order_visit(expression, lambda node: _nothing(function(node)))
        return
    import tvm_ffi  # type: ignore[import-not-found]  # which came with 0.25

    entries = ((te.Tensor, lambda _: tvm_ffi.WalkResult.SKIP), (Any, lambda node: _nothing(function(node))))
    tvm_ffi.structural_walk(expression, entries, order="pre")


def simplified(expression: Any) -> Any:
    """The expression, as a number where it is one."""
    return arith.Analyzer().simplify(expression)


def free_variables(expression: Any, bound: set[Any]) -> list[str]:
    """The names of the variables of an expression that are not among these."""
    found: list[str] = []
    visit(expression, lambda node: found.append(node.name) if isinstance(node, tir.Var) and node not in bound else None)
    return found


def _nothing(_: object) -> None:
    """Walks take what a callback returns for what to do next."""
