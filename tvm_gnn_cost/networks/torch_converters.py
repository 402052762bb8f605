"""Operators of PyTorch that are younger than TVM 0.19's front end, as Relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def rms_norm(inputs: list[Any], types: list[str]) -> Any:
    """`aten::rms_norm(input, normalized_shape, weight, eps)`; without eps the smallest step of the type is added."""
    from tvm import relay

    data, shape, weight, epsilon = inputs
    if epsilon is None:
        epsilon = float(np.finfo(types[0]).eps)
    axes = list(range(-len(shape), 0))
    square = relay.mean(data * data, axis=axes, keepdims=True)
    scaled = data * relay.rsqrt(square + relay.const(epsilon, types[0]))
    return scaled if weight is None else scaled * weight


def mish(inputs: list[Any], types: list[str]) -> Any:
    """`aten::mish`: x tanh(log(1 + exp(x)))."""
    from tvm import relay

    data, one = inputs[0], relay.const(1.0, types[0])
    positive = relay.nn.relu(data)  # log(1 + exp(x)) without an overflow
    return data * relay.tanh(positive + relay.log(one + relay.exp(-relay.abs(data))))


CONVERTERS: dict[str, Callable[[list[Any], list[str]], Any]] = {"aten::rms_norm": rms_norm, "aten::mish": mish}
"""Operator -> its conversion, as `relay.frontend.from_pytorch` takes them."""
