"""Named workloads as auto_scheduler's search tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.hardware_params import hardware_params_for
from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.auto_scheduler import HardwareParams, SearchTask
    from tvm.target import Target
from tvm_gnn_cost.workloads.registry import PREFIX, Argument, join, resolve, signature_of, workload_functions

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
) -> SearchTask:
    """An auto_scheduler SearchTask for a named workload.

    Args:
        name: a workload's name, see `workload_names`.
        args: its arguments in order; for a configuration such as `C2D` the index of a shape.
        target: a target, its string, or "host" for this machine's CPU.
        hardware_params: what the search assumes of the hardware; None takes it from the target.

    Raises WorkloadError for an unknown name or target, or arguments that do not fit.
    """
    auto_scheduler = require_auto_scheduler()
    register_all()
    function, arguments = resolve(name, args)
    parsed = parse_target(target)
    params = hardware_params if hardware_params is not None else hardware_params_for(parsed)
    try:
        with parsed:  # some definitions (winograd) ask for the target
            task = auto_scheduler.SearchTask(
                func=PREFIX + function,
                args=arguments,
                target=parsed,
                hardware_params=params,
                layout_rewrite_option=auto_scheduler.LayoutRewriteOption.NO_REWRITE
                if function in _FIXED_LAYOUT
                else None,
                desc=name,
            )
    except Exception as error:  # TVM raises many kinds of error for shapes that do not fit together
        raise WorkloadError(
            f"{function}({join(arguments)}) cannot be built for target {parsed}: {last_line(error)}. "
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
