"""Time of `predict` on the same candidates: GNNCostModel and stock XGBModel, both trained, in one run.

    python benchmarks/predict_speed.py --states 2048

Candidates are sampled states, repeated up to the number asked for. Each figure is the median of the repeats, which take
turns. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.stage_graph.native_builder import make_builder
from tvm_gnn_cost.tvm_compat import require_auto_scheduler
from tvm_gnn_cost.workloads import make_task

WORKLOADS: dict[str, tuple[int, ...]] = {
    "matmul": (512, 512, 512),
    "conv2d_nhwc_bn_relu": (1, 28, 28, 128, 192, 3, 1, 1),
    "depthwise_conv2d_nhwc": (1, 112, 112, 32, 3, 1, 1),
    "softmax_mn": (256, 256),
    "conv2d_winograd_nhwc": (1, 14, 14, 128, 128, 6),
    "attention": (12, 128, 64),
}
GPU = (80, 16, 64, 49152, 2**31 - 1, 1024, 8, 32)
"""HardwareParams of a V100, since there may be no GPU here."""

TRAINING_RECORDS = 64


def sample(task: Any, count: int, seed: int) -> list[Any]:
    """`count` bound-inferred StateObjects; samples repeat where the sketches give fewer."""
    auto_scheduler = require_auto_scheduler()
    policy = auto_scheduler.SketchPolicy(task, verbose=0, seed=seed, params={"sample_init_min_population": count})
    raw = list(policy.sample_initial_population())[:count]
    states = [task.compute_dag.infer_bound_from_state(state).state_object for state in raw]
    return (states * (count // len(states) + 1))[:count]


def train(model: Any, task: Any, states: Sequence[Any], seed: int) -> None:
    """Teaches a model random latencies: what `predict` costs does not depend on them."""
    auto_scheduler = require_auto_scheduler()
    costs = np.random.default_rng(seed).uniform(0.5e-3, 1e-3, len(states))
    model.update(
        [auto_scheduler.MeasureInput(task, state) for state in states],
        [auto_scheduler.MeasureResult([cost], 0, "", 0.1, 0.0) for cost in costs],
    )


def timed(function: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(name: str, target: str, count: int, repeats: int, seed: int) -> dict[str, float]:
    """Median seconds, by what was timed."""
    auto_scheduler = require_auto_scheduler()
    hardware = None if target.startswith("llvm") else auto_scheduler.HardwareParams(*GPU)
    task = make_task(name, WORKLOADS[name], target, hardware)
    states = sample(task, count, seed)
    ours, stock = (
        GNNCostModel(pretrained=None, seed=seed),
        auto_scheduler.XGBModel(verbose_eval=0, num_warmup_sample=-1),
    )
    for model in (ours, stock):
        train(model, task, states[:TRAINING_RECORDS], seed)
    array = require_array(states)
    builder = make_builder(task)
    first = timed(lambda: builder.build(array))
    times: dict[str, list[float]] = {"graphs": [], "ours": [], "stock": []}
    for _ in range(repeats):
        times["graphs"].append(timed(lambda: builder.build(array)))
        times["ours"].append(timed(lambda: ours.predict(task, array)))
        times["stock"].append(timed(lambda: stock.predict(task, array)))
    return {"first": first, **{what: float(np.median(seconds)) for what, seconds in times.items()}}


def require_array(states: Sequence[Any]) -> Any:
    """The states as C++ hands them over: one TVM array."""
    from tvm.runtime import convert

    return convert(list(states))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workloads", nargs="+", choices=sorted(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--targets", nargs="+", default=["llvm", "cuda"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    table = Table("workload", "target", "stock (s)", "ours (s)", "ratio", "graphs (us/state)", "first call (s)")
    ratios = []
    console = Console()
    for target in options.targets:
        for name in options.workloads:
            seconds = measure(name, target, options.states, options.repeats, options.seed)
            ratios.append(seconds["stock"] / seconds["ours"])
            console.print(f"{name} on {target}: {ratios[-1]:.0f}x")
            table.add_row(
                name,
                target,
                f"{seconds['stock']:.2f}",
                f"{seconds['ours']:.3f}",
                f"{ratios[-1]:.0f}x",
                f"{1e6 * seconds['graphs'] / options.states:.1f}",
                f"{seconds['first']:.2f}",
            )
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(
        f"{options.states} states; geometric mean {np.exp(np.mean(np.log(ratios))):.0f}x; peak {peak:.0f} MiB"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
