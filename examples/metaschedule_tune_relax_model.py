"""Tune a PyTorch module for this CPU with MetaSchedule and GNNCostModel: exported, read by Relax, tuned, compiled, and
checked against PyTorch.

Against a stock script one argument is new: `cost_model=GNNCostModel()`. It runs with apache-tvm and with TVM 0.19.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import tvm
from torch import nn
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

from tvm_gnn_cost.meta_schedule import GNNCostModel
from tvm_gnn_cost.workloads import host_target

try:
    from tvm.s_tir import meta_schedule as ms

    compile_module, to_tensor = tvm.compile, tvm.runtime.tensor
except ImportError:  # TVM 0.19
    from tvm import meta_schedule as ms

    compile_module, to_tensor = relax.build, tvm.nd.array


class Classifier(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(channels, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image).mean((2, 3)))


def main(argv: Sequence[str] | None = None) -> tuple[float, float]:
    """Tune and check; returns the latency in seconds of the untuned and of the tuned build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="height and width of the image (default 32)")
    parser.add_argument("--channels", type=int, default=32, help="channels of the convolutions (default 32)")
    parser.add_argument("--trials", type=int, default=128, help="schedules to measure over all tasks (default 128)")
    parser.add_argument("--population", type=int, default=512, help="schedules in a generation (default 512)")
    parser.add_argument("--work-dir", default="classifier", help="for the database and TVM's logs (default classifier)")
    parser.add_argument("--seed", type=int, default=1, help="of the model and the search (default 1)")
    args = parser.parse_args(argv)

    torch.manual_seed(0)
    module = Classifier(args.channels).eval()
    image = torch.randn(1, 3, args.size, args.size)
    with torch.no_grad():
        expected = module(image).numpy()
        network = from_exported_program(torch.export.export(module, (image,)))
    target = host_target()
    with target:  # operators become functions of TensorIR, which are the tasks
        network = tvm.transform.Sequential(
            [
                relax.transform.DecomposeOpsForInference(),
                relax.transform.CanonicalizeBindings(),
                relax.get_pipeline("zero"),
            ]
        )(network)

    database = ms.relax_integration.tune_relax(
        network,
        {},
        target,
        work_dir=args.work_dir,
        max_trials_global=args.trials,
        num_trials_per_iter=min(16, args.trials),
        cost_model=GNNCostModel(seed=args.seed),  # Stock TVM:  cost_model="xgb"
        builder=ms.builder.LocalBuilder(timeout_sec=120),  # its processes import TVM for 10 s and more
        strategy=ms.search_strategy.EvolutionarySearch(population_size=args.population),
        seed=args.seed,
    )

    with target, database:
        best = relax.transform.MetaScheduleApplyDatabase()(network)

    (untuned_output, untuned), (output, tuned) = (_run(compile_module(mod, target), image) for mod in (network, best))
    for computed in (untuned_output, output):
        np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-4)
    print(f"untuned {untuned * 1e3:.3f} ms, tuned {tuned * 1e3:.3f} ms; outputs agree with PyTorch's")
    return untuned, tuned


def _run(executable: Any, image: torch.Tensor) -> tuple[np.ndarray, float]:
    """The network's output, and its latency in seconds."""
    machine, argument = relax.VirtualMachine(executable, tvm.cpu()), to_tensor(image.numpy())
    timer = machine.time_evaluator("main", tvm.cpu(), repeat=5, min_repeat_ms=50)
    return machine["main"](argument)[0].numpy(), float(np.median(timer(argument).results))


if __name__ == "__main__":
    main()
