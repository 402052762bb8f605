"""What several tests need of networks: small PyTorch modules, and the output of a network that TVM builds untuned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Two convolutions and a linear layer, for images of 1 x 3 x 16 x 16."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, stride=2)
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> Tensor:
        image = torch.relu(self.norm(self.first(image)))
        return self.head(torch.relu(self.second(image)).mean((2, 3)))


def conv_net() -> ConvNet:
    torch.manual_seed(0)
    return ConvNet().eval()


def encoder() -> nn.Module:
    """A layer of a transformer's encoder, for 1 x 8 x 32."""
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu").eval()


IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
TOKENS = torch.linspace(-1, 1, 8 * 32).reshape(1, 8, 32)


def output_of(network: Any, *inputs: NDArray[Any]) -> NDArray[Any]:
    """The first output of a network, built without tuning and run with its inputs in order."""
    import tvm
    from tvm import relay
    from tvm.contrib import graph_executor

    from tvm_gnn_cost.networks import without_downloads

    with without_downloads(), tvm.transform.PassContext(opt_level=3):
        library = relay.build(network.mod, "llvm", params=network.params)
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    for spec, value in zip(network.inputs, inputs, strict=True):
        executor.set_input(spec.name, tvm.nd.array(value))
    executor.run()
    return executor.get_output(0).numpy()


def assert_computes(network: Any, module: nn.Module, *inputs: Tensor) -> None:
    """The network gives what the module gives."""
    with torch.no_grad():
        expected = module(*inputs)
    found = output_of(network, *(value.numpy() for value in inputs))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
