"""Workloads, the package's and the user's own, as auto_scheduler's search tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.hardware_params import hardware_params_for
from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.workloads.own import OwnWorkload, find_own
from tvm_gnn_cost.workloads.registry import PREFIX, Argument, join, resolve, signature_of, workload_functions
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.auto_scheduler import HardwareParams, SearchTask
    from tvm.target import Target

# TVM 0.19 cannot rewrite the layouts of these workloads' weights (`ComputeDAG::RewriteLayout` mistakes the axes of
# topi's matmul, i0 and i1, for one), and every measurement of theirs would fail; so they keep their layouts.
_FIXED_LAYOUT = {"dense", "dense_relu", "mlp", "swiglu", "attention", "conv2d_winograd_nchw"}


def register_all() -> None:
    """Register every named workload with auto_scheduler, so that any log of theirs can be read. Runs none of them.

    Registering twice is harmless. Raises TVMNotAvailableError without TVM's auto_scheduler.
    """
    auto_scheduler = require_auto_scheduler()
    for name, function in workload_functions().items():
        auto_scheduler.register_workload(PREFIX + name, f=function, override=True)


def make_task(
    name: str,
    args: Sequence[Argument] = (),
    target: str | Target = "host",
    hardware_params: HardwareParams | None = None,
    folder: Path | None = None,
) -> SearchTask:
    """An auto_scheduler SearchTask for a workload, the package's or the user's own.

    Args:
        name: a workload's name, see `workload_names`; one that is registered with auto_scheduler; or
            `FILE.py:FUNCTION`, which runs that file (see `find_own`).
        args: its arguments in order; for a configuration such as `C2D` the index of a shape.
        target: a target, its string, or "host" for this machine's CPU.
        hardware_params: what the search assumes of the hardware; None takes it from the target.
        folder: what FILE.py is relative to; None is the working directory.

    Raises WorkloadError for an unknown name or target, arguments that do not fit, or what a file does wrong.
    """
    require_auto_scheduler()
    register_all()
    parsed = parse_target(target)
    params = hardware_params if hardware_params is not None else hardware_params_for(parsed)
    own = find_own(name, args, folder)
    if own is not None:
        return _make_own(own, parsed, params)
    return _make_named(name.removeprefix(PREFIX), args, parsed, params)


def _make_own(own: OwnWorkload, target: Target, params: HardwareParams | None) -> SearchTask:
    """The task of a function of the user.

    Its tensors are registered under its whole key, so the processes that build get them as data: they need neither the
    function nor what it takes from its file.
    """
    auto_scheduler = require_auto_scheduler()
    with target:
        tensors = own.tensors()
        try:
            dag = auto_scheduler.ComputeDAG(tensors)
            task = auto_scheduler.SearchTask(
                compute_dag=dag, workload_key=own.key, target=target, hardware_params=params, desc=own.label
            )
        except Exception as error:  # what auto_scheduler takes no schedule of, such as external operations
            raise WorkloadError(
                f"{own.label} cannot be scheduled for {target}: {last_line(error)}.{_device_hint(error)}"
            ) from error
    auto_scheduler.workload_registry.register_workload_tensors(own.key, tensors)
    return task


def _make_named(name: str, args: Sequence[Argument], target: Target, params: HardwareParams | None) -> SearchTask:
    auto_scheduler = require_auto_scheduler()
    function, arguments = resolve(name, args)
    try:
        with target:  # some definitions (winograd) ask for the target
            task = auto_scheduler.SearchTask(
                func=PREFIX + function,
                args=arguments,
                target=target,
                hardware_params=params,
                layout_rewrite_option=auto_scheduler.LayoutRewriteOption.NO_REWRITE
                if function in _FIXED_LAYOUT
                else None,
                desc=name,
            )
    except Exception as error:  # TVM raises many kinds of error for shapes that do not fit together
        raise WorkloadError(
            f"{function}({join(arguments)}) cannot be built for target {target}: {last_line(error)}. "
            f"Arguments: {signature_of(workload_functions()[function])}.{_device_hint(error)}"
        ) from error
    for tensor in (op.output(i) for op in task.compute_dag.ops for i in range(op.num_outputs)):
        if any(int(extent) < 1 for extent in tensor.shape):
            raise WorkloadError(
                f"{function}({join(arguments)}): the arguments do not fit together, {tensor.op.name} would have shape "
                f"{tuple(map(int, tensor.shape))}. Arguments: {signature_of(workload_functions()[function])}"
            )
    return task


def _device_hint(error: BaseException) -> str:
    if "device_api" not in str(error) and "CUDA" not in str(error):
        return ""
    return (
        " TVM asks the device for its limits and finds none: state them, as in"
        ' "cuda -max_shared_memory_per_block=49152 -max_threads_per_block=1024"'
    )
