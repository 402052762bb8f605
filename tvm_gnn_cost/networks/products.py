"""Linear layers as TVM's PyTorch front end should have made them."""

from __future__ import annotations

import math
from typing import Any


def shared_weights(mod: Any) -> Any:
    """A Relay module in which a product of many matrices with one and the same weight is one product.

    TVM's front end makes `torch.nn.functional.linear` of an input with three axes a `batch_matmul` with the weight
    copied for each matrix: once the copies are constants, a weight of 0.8 MB takes 100 MB for a sequence of 128, and no
    schedule can make up for reading them. The values are the same.

    Args:
        mod: a typed `tvm.IRModule`, which is changed.
    """
    from tvm import relay
    from tvm.relay.dataflow_pattern import DFPatternCallback, is_op, rewrite, wildcard

    class SharedWeights(DFPatternCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(require_type=True)
            self.weight = wildcard()
            copies = is_op("broadcast_to")(self.weight)
            self.data, self.copied = wildcard(), is_op("reshape")(copies) | copies
            self.pattern = is_op("nn.batch_matmul")(self.data, self.copied)

        def callback(self, pre: Any, post: Any, node_map: Any) -> Any:
            data, weight = node_map[self.data][0], node_map[self.weight][0]
            return _one_product(pre, data, weight) or post

    main = mod["main"]
    rewritten = rewrite(SharedWeights(), main)
    if rewritten is main:
        return mod
    mod.update_func(mod.get_global_var("main"), rewritten)
    return relay.transform.InferType()(mod)


def _one_product(call: Any, data: Any, weight: Any) -> Any:
    """`call`, a batch_matmul with copies of `weight`, without the copies; None where they are more than copies."""
    from tvm import relay

    left, right = (_shape(argument) for argument in call.args)
    copies = call.args[1] if call.args[1].op.name == "broadcast_to" else call.args[1].args[0]
    one = _shape(copies.args[0])  # not of `weight`: what has been rewritten itself has no type yet
    if call.attrs.transpose_a or right is None or left is None or one is None or left[-1] == 0:
        return None
    # the copies are along the leading axis alone: the weight has the two others, and leading ones at most
    if one[-2:] != right[-2:] or math.prod(one) != math.prod(one[-2:]) or left[0] != right[0]:
        return None
    matrix = relay.reshape(weight, one[-2:])
    rows = relay.reshape(data, (-1, left[-1]))
    product = relay.nn.dense(rows, matrix if call.attrs.transpose_b else relay.transpose(matrix, (1, 0)))
    return relay.reshape(product, (left[0], left[1], -1))


def _shape(value: Any) -> tuple[int, ...] | None:
    from tvm import relay, tir

    kind = value.checked_type
    if not isinstance(kind, relay.TensorType) or any(not isinstance(extent, tir.IntImm) for extent in kind.shape):
        return None
    return tuple(int(extent) for extent in kind.shape)
