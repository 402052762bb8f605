"""A library beside what tuning found: oneDNN through torch, on the same computations, and where the difference lies.

    python benchmarks/library_beside.py RUNS --task "dense_relu 512 512 512" --task ... --output FILE

RUNS is the folder of `tuning_seconds.py`. Of each task are built: the schedule that ours ended with (seed 0), the best
that any run found, and that one for LLVM's widest vectors, which LLVM does without unless told. They and torch's
versions take turns in one process, on two threads, and compute the same, or nothing is told. Told is the least of the
readings.

What separates one run's schedule from the best of all runs is what the search leaves; what separates that from the
library is what auto_scheduler's sketches and LLVM's code leave. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tvm
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.benchmark import Timer
from tvm import auto_scheduler

from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.network_runs import TOLERANCES, difference
from tvm_gnn_cost.ansor.record_log import read_records, recover
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.records.comparison import Comparison
from tvm_gnn_cost.system.files import safe_name
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp

THREADS = 2
ROUNDS, READING_S = 7, 0.2
WIDE = "-mattr=-prefer-256-bit"
ONE_RUN, ALL_RUNS, ALL_RUNS_WIDE = "one run", "all runs", "all runs, widest vectors"

Versions = Mapping[str, Callable[[], Tensor]]
onednn = torch.ops.mkldnn


def dense_relu(x: Tensor, w: Tensor) -> Versions:
    packed = onednn._reorder_linear_weight(w)
    return {
        "torch": lambda: F.relu(F.linear(x, w)),
        "oneDNN": lambda: onednn._linear_pointwise(x, packed, None, "relu", [], ""),
    }


def attention(q: Tensor, k: Tensor, v: Tensor) -> Versions:
    scale = q.shape[-1] ** -0.5
    heads = [tensor[None] for tensor in (q, k, v)]
    return {
        "torch": lambda: F.scaled_dot_product_attention(heads[0], heads[1], heads[2])[0],
        "oneDNN": lambda: torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)) * scale, -1), v),
    }


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Versions:
    return {"torch": lambda: F.layer_norm(x, x.shape[-1:], gamma, beta)}


def separable_conv2d(x: Tensor, d: Tensor, f: Tensor) -> Versions:
    """Stride 1."""
    channels, padding = d.shape[0], d.shape[-1] // 2
    first = onednn._reorder_convolution_weight(d, [padding] * 2, [1, 1], [1, 1], channels, x.shape)
    second = onednn._reorder_convolution_weight(f, [0, 0], [1, 1], [1, 1], 1, x.shape)

    def fused() -> Tensor:
        y = _convolution(x, first, padding, channels, "hardtanh", [0.0, 6.0])
        return _convolution(y, second, 0, 1, "hardtanh", [0.0, 6.0])

    return {"torch": lambda: F.relu6(F.conv2d(F.relu6(F.conv2d(x, d, None, 1, padding, 1, channels)), f)),
            "oneDNN": fused}  # fmt: skip


def bottleneck_nhwc(x: Tensor, f1: Tensor, f2: Tensor, f3: Tensor) -> Versions:
    image = x.permute(0, 3, 1, 2)  # channels last in memory, as it was
    weights = [f.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last) for f in (f1, f2, f3)]
    shapes = [image.shape, (*image.shape[:1], f1.shape[-1], *image.shape[2:])]
    packed = [
        onednn._reorder_convolution_weight(w, [pad] * 2, [1, 1], [1, 1], 1, shapes[i > 0])
        for i, (w, pad) in enumerate(zip(weights, (0, 1, 0), strict=True))
    ]

    def plain() -> Tensor:
        y = F.relu(F.conv2d(F.relu(F.conv2d(image, weights[0])), weights[1], padding=1))
        return F.relu(F.conv2d(y, weights[2]) + image).permute(0, 2, 3, 1)

    def fused() -> Tensor:
        y = _convolution(image, packed[0], 0, 1, "relu", [])
        y = _convolution(y, packed[1], 1, 1, "relu", [])
        y = onednn._convolution_pointwise.binary(
            y, image, packed[2], None, [0, 0], [1, 1], [1, 1], 1, "add", 1.0, "relu", [], ""
        )
        return y.permute(0, 2, 3, 1)

    return {"torch": plain, "oneDNN": fused}


def _convolution(x: Tensor, weight: Tensor, padding: int, groups: int, then: str, bounds: list[float]) -> Tensor:
    result: Tensor = onednn._convolution_pointwise(
        x, weight, None, [padding] * 2, [1, 1], [1, 1], groups, then, bounds, ""
    )
    return result


LIBRARY: dict[str, Callable[..., Versions]] = {
    function.__name__: function for function in (dense_relu, attention, layer_norm, separable_conv2d, bottleneck_nhwc)
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("--task", action="append", required=True, help="one of: " + ", ".join(LIBRARY))
    parser.add_argument("--output", type=Path, help="for the figures, as JSON")
    options = parser.parse_args(argv)
    torch.set_num_threads(THREADS)
    console = Console()
    found = []
    for label in options.task:
        found.append(compare(label, options.runs))
        console.print(label, {name: f"{s * 1e3:.4g} ms" for name, s in found[-1]["latency_s"].items()})
    show(console, found)
    if options.output:
        made = {"date": timestamp(), "machine": describe_machine(), "versions": describe_versions()}
        options.output.write_text(json.dumps({"tasks": found, "threads": THREADS, **made}, indent=1) + "\n")
    return 0


def compare(label: str, runs: Path) -> dict[str, Any]:
    """Seconds of each version of a task."""
    name, *arguments = shlex.split(label)
    task = make_task(name, [int(argument) for argument in arguments])
    comparison = Comparison.load(runs / f"{safe_name(label)}.json")
    logs = {(run.model, run.seed): runs / run.log_file for run in comparison.runs}
    records = {key: fastest(log) for key, log in logs.items()}
    one = records["gnn", 0]
    best, _ = min(records.values(), key=lambda found: found[1])
    inputs = [tensor for tensor in task.compute_dag.tensors if isinstance(tensor.op, tvm.te.PlaceholderOp)]
    random = np.random.default_rng(0)
    values = [random.standard_normal(tuple(map(int, t.shape))).astype(t.dtype) for t in inputs]
    library = LIBRARY[name](*map(torch.from_numpy, values))
    _check_same(label, task, best, values, library)
    versions: dict[str, Callable[[], float]] = {
        ONE_RUN: _timed(task, one[0]),
        ALL_RUNS: _timed(task, best),
        ALL_RUNS_WIDE: _timed(task, best, WIDE),
        **{key: _torch_timed(call) for key, call in library.items()},
    }
    readings = [{key: read() for key, read in versions.items()} for _ in range(ROUNDS)]
    return {
        "task": label,
        "latency_s": {key: min(reading[key] for reading in readings) for key in versions},
        "gflop": task.compute_dag.flop_ct / 1e9,
        "trials_of_all_runs": sum(len(run.trials) for run in comparison.runs),
    }


def fastest(log: Path) -> tuple[Any, float]:
    """The state of a log's fastest record, and its seconds."""
    records = read_records(log)
    latency = [measured_latency(result) or math.inf for result in records.results]
    number = int(np.argmin(latency))
    return recover(records.inputs[number]).state, latency[number]


