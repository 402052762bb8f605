"""PyTorch modules in Python as networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from built_networks import IMAGE, assert_computes, conv_net
from torch import Tensor, nn

from tvm_gnn_cost import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.networks import InputSpec
from tvm_gnn_cost.networks.torch_modules import from_module


class Mixed(nn.Module):
    """Two inputs, one of integers; outputs in a dictionary; operators younger than TVM's front end."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 8)
        self.norm = nn.RMSNorm(8)
        self.drop = nn.Dropout(0.5)

    def forward(self, tokens: Tensor, scale: Tensor, factor: float = 2.0) -> dict[str, Any]:
        rows = torch.nn.functional.mish(self.norm(self.table(tokens)) * scale) * factor
        return {"rows": torch.einsum("bij,bkj->bik", rows, rows), "unused": None}


TOKENS = torch.arange(6).reshape(1, 6)
SCALE = torch.linspace(-30, 30, 8)


class First(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(*inputs)["rows"]


def test_a_module_with_inputs_by_name_and_outputs_in_a_dictionary() -> None:
    module = Mixed()
    module.norm.eval()
    network = from_module(module, {"tokens": TOKENS, "scale": SCALE})
    assert network.name == "Mixed"
    assert network.inputs == (InputSpec("tokens", (1, 6), "int64"), InputSpec("scale", (8,)))
    assert_computes(network, First(module).eval(), TOKENS, SCALE)


def test_the_module_is_left_as_it_was() -> None:
    module = conv_net().train()
    module.norm.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fast = torch.backends.mha.get_fastpath_enabled()
    network = from_module(module, IMAGE)
    assert network.inputs == (InputSpec("image", (1, 3, 16, 16)),)
    assert module.training and not module.norm.training and module.second.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled() == fast and torch.is_grad_enabled()


def test_an_input_that_is_read_twice_is_one_input() -> None:
    """TVM's front end makes a copy of an input in einsum, which nobody would set."""

    class Gram(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("ij,kj->ik", x, x) @ x

    assert from_module(Gram(), torch.rand(4, 6)).inputs == (InputSpec("x", (4, 6)),)


class Sort(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(x) if x.dim() == 1 else torch.lgamma(x) + torch.igamma(x, x)


@pytest.mark.parametrize(
    ("examples", "error", "message"),
    [
        ([], InvalidArgumentError, "is empty"),
        ([1.5], InvalidArgumentError, "gives 'x' as float; all are tensors"),
        ([torch.ones(2), torch.ones(2)], InvalidArgumentError, "holds 2 inputs; forward takes 1: x"),
        ({"y": torch.ones(2)}, InvalidArgumentError, "has 'y'; forward takes x"),
        (torch.ones(2, dtype=torch.complex64), InvalidArgumentError, "is of type complex64"),
        (torch.ones(3), WorkloadError, r"shapes depend on the values of its inputs \(argwhere\)"),
        (torch.ones(3, 3), WorkloadError, "these operators of Sort: aten::igamma, aten::lgamma"),
    ],
)
def test_what_cannot_be_a_network_says_why(examples: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_module(Sort(), examples)


def test_a_module_that_fails_with_its_inputs_says_so() -> None:
    with pytest.raises(WorkloadError, match="ConvNet cannot be traced with these inputs: .*channels"):
        from_module(conv_net(), torch.ones(1, 4, 16, 16))
    with pytest.raises(InvalidArgumentError, match="module is str"):
        from_module("net", torch.ones(1))  # type: ignore[arg-type]
