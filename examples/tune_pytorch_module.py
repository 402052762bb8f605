"""Tune a PyTorch module for this CPU: a small image classifier, traced, tuned, built, and checked against PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import tvm
from torch import nn
from tvm.contrib import graph_executor

from tvm_gnn_cost import tune_module
from tvm_gnn_cost.records.tuning_run import TuneOptions
from tvm_gnn_cost.workloads import host_target


class Classifier(nn.Module):
    """Three convolutions and a linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, stride in ((3, 1), (channels, 2), (channels, 2)):
            layers += [nn.Conv2d(inputs, channels, 3, stride, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image).mean((2, 3)))


def main(argv: Sequence[str] | None = None) -> tuple[float, float]:
    """Tune and check; returns the latency in seconds of the untuned and of the tuned build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="height and width of the image (default 32)")
    parser.add_argument("--channels", type=int, default=32, help="channels of the convolutions (default 32)")
    parser.add_argument("--trials", type=int, default=64, help="schedules to measure over all tasks (default 64)")
    parser.add_argument("--population", type=int, default=512, help="schedules in a generation (default 512)")
    parser.add_argument("--log-file", default="classifier.json", help="the record log (default classifier.json)")
    parser.add_argument("--resume", action="store_true", help="go on from the log file")
    args = parser.parse_args(argv)

    torch.manual_seed(0)
    module = Classifier(args.channels).eval()
    image = torch.randn(1, 3, args.size, args.size)
    target = host_target()
    tuned = tune_module(
        module,
        image,
        target,
        layout="NHWC",
        trials=args.trials,
        options=TuneOptions(trials_per_round=16),
        log_file=args.log_file,
        resume=args.resume,
        search_params={"evolutionary_search_population": args.population},
    )

    built = tuned.build()
    output = _run(built.library, tuned.network.inputs[0].name, image)
    with torch.no_grad():
        np.testing.assert_allclose(output, module(image).numpy(), rtol=1e-3, atol=1e-4)
    assert built.untuned_s is not None and built.tuned_s is not None  # this machine's code was timed here
    print(f"untuned {built.untuned_s * 1e3:.3f} ms, tuned {built.tuned_s * 1e3:.3f} ms; outputs agree with PyTorch's")
    return built.untuned_s, built.tuned_s


def _run(library: Any, name: str, image: torch.Tensor) -> np.ndarray:
    """The network's output."""
    device = tvm.cpu()
    executor = graph_executor.GraphModule(library["default"](device))
    executor.run(**{name: tvm.nd.array(image.numpy(), device)})
    return executor.get_output(0).numpy()


if __name__ == "__main__":
    main()
