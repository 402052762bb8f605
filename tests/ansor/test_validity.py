"""Which schedules count as valid: stock's verdict, on GPUs whose limits are broken often and on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import programs
import pytest
from tvm import auto_scheduler

from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.ansor.tasks import make_task as make_workload
from tvm_gnn_cost.graphs.gpu_demand import RESOURCES, limits, verdicts
from tvm_gnn_cost.testing.schedules import make_task, on_hardware, register_tensors, sample_states, stock_verdict

GENEROUS = (80, 64, 64, 2**20, 2**31 - 1, 4096, 32, 32)
LIMITS = {
    "threads": (80, 16, 64, 49152, 2**31 - 1, 64, 8, 32),
    "vthread": (80, 16, 64, 49152, 2**31 - 1, 1024, 2, 32),
    "shared_bytes_at_least": (80, 16, 64, 4096, 2**31 - 1, 1024, 8, 32),
    "shared_bytes_at_most": (80, 16, 64, 8192, 2**31 - 1, 1024, 8, 32),
    "local_bytes_at_most": (80, 16, 64, 49152, 256, 1024, 8, 32),
    "vector_bytes_at_most": (80, 8, 64, 49152, 2**31 - 1, 1024, 8, 32),
}
STATES = 20


@pytest.fixture(scope="module", params=[("GMM", (0,)), ("DEP", (0,)), ("C2D_WIN_NHWC", (0,))])
def generous(request: pytest.FixtureRequest) -> tuple[Any, list[Any]]:
    """A task for a GPU that allows much, and states that break the limits of others."""
    name, arguments = request.param
    task = make_workload(name, arguments, "cuda -arch=sm_70", auto_scheduler.HardwareParams(*GENEROUS))
    return task, sample_states(task, STATES, evolved=True)


def test_every_limit_agrees_with_stock(generous: tuple[Any, list[Any]]) -> None:
    task, states = generous
    broken = set()
    for hardware in LIMITS.values():
        judge = on_hardware(task, hardware)
        builder = make_builder(judge)
        built = builder.build(states)
        broken.update(np.array(RESOURCES)[(built.resources > limits(builder.hardware)).any(axis=0)])
        np.testing.assert_array_equal(builder.can_run(states, built), stock_verdict(states, judge))
    assert {"shared_bytes_at_most", "threads"} <= broken


def test_few_virtual_threads_over_the_limit_are_lowered_to_know() -> None:
    """TVM unrolls fewer than 16 around a statement, and then no limit is met; more stay a loop."""
    hardware = hardware_of(make_task("matmul", "cuda"))
    demand = np.zeros((4, len(RESOURCES)))
    demand[:, RESOURCES.index("vthread")] = [hardware.max_vthread, hardware.max_vthread + 1, 15, 16]
    broken, doubtful = verdicts(demand, hardware)
    assert broken.tolist() == [False, False, False, True]
    assert doubtful.tolist() == [False, True, True, False]


def test_every_resource_that_is_over_its_limit_counts() -> None:
    hardware = hardware_of(make_task("matmul", "cuda"))
    for i in range(len(RESOURCES)):
        demand = limits(hardware)[None].copy()
        assert not np.any(verdicts(demand, hardware))
        demand[0, i] += 16
        assert np.any(verdicts(demand, hardware))


@pytest.mark.parametrize("name", ["conv2d_bn_relu", "norm", "softmax", "winograd"])
def test_cpu_states_lower(name: str) -> None:
    """Every state that the search makes of these lowers, and builds."""
    task = make_task(name)
    states = sample_states(task, STATES, evolved=True)
    builder = make_builder(task)
    assert builder.can_run(states, builder.build(states)).all() and stock_verdict(states, task).all()


def test_lowering_agrees_with_stock_where_that_survives(generous: tuple[Any, list[Any]]) -> None:
    task, states = generous
    for hardware in LIMITS.values():
        judge = on_hardware(task, hardware)
        np.testing.assert_array_equal(lowers(states, judge), stock_verdict(states, judge))


def test_a_state_that_cannot_be_replayed_does_not_lower() -> None:
    task, other = make_task("matmul", "cuda"), make_task("softmax", "cuda")
    states = sample_states(task, 4)
    foreign = sample_states(other, 1)
    assert lowers([states[0], *foreign, states[1]], task).tolist() == [True, False, True]


@pytest.mark.parametrize("program", [programs.initial_value, programs.long_initial_value])
def test_a_gpu_schedule_of_a_sum_with_an_initial_value_is_lowered_to_know(program: Callable[[], list[Any]]) -> None:
    """TVM's search caches the initial values in shared memory, and then lowers no schedule of some programs."""
    task = register_tensors(f"validity_{program.__name__}", program(), "cuda -arch=sm_70")
    states = sample_states(task, 8)
    builder = make_builder(task)
    np.testing.assert_array_equal(builder.can_run(states, builder.build(states)), lowers(states, task))
