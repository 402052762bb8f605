"""Convolutions by Winograd's transformation, which Relay has for auto_scheduler alone, and what they stand for.

Where auto_scheduler is on, Relay makes some 3x3 convolutions in NHWC into `WINOGRAD`, of weights that are transformed
when the network is compiled. TVM has no schedule for it untuned: then the convolution itself is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WINOGRAD = "nn.contrib_conv2d_winograd_without_weight_transform"
"""The operator's name."""

Shape = tuple[int, ...]


def winograd_key(attributes: Any, inputs: Sequence[Any], output: Any) -> tuple[Any, ...]:
    """What a convolution and the `WINOGRAD` that Relay makes of it have in common; the weights' shape may be packed.

    With strides of 1, data, padding and output give the size of the kernel.

    Args:
        attributes, inputs, output: the operator's, as Relay asks for its definition.
    """
    shapes = (tuple(int(extent) for extent in tensor.shape) for tensor in (inputs[0], output))
    return *shapes, str(inputs[0].dtype), tuple(int(one) for one in attributes.get_int_tuple("padding"))


def plain_convolutions(function: Any) -> Any:
    """A Relay function with every `WINOGRAD` of a weight that is a parameter made into "nn.conv2d" again.

    The parameter keeps its name; its shape becomes that of untransformed weights.
    """
    from tvm import relay

    weights: dict[Any, Any] = {}

    def find(node: Any) -> None:
        if isinstance(node, relay.Call) and _name(node) == WINOGRAD and isinstance(node.args[1], relay.Var):
            kind = node.args[1].checked_type
            shape = _plain_shape(tuple(int(extent) for extent in kind.shape), int(node.attrs.tile_size))
            weights[node.args[1]] = relay.var(node.args[1].name_hint, shape=shape, dtype=kind.dtype)

    class Plain(relay.ExprMutator):
        def visit_var(self, var: Any) -> Any:
            return weights.get(var, var)

        def visit_call(self, call: Any) -> Any:
            if _name(call) != WINOGRAD or call.args[1] not in weights:
                return super().visit_call(call)
            kernel = weights[call.args[1]]
            return relay.nn.conv2d(
                self.visit(call.args[0]),
                kernel,
                strides=call.attrs.strides,
                padding=call.attrs.padding,
                dilation=call.attrs.dilation,
                groups=call.attrs.groups,
                channels=kernel.type_annotation.shape[3],
                kernel_size=kernel.type_annotation.shape[:2],
                data_layout=call.attrs.data_layout,
                kernel_layout=call.attrs.kernel_layout,
                out_layout=call.attrs.out_layout,
                out_dtype=call.attrs.out_dtype,
            )

    relay.analysis.post_order_visit(function.body, find)
    if not weights:
        return function
    plain = relay.Function([weights.get(var, var) for var in function.params], Plain().visit(function.body))
    return relay.transform.InferType()(_module(plain))["main"]


def _plain_shape(transformed: Shape, tile_size: int) -> Shape:
    """(height, width, input channels, output channels) of weights, from the shape of the transformed ones."""
    height, width, outputs, inputs = transformed
    return height - tile_size + 1, width - tile_size + 1, inputs, outputs


def _name(call: Any) -> str:
    return str(getattr(call.op, "name", ""))


def _module(function: Any) -> Any:
    import tvm

    return tvm.IRModule.from_expr(function)
