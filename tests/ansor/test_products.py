"""Linear layers of PyTorch, as TVM's front end makes them, read one weight and not a copy of it for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from test_relay_axes import make_network, var
from tvm import relay

from tvm_gnn_cost.networks import Network


def linear(
    rows: tuple[int, int, int], weight: tuple[int, ...], shape: tuple[int, ...], transposed: bool = False
) -> Network:
    """`rows` (B, M, K) times copies of the weight along the leading axes of `shape`."""
    copies = relay.reshape(relay.broadcast_to(var("w", *weight), shape), (-1, *shape[-2:]))
    return make_network(relay.nn.batch_matmul(var("x", *rows), copies, transpose_b=transposed), {"w": weight})


def evaluate(mod: Any, values: dict[str, Any]) -> np.ndarray:
    with tvm.transform.PassContext(opt_level=0):
        run = relay.create_executor("graph", mod, tvm.cpu(), "llvm").evaluate()
    return run(*(values[p.name_hint] for p in mod["main"].params)).numpy()


@pytest.mark.parametrize("transposed", [False, True])
def test_copies_of_a_weight_become_one_product(transposed: bool) -> None:
    weight = (5, 4) if transposed else (4, 5)
    network = linear((6, 2, 4), weight, (6, *weight), transposed)
    text = str(network.mod["main"])
    assert "nn.dense" in text and "batch_matmul" not in text and "broadcast_to" not in text
    x = np.random.default_rng(0).standard_normal((6, 2, 4)).astype("float32")
    w = network.params["w"].numpy()
    np.testing.assert_allclose(
        evaluate(network.mod, {"x": x, "w": w}), x @ (w.T if transposed else w), rtol=1e-5, atol=1e-5
    )


def test_leading_axes_of_one_are_copied_as_well() -> None:
    assert "nn.dense" in str(linear((6, 2, 4), (1, 4, 5), (2, 3, 4, 5)).mod["main"])


@pytest.mark.parametrize(("weight", "shape"), [((3, 4, 5), (2, 3, 4, 5)), ((1, 5), (6, 4, 5)), ((6, 4, 5), (6, 4, 5))])
def test_weights_that_differ_stay_many_products(weight: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert "batch_matmul" in str(linear((6, 2, 4), weight, shape).mod["main"])
