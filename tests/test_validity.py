"""Which schedules count as valid: stock's verdict, on GPUs whose limits are broken often and on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from schedules import make_task, sample_states
from tvm import auto_scheduler
from tvm.auto_scheduler import feature

from tvm_gnn_cost.stage_graph.builder import StageGraphBuilder, has_symbolic_extent
from tvm_gnn_cost.stage_graph.hardware import Hardware
from tvm_gnn_cost.stage_graph.native_builder import make_builder
from tvm_gnn_cost.stage_graph.reader import read_schedule
from tvm_gnn_cost.stage_graph.resources import RESOURCES, limits, verdicts
from tvm_gnn_cost.validity import lowers, valid_states
from tvm_gnn_cost.workloads import make_task as make_workload

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


def on(task: Any, hardware: tuple[int, ...]) -> Any:
    """The task on another GPU."""
    return auto_scheduler.SearchTask(
        compute_dag=task.compute_dag,
        workload_key=task.workload_key,
        target=task.target,
        hardware_params=auto_scheduler.HardwareParams(*hardware),
    )


def test_every_limit_agrees_with_stock(generous: tuple[Any, list[Any]]) -> None:
    task, states = generous
    broken = set()
    for hardware in LIMITS.values():
        judge = on(task, hardware)
        builder = make_builder(judge)
        built = builder.build(states)
        broken.update(np.array(RESOURCES)[(built.resources > limits(builder.hardware)).any(axis=0)])
        np.testing.assert_array_equal(valid_states(builder, states, built), lowers(states, judge))
    assert {"shared_bytes_at_most", "threads"} <= broken


def test_few_virtual_threads_over_the_limit_are_lowered_to_know() -> None:
    """TVM unrolls fewer than 16 around a statement, and then no limit is met; more stay a loop."""
    hardware = Hardware.of(make_task("matmul", "cuda"))
    demand = np.zeros((4, len(RESOURCES)))
    demand[:, RESOURCES.index("vthread")] = [hardware.max_vthread, hardware.max_vthread + 1, 15, 16]
    broken, doubtful = verdicts(demand, hardware)
    assert broken.tolist() == [False, False, False, True]
    assert doubtful.tolist() == [False, True, True, False]


def test_every_resource_that_is_over_its_limit_counts() -> None:
    hardware = Hardware.of(make_task("matmul", "cuda"))
    for i in range(len(RESOURCES)):
        demand = limits(hardware)[None].copy()
        assert not np.any(verdicts(demand, hardware))
        demand[0, i] += 16
        assert np.any(verdicts(demand, hardware))


@pytest.mark.parametrize("name", ["conv2d_bn_relu", "norm", "softmax", "winograd"])
def test_cpu_states_lower(name: str) -> None:
    """For CPU targets nothing is lowered: every state that the search makes lowers."""
    task = make_task(name)
    states = sample_states(task, STATES, evolved=True)
    builder = make_builder(task)
    assert valid_states(builder, states, builder.build(states)).all() and lowers(states, task).all()


def test_a_state_whose_steps_cannot_be_replayed_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("matmul", "cuda")
    states = sample_states(task, 8)
    expected = lowers(states, task)
    bad = states[3].state_object
    stock = feature.get_per_store_features_from_states

    def raising(objects: list[Any], task: Any) -> Any:
        if any(obj.same_as(bad) for obj in objects):
            raise RuntimeError("steps that do not fit")
        return stock(objects, task)

    monkeypatch.setattr(feature, "get_per_store_features_from_states", raising)
    expected[3] = False
    np.testing.assert_array_equal(lowers(states, task), expected)


def test_cpu_schedules_whose_buffers_cannot_be_allocated_are_invalid() -> None:
    """A transposed convolution's inner stages get sizes that depend on loops; TVM builds them only if that is the
    parallel one."""
    task = make_task("transposed_conv")
    states = sample_states(task, 60, evolved=True)
    schedules = [read_schedule(task, state) for state in states]
    for builder in (make_builder(task), StageGraphBuilder(task)):
        valid = valid_states(builder, states, builder.build(states))
        symbolic = builder.symbolic_schedules([state.state_object for state in states])
        assert symbolic == {i: s for i, s in enumerate(schedules) if has_symbolic_extent(s)}
        assert builder.has_nonlinear_reads() and not valid.all()
        assert set(np.flatnonzero(~valid)) <= symbolic.keys()
    chosen = [*np.flatnonzero(~valid)[:4], *[i for i in symbolic if valid[i]][:4]]
    assert [builds(task, states[i]) for i in chosen] == valid[chosen].tolist()


def builds(task: Any, state: Any) -> bool:
    schedule, arguments = task.compute_dag.apply_steps_from_state(state)
    try:
        tvm.build(schedule, arguments, task.target)
    except tvm.TVMError:
        return False
    return True
