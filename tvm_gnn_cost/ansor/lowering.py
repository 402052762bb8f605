"""TVM's own verdict on schedules: lower them, and check what comes out as a build for the target would."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.cpu_build import builds, takes_any_variable
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.ansor.states.reader import state_object
from tvm_gnn_cost.system.machine import num_cores

logger = logging.getLogger(__name__)


def lowers(states: Sequence[Any], task: Any) -> NDArray[np.bool_]:
    """Whether TVM builds each state for a CPU, or lowers it to what the task's `HardwareParams` allow on a GPU.

    Bool (len(states),). Takes some milliseconds a state on each core.
    """
    fits = fits_gpu if hardware_of(task).is_gpu else builds
    if fits is builds:
        takes_any_variable()  # once, before many ask for it
    with ThreadPoolExecutor(max(1, min(len(states), num_cores())), "lower") as pool:
        return np.array(list(pool.map(lambda state: fits(task, state_object(state)), states)), dtype=bool)


def fits_gpu(task: Any, state: Any) -> bool:
    """Whether a StateObject lowers to code within the limits of the task's GPU.

    The passes are those of stock's featurisation (`GetPerStoreFeaturesWorkerFunc`, `src/auto_scheduler/feature.cc`),
    which itself is not called: at some schedules it ends the process (an assertion).
    """
    import tvm
    from tvm.driver.build_module import schedule_to_module
    from tvm.tir import transform
    from tvm.tir.analysis import verify_gpu_code

    passes = [
        transform.InjectPrefetch(),
        transform.StorageFlatten(64, False),
        transform.NarrowDataType(32),
        transform.Simplify(),
        transform.VectorizeLoop(True),
        transform.InjectVirtualThread(),
        transform.StorageRewrite(),
        transform.Simplify(),
    ]
    try:
        schedule, tensors = task.compute_dag.apply_steps_from_state(state)
        module = schedule_to_module(schedule.normalize(), tensors, "main", {})
        module = tvm.transform.Sequential(passes)(module)
        return bool(verify_gpu_code(module["main"], _limits(task.hardware_params)))
    except Exception as error:  # whatever keeps TVM from lowering it keeps it from running
        logger.debug("a state cannot be lowered: %r", error)
        return False


def _limits(hardware: Any) -> dict[str, int]:
    return {
        "max_shared_memory_per_block": int(hardware.max_shared_memory_per_block),
        "max_local_memory_per_block": int(hardware.max_local_memory_per_block),
        "max_threads_per_block": int(hardware.max_threads_per_block),
        "max_vector_bytes": int(hardware.vector_unit_bytes),
        "max_vthread": int(hardware.max_vthread_extent),
    }