def _build(task: Any, state: Any, layout: Any, options: str = "") -> tuple[Any, list[Any]]:
    schedule, tensors = task.compute_dag.apply_steps_from_state(state, layout)
    target = tvm.target.Target(f"{task.target} {options}".strip())
    return tvm.build(schedule, tensors, target), list(tensors)


def _timed(task: Any, state: Any, options: str = "") -> Callable[[], float]:
    """Reads the seconds of one call, as the tuning's measurements did: where weights were packed, they are here."""
    function, tensors = _build(task, state, task.layout_rewrite_option, options)
    random = np.random.default_rng(0)
    arrays = [tvm.nd.array(random.standard_normal(tuple(map(int, t.shape))).astype(t.dtype)) for t in tensors]
    timer = function.time_evaluator(function.entry_name, tvm.cpu(), number=1, min_repeat_ms=int(READING_S * 1e3))
    return lambda: float(timer(*arrays).results[0])


def _torch_timed(call: Callable[[], Tensor]) -> Callable[[], float]:
    timer = Timer("call()", globals={"call": call}, num_threads=THREADS)

    def read() -> float:
        with torch.inference_mode():
            seconds: float = timer.blocked_autorange(min_run_time=READING_S).median
        time.sleep(0.05)  # its threads spin a while for more
        return seconds

    return read


def _check_same(label: str, task: Any, state: Any, values: Sequence[NDArray[Any]], library: Versions) -> None:
    """Leaves the program where torch computes something else."""
    function, tensors = _build(task, state, auto_scheduler.LayoutRewriteOption.NO_REWRITE)
    output = tvm.nd.empty(tuple(map(int, tensors[-1].shape)), tensors[-1].dtype)
    function(*map(tvm.nd.array, values), output)
    for name, call in library.items():
        with torch.inference_mode():
            apart = difference(call().contiguous().numpy(), output.numpy())
        if apart > TOLERANCES["float32"]:
            raise SystemExit(f"{label}: {name} computes something else, {apart:.2g} apart")


def show(console: Console, tasks: Sequence[dict[str, Any]]) -> None:
    """Milliseconds; the library's is the faster of torch's versions, and its speed is 1."""
    table = Table("task", ONE_RUN, ALL_RUNS, ALL_RUNS_WIDE, "library", "speed of one run, all runs, widest (library 1)")
    for task in tasks:
        latency = dict(task["latency_s"])
        ours = [latency.pop(key) for key in (ONE_RUN, ALL_RUNS, ALL_RUNS_WIDE)]
        name, library = min(latency.items(), key=lambda item: float(item[1]))
        speeds = ", ".join(f"{library / seconds:.2f}" for seconds in ours)
        table.add_row(task["task"], *(f"{s * 1e3:.4g}" for s in ours), f"{library * 1e3:.4g} ({name})", speeds)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
