"""Tasks that compute the same and differ in what their hardware allows."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.graphs.processors import GPUS
from tvm_gnn_cost.graphs.schema import NODE_FEATURES
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import GPU_HARDWARE, make_task, measured, on_hardware, sample_states

GENEROUS = (80, 16, 64, 2**20, 2**31 - 1, 4096, 32, 32)
LITTLE_LOCAL_MEMORY = (80, 16, 64, 2**20, 64, 4096, 32, 32)


def test_each_task_is_judged_by_its_own_limits() -> None:
    """Also where they differ in a limit that few schedules meet, local memory; whichever task the model met first."""
    task = make_task("matmul", "cuda")
    generous, tight = on_hardware(task, GENEROUS), on_hardware(task, LITTLE_LOCAL_MEMORY)
    states = sample_states(task, 40, evolved=True)
    model = GNNCostModel(pretrained=None)
    both = [np.isfinite(model.predict(t, states)) for t in (generous, tight)]
    alone = [np.isfinite(GNNCostModel(pretrained=None).predict(t, states)) for t in (generous, tight)]
    assert not np.array_equal(*alone), "the sample must hold schedules that break the limit"
    np.testing.assert_array_equal(both, alone)


def test_features_are_those_of_each_tasks_own_hardware() -> None:
    task = make_task("matmul", "cuda")
    wide = on_hardware(task, (80, 16, 64, 49152, 65536, 1024, 8, 64))
    states = sample_states(task, 8)
    model = GNNCostModel()
    model.predict(task, states)
    np.testing.assert_array_equal(model.predict(wide, states), GNNCostModel().predict(wide, states))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("llvm -mcpu=cortex-a53", (512, 2**15, 2**19, 2**19)),  # no L3
        ("llvm -mcpu=apple-m1", (512, 2**17, 2**24, 2**24)),  # an L3 smaller than the L2
        ("cuda -arch=sm_80", (1020, 192 * 2**10, 40 * 2**20, 40 * 2**20)),  # no L3
        ("llvm -mcpu=haswell", (512, 2**15, 2**18, 30 * 2**20)),
    ],
)
def test_a_cache_level_never_holds_less_than_the_one_before_it(target: str, expected: tuple[int, ...]) -> None:
    assert hardware_of(make_task("matmul", target)).cache_bytes == expected


def test_hardware_of_a_task() -> None:
    task = make_task("matmul", "llvm -mcpu=haswell")
    cpu = hardware_of(task)
    assert (cpu.is_gpu, cpu.cores, cpu.simd_bytes) == (False, task.hardware_params.num_cores, 32)
    assert cpu.cache_bytes == (512, 2**15, 2**18, 30 * 2**20)
    gpu = hardware_of(make_task("matmul", "cuda -arch=sm_80"))
    assert (gpu.is_gpu, gpu.cores, gpu.max_threads) == (True, 80, GPU_HARDWARE.max_threads_per_block)
    assert gpu.processor is GPUS["sm_80"]


def test_one_update_may_hold_measurements_of_both() -> None:
    task = make_task("matmul", "cuda")
    wide = on_hardware(task, (80, 16, 64, 49152, 65536, 1024, 8, 64))
    states = sample_states(task, 8)
    model = GNNCostModel(pretrained=None)
    halves = measured(task, states[:4], random_costs(4)), measured(wide, states[4:], random_costs(4))
    model.update(*(first + second for first, second in zip(*halves, strict=True)))
    column = [feature.name for feature in NODE_FEATURES].index("warp_size")
    assert model.core.trainer.node_scaler.variance_[column] > 0
