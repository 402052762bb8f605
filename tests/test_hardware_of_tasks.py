"""Tasks that compute the same and differ in what their hardware allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from schedules import make_task, sample_states
from tvm import auto_scheduler

from tvm_gnn_cost import GNNCostModel

GENEROUS = (80, 16, 64, 2**20, 2**31 - 1, 4096, 32, 32)
LITTLE_LOCAL_MEMORY = (80, 16, 64, 2**20, 64, 4096, 32, 32)


def on(task: Any, hardware: tuple[int, ...]) -> Any:
    """The task on another GPU."""
    return auto_scheduler.SearchTask(
        compute_dag=task.compute_dag,
        workload_key=task.workload_key,
        target=task.target,
        hardware_params=auto_scheduler.HardwareParams(*hardware),
    )


def test_each_task_is_judged_by_its_own_limits() -> None:
    """Also where they differ in a limit that few schedules meet, local memory; whichever task the model met first."""
    task = make_task("matmul", "cuda")
    generous, tight = on(task, GENEROUS), on(task, LITTLE_LOCAL_MEMORY)
    states = sample_states(task, 40, evolved=True)
    model = GNNCostModel(pretrained=None)
    both = [np.isfinite(model.predict(t, states)) for t in (generous, tight)]
    alone = [np.isfinite(GNNCostModel(pretrained=None).predict(t, states)) for t in (generous, tight)]
    assert not np.array_equal(*alone), "the sample must hold schedules that break the limit"
    np.testing.assert_array_equal(both, alone)


def test_features_are_those_of_each_tasks_own_hardware() -> None:
    task = make_task("matmul", "cuda")
    wide = on(task, (80, 16, 64, 49152, 65536, 1024, 8, 64))
    states = sample_states(task, 8)
    model = GNNCostModel()
    model.predict(task, states)
    np.testing.assert_array_equal(model.predict(wide, states), GNNCostModel().predict(wide, states))
