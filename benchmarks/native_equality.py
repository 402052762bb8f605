"""Compares the native stage graphs with Python's at scale, to the last bit.

    python benchmarks/native_equality.py --states 50000

Samples and evolves schedules of every workload on every target, as the search does, and builds the graphs of each both
ways. Exits with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import tvm
from tvm import auto_scheduler
from tvm.meta_schedule.testing import te_workload

from tvm_gnn_cost.stage_graph.builder import StageGraphBuilder
from tvm_gnn_cost.stage_graph.native import NativeReader
from tvm_gnn_cost.stage_graph.native_builder import NativeStageGraphBuilder
from tvm_gnn_cost.stage_graph.native_proof import graph_difference
from tvm_gnn_cost.workloads import chains

WORKLOADS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "matmul": (te_workload.matmul, (128, 128, 256)),
    "batch_matmul": (te_workload.batch_matmul_nkkm, (4, 64, 64, 64)),
    "conv1d": (te_workload.conv1d_nlc, (1, 64, 32, 64, 3, 2, 1)),
    "conv2d": (te_workload.conv2d_nhwc, (1, 28, 28, 32, 64, 3, 1, 1)),
    "conv2d_bn_relu": (te_workload.conv2d_nhwc_bn_relu, (1, 28, 28, 32, 64, 3, 1, 1)),
    "conv3d": (te_workload.conv3d_ndhwc, (1, 8, 14, 14, 16, 32, 3, 1, 1)),
    "depthwise": (te_workload.depthwise_conv2d_nhwc, (1, 28, 28, 32, 3, 1, 1)),
    "dilated": (te_workload.conv2d_nhwc, (1, 28, 28, 32, 32, 3, 1, 2, 2)),
    "transposed_conv": (te_workload.conv2d_transpose_nhwc, (1, 4, 4, 64, 32, 4, 2, 1)),
    "capsule": (te_workload.conv2d_capsule_nhwijc, (1, 8, 8, 8, 16, 3, 1, 1)),
    "winograd": (te_workload.conv2d_winograd_nhwc, (1, 14, 14, 32, 32, 6)),
    "softmax": (te_workload.softmax_mn, (64, 128)),
    "norm": (te_workload.norm_bmn, (2, 64, 128)),
    "transpose_batch_matmul": (te_workload.transpose_batch_matmul, (1, 64, 4, 32)),
    "attention": (chains.attention, (4, 64, 32)),
    "layer_norm": (chains.layer_norm, (64, 256)),
    "mlp": (chains.mlp, (64, 64, 128, 64)),
    "swiglu": (chains.swiglu, (32, 64, 128)),
    "separable_conv2d": (chains.separable_conv2d, (1, 28, 28, 16, 32, 3, 1)),
    "grouped": (chains.grouped_conv2d_nchw, (1, 32, 14, 14, 32, 3, 1, 1, 4)),
    "upsample_conv2d": (chains.upsample_conv2d, (1, 16, 7, 7, 16, 3)),
    "reduce_rows": (chains.reduce_rows, (16, 1024)),
    "transpose_add": (chains.transpose_add, (64, 128)),
}
TARGETS = ("llvm -num-cores=4", "cuda -arch=sm_70", "rocm")
GPU = (80, 16, 64, 49152, 65536, 1024, 8, 32)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 equal, 1 different."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=2000, help="states to compare in all (default: %(default)s)")
    parser.add_argument("--workload", choices=list(WORKLOADS), action="append", help="only this one; may be repeated")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the search (default: %(default)s)")
    options = parser.parse_args(arguments)
    pairs = [(w, t) for w in options.workload or WORKLOADS for t in options.target or TARGETS]
    wanted = -(-options.states // len(pairs))
    reader = NativeReader()
    total = 0
    print(f"{'workload':24}{'target':20}{'states':>8}{'readable':>10}{'python us':>11}{'native us':>11}", flush=True)
    for name, target in pairs:
        task = make_task(name, target)
        python, native = StageGraphBuilder(task), NativeStageGraphBuilder(task, reader)
        done, readable, seconds = 0, 0, [0.0, 0.0]
        for states in batches(task, wanted, options.seed):
            native.build_natively(states)  # what the stages compute is read here, so that it is not timed
            times = [time.perf_counter()]
            ours = native.build_natively(states)
            times.append(time.perf_counter())
            theirs = python.build(states)
            times.append(time.perf_counter())
            seconds = [seconds[0] + times[2] - times[1], seconds[1] + times[1] - times[0]]
            problem = graph_difference(ours, theirs)
            if problem is not None:
                print(f"{name} on {target}, after {done} states: {problem}")
                return 1
            done += len(states)
            readable += int(ours.readable.sum())
        total += done
        each = [1e6 * s / max(1, done) for s in seconds]
        print(f"{name:24}{target:20}{done:8}{readable:10}{each[0]:11.0f}{each[1]:11.1f}", flush=True)
    print(f"{total} states: no difference")
    return 0


def make_task(name: str, target: str) -> Any:
    """The search task of a workload."""
    function, sizes = WORKLOADS[name]
    tensors = list(function(*sizes))
    key = f"native_equality_{name}_{target}"
    auto_scheduler.workload_registry.register_workload_tensors(key, tensors, override=True)
    hardware = None if target.startswith("llvm") else auto_scheduler.HardwareParams(*GPU)
    return auto_scheduler.SearchTask(
        compute_dag=auto_scheduler.ComputeDAG(tensors),
        workload_key=key,
        target=tvm.target.Target(target),
        hardware_params=hardware,
    )


def batches(task: Any, count: int, seed: int) -> Iterator[list[Any]]:
    """Bound-inferred states of the task: of each round of the search, those it sampled and those it evolved."""
    size = min(64, max(8, count // 2))
    sizes = {
        "sample_init_min_population": size,
        "evolutionary_search_population": 2 * size,
        "evolutionary_search_num_iters": 3,
    }
    while count > 0:
        policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=sizes, verbose=0, seed=seed)
        sampled = list(policy.sample_initial_population())
        states = sampled[: (count + 1) // 2] + list(policy.evolutionary_search(sampled, size))
        states = states[:count]
        yield [task.compute_dag.infer_bound_from_state(state) for state in states]
        count -= len(states)
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
