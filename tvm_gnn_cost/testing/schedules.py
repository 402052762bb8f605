"""Real tasks and states of TVM, small enough for a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tvm import auto_scheduler
from tvm.auto_scheduler.feature import get_per_store_features_from_states
from tvm.meta_schedule.testing import te_workload
from tvm.target import Target

GPU_HARDWARE = auto_scheduler.HardwareParams(80, 16, 64, 49152, 65536, 1024, 8, 32)

WORKLOADS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "matmul": (te_workload.matmul, (128, 128, 128)),
    "conv2d_bn_relu": (te_workload.conv2d_nhwc_bn_relu, (1, 14, 14, 32, 64, 3, 1, 1)),
    "depthwise": (te_workload.depthwise_conv2d_nhwc, (1, 28, 28, 32, 3, 2, 1)),
    "norm": (te_workload.norm_bmn, (4, 64, 64)),
    "softmax": (te_workload.softmax_mn, (64, 96)),
    "transposed_conv": (te_workload.conv2d_transpose_nhwc, (1, 4, 4, 32, 16, 4, 2, 1)),
    "attention_scores": (te_workload.transpose_batch_matmul, (1, 32, 4, 16)),
    "winograd": (te_workload.conv2d_winograd_nhwc, (1, 14, 14, 32, 32, 6)),
}


def make_task(name: str, target: str = "llvm -num-cores=4") -> Any:
    """A SearchTask of a workload in WORKLOADS; GPU targets get GPU_HARDWARE, since there may be no GPU."""
    function, args = WORKLOADS[name]
    key = f"tvm_gnn_cost.testing.{name}"
    auto_scheduler.register_workload(key, f=function, override=True)
    hardware = None if target.startswith("llvm") else GPU_HARDWARE
    return auto_scheduler.SearchTask(func=key, args=args, target=target, hardware_params=hardware)


def register_tensors(key: str, tensors: Sequence[Any], target: str = "llvm -num-cores=4") -> Any:
    """A SearchTask of the tensors, registered under that key; GPU targets get GPU_HARDWARE."""
    tensors = list(tensors)
    auto_scheduler.workload_registry.register_workload_tensors(key, tensors, override=True)
    return auto_scheduler.SearchTask(
        compute_dag=auto_scheduler.ComputeDAG(tensors),
        workload_key=key,
        target=Target(target),
        hardware_params=None if target.startswith("llvm") else GPU_HARDWARE,
    )


def on_hardware(task: Any, parameters: Sequence[int]) -> Any:
    """The task on another machine; the parameters are those of `auto_scheduler.HardwareParams`, in order."""
    return auto_scheduler.SearchTask(
        compute_dag=task.compute_dag,
        workload_key=task.workload_key,
        target=task.target,
        hardware_params=auto_scheduler.HardwareParams(*parameters),
        layout_rewrite_option=task.layout_rewrite_option,
    )


def make_policy(task: Any, seed: int = 1, model: Any = None, **params: Any) -> Any:
    """A SketchPolicy, silent; with a random model if it is given none."""
    return auto_scheduler.SketchPolicy(
        task, model or auto_scheduler.RandomModel(), verbose=0, seed=seed, params=dict(params)
    )


def fuse_first() -> Any:
    """A sketch rule of the user's: the two axes of a matrix product are one loop, and nothing is tiled."""
    from tvm.auto_scheduler.loop_state import State

    rule = auto_scheduler.PreloadCustomSketchRule

    def when(policy: Any, state: Any, stage: int) -> int:
        return rule.APPLY_AND_SKIP_REST if len(getattr(state.stages[stage].op, "reduce_axis", ())) else rule.PASS

    def apply(policy: Any, state: Any, stage: int) -> list[list[Any]]:
        loops = State(state, policy.search_task.compute_dag)
        loops.fuse(stage, list(loops.stages[stage].iters)[:2])
        return [[loops.state_object, stage - 1]]

    return rule(when, apply, "fuse")


def sample_states(task: Any, count: int, seed: int = 1, evolved: bool = False) -> list[Any]:
    """At most `count` bound-inferred States: sampled, or half of them evolved from these."""
    params = {"evolutionary_search_population": 4 * count, "evolutionary_search_num_iters": 2}
    policy = make_policy(task, seed, sample_init_min_population=count, **params)
    raw = list(policy.sample_initial_population())[:count]
    if evolved:
        raw = raw[: count // 2] + list(policy.evolutionary_search(raw, count - count // 2))
    return [task.compute_dag.infer_bound_from_state(state) for state in raw]


def measured(task: Any, states: Sequence[Any], costs: ArrayLike, error_no: int = 0) -> tuple[list[Any], list[Any]]:
    """MeasureInputs and MeasureResults with the given costs in seconds."""
    inputs = [auto_scheduler.MeasureInput(task, state) for state in states]
    results = [
        auto_scheduler.MeasureResult([float(c)], error_no, "", 0.1, 0.0) for c in np.asarray(costs, dtype=np.float64)
    ]
    return inputs, results


def stock_verdict(states: Sequence[Any], task: Any) -> NDArray[Any]:
    """Bool (len(states),): which states stock XGBModel can lower and verify; the others have features of zeros."""
    objects = [getattr(state, "state_object", state) for state in states]
    return np.array([bool(f.any()) for f in get_per_store_features_from_states(objects, task)])
