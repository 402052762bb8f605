"""A TorchScript program with branches, loops or lists, as a module that `torch.jit.trace` can follow.

TVM's front end reads straight programs. Here a graph with all calls inlined is gone through node by node: numbers,
lists and branches are worked out in Python, and operators on tensors are called where they are known to take no file. A
trace of that is straight. TorchScript's own interpreter, which would do whatever a file says, is not used.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.networks.torch_operators import takes_no_file

Values = dict[str, Any]

_CONTROL = ("prim::Constant", "prim::GetAttr", "prim::If", "prim::Loop", "prim::RaiseException")


def _set_item(container: Any, key: Any, value: Any) -> None:
    container[key] = value


_PYTHON: Mapping[str, Callable[..., Any]] = {
    "aten::Bool": bool,
    "aten::Float": float,
    "aten::Int": int,
    "aten::IntImplicit": int,
    "aten::ScalarImplicit": lambda t: t.item(),
    "aten::__contains__": lambda container, item: item in container,
    "aten::__getitem__": operator.getitem,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__not__": operator.not_,
    "aten::_set_item": _set_item,
    "aten::append": lambda items, item: items.append(item),
    "aten::dim": lambda t: t.dim(),
    "aten::format": lambda text, *_: str(text),
    "aten::is_autocast_enabled": lambda: False,
    "aten::is_floating_point": lambda t: t.is_floating_point(),
    "aten::is_grad_enabled": lambda: True,
    "aten::keys": lambda items: list(items.keys()),
    "aten::len": len,
    "aten::list": list,
    "aten::numel": lambda t: int(t.numel()),
    "aten::size": lambda t, dim=None: [int(d) for d in t.shape] if dim is None else int(t.shape[dim]),
    "aten::values": lambda items: list(items.values()),
    "aten::warn": lambda *_: None,
    "prim::DictConstruct": lambda *items: dict(zip(items[::2], items[1::2], strict=True)),
    "prim::ListConstruct": lambda *items: list(items),
    "prim::ListUnpack": lambda items: items,
    "prim::NumToTensor": torch.tensor,
    "prim::TupleConstruct": lambda *items: items,
    "prim::TupleIndex": operator.getitem,
    "prim::TupleUnpack": lambda items: items,
    "prim::Uninitialized": lambda: None,
    "prim::data": lambda t: t,
    "prim::device": lambda t: t.device,
    "prim::dtype": lambda t: t.dtype,
    "prim::is_cuda": lambda t: t.is_cuda,
    "prim::is_nested": lambda t: t.is_nested,
    "prim::max": max,
    "prim::min": min,
    "prim::requires_grad": lambda _: True,
    "prim::type": lambda device: device.type,
    "prim::unchecked_cast": lambda value: value,
}
"""What is not an operator on tensors. Gradients are said to be wanted: attention then takes no fused fast path."""

_ON_NUMBERS: Mapping[str, Callable[..., Any]] = {
    **{f"aten::{name}": getattr(operator, name) for name in ("add", "sub", "mul", "neg", "eq", "ne", "lt", "le")},
    **{f"aten::{name}": getattr(operator, name) for name in ("gt", "ge", "pow", "floordiv", "truediv")},
    "aten::__and__": operator.and_,
    "aten::__or__": operator.or_,
    "aten::__range_length": lambda low, high, step: len(range(low, high, step)),
    "aten::__derive_index": lambda index, low, step: low + index * step,
    "aten::ceil": math.ceil,
    "aten::div": operator.truediv,
    "aten::floor": math.floor,
    "aten::remainder": operator.mod,
    "aten::slice": lambda items, low, high, step: items[low:high:step],
    "aten::sqrt": math.sqrt,
}
"""Operators that are on tensors as well; these are for numbers, texts and lists."""


def is_straight(script: Any) -> bool:
    """Whether a script module has no branches and no loops."""
    graph = script.graph.copy()
    torch._C._jit_pass_inline(graph)
    return not any(node.kind() in ("prim::If", "prim::Loop") for node in graph.nodes())


class ScriptedProgram(nn.Module):
    """A loaded script module as Python runs it; `names` are the arguments of its `forward`, those with a default last.

    Raises WorkloadError that names the operators that are not run.
    """

    def __init__(self, where: str, script: Any) -> None:
        super().__init__()
        self.script = script
        graph = script.graph.copy()
        torch._C._jit_pass_inline(graph)
        self._graph = graph
        if refused := sorted({node.kind() for node in _nodes(graph) if not _is_known(node)}):
            raise WorkloadError(
                f"{where} is a scripted program, and it uses operators that are not run from a file: "
                f"{', '.join(refused)}. Save a trace (torch.jit.trace) or an exported program (torch.export)"
            )
        self._defaults = [a.default_value for a in script.forward.schema.arguments[1:] if a.has_default_value()]

    def forward(self, *inputs: Tensor) -> Any:
        given = [self.script, *inputs]
        names = [value.debugName() for value in self._graph.inputs()]
        given += self._defaults[len(self._defaults) - (len(names) - len(given)) :] if len(names) > len(given) else []
        values: Values = dict(zip(names, given, strict=True))
        results = _run(self._graph, values)
        return results[0] if len(results) == 1 else tuple(results)


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _is_known(node: Any) -> bool:
    kind = node.kind()
    if kind in _CONTROL or kind in _PYTHON:
        return True
    if not kind.startswith("aten::"):
        return False
    return kind in _ON_NUMBERS or takes_no_file(torch._C.parse_schema(node.schema()))


def _run(block: Any, values: Values) -> list[Any]:
    for node in block.nodes():
        results = _call(node, [values[i.debugName()] for i in node.inputs()], values)
        values.update(zip([o.debugName() for o in node.outputs()], results, strict=True))
    return [values[o.debugName()] for o in block.outputs()]


def _call(node: Any, inputs: list[Any], values: Values) -> list[Any]:
    """What a node gives, one value for each of its outputs."""
    kind = node.kind()
    if kind == "prim::Constant":
        return [node.output().toIValue()]
    if kind == "prim::GetAttr":
        return [getattr(inputs[0], node.s("name"))]
    if kind == "prim::If":
        return _run(list(node.blocks())[0 if inputs[0] else 1], values)
    if kind == "prim::Loop":
        return _loop(node, inputs, values)
    if kind == "prim::RaiseException":
        raise WorkloadError(str(inputs[0]))
    if kind in _PYTHON:
        result = _PYTHON[kind](*inputs)
    elif kind in _ON_NUMBERS and not any(isinstance(value, Tensor) for value in inputs):
        result = _ON_NUMBERS[kind](*inputs)
    else:
        result = _on_tensors(node, inputs)
    count = node.outputsSize()
    return [] if count == 0 else [result] if count == 1 else list(result)


def _loop(node: Any, inputs: list[Any], values: Values) -> list[Any]:
    """`prim::Loop`: at most so many turns, while a condition holds, with values carried from turn to turn."""
    most, going, *carried = inputs
    (block,) = node.blocks()
    names = [value.debugName() for value in block.inputs()]
    turn = 0
    while going and turn < most:
        values.update(zip(names, [turn, *carried], strict=True))
        going, *carried = _run(block, values)
        turn += 1
    return carried


def _on_tensors(node: Any, inputs: list[Any]) -> Any:
    """What the overload of an operator that a node names gives."""
    schema = torch._C.parse_schema(node.schema())
    packet = getattr(torch.ops.aten, schema.name.removeprefix("aten::"))
    overload: Callable[..., Any] = getattr(packet, schema.overload_name or "default")
    return overload(**{a.name: value for a, value in zip(schema.arguments, inputs, strict=True)})
