"""A task is its workload, its target, its hardware parameters and its layout option, wherever tasks are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler, te
from tvm.target import Target

from tvm_gnn_cost import GNNCostModel, RecordError
from tvm_gnn_cost.ansor.history import History, distinct_tasks
from tvm_gnn_cost.ansor.pools import read_states
from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.ansor.task_identity import identity_of
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.measuring.tuning_run import DistinctTasks
from tvm_gnn_cost.records.task import former_key
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import make_task, measured, on_hardware, sample_states

AVX2 = "llvm -mcpu=core-avx2 -num-cores=4"
QUICK = TrainerConfig(max_steps_per_update=10, hidden_dim=16)


def square(n: int, m: int = 32, dtype: str = "float32") -> list[Any]:
    a, b = te.placeholder((n, m), dtype, "a"), te.placeholder((m, n), dtype, "b")
    k = te.reduce_axis((0, m), name="k")
    return [a, b, te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="c")]


def task_of(args: tuple[Any, ...] = (32,), target: Any = AVX2, **more: Any) -> Any:
    auto_scheduler.register_workload("identity_square", f=square, override=True)
    return auto_scheduler.SearchTask(func="identity_square", args=args, target=Target(target), **more)


SAME = {
    "the order of options": ({"target": AVX2}, {"target": "llvm -num-cores=4 -mcpu=core-avx2"}),
    "the order of features": ({"target": "llvm -mattr=+fma,+avx"}, {"target": "llvm -mattr=+avx,+fma"}),
    "a target as JSON": ({"target": AVX2}, {"target": {"kind": "llvm", "mcpu": "core-avx2", "num-cores": 4}}),
    "default arguments": ({"args": (32,)}, {"args": (32, 32, "float32")}),
    "its own target as host": ({"target": AVX2}, {"target": Target(AVX2, host=AVX2)}),
    "the usual host": ({"target": Target("metal")}, {"target": Target("metal", host="llvm")}),
    "hardware that goes without saying": (
        {"target": AVX2},
        {"target": AVX2, "hardware_params": auto_scheduler.HardwareParams(target=Target(AVX2))},
    ),
}
OTHER = {
    "arguments": ({"args": (32,)}, {"args": (32, 64)}),
    "the processor": ({"target": AVX2}, {"target": "llvm -mcpu=nehalem -num-cores=4"}),
    "cores": ({"target": AVX2}, {"target": "llvm -mcpu=core-avx2 -num-cores=2"}),
    "the machine's name": ({"target": AVX2}, {"target": f"{AVX2} -model=e5-2673"}),
    "hardware parameters alone": (
        {"hardware_params": auto_scheduler.HardwareParams(4, 64, 64, 0, 0, 0, 0, 0)},
        {"hardware_params": auto_scheduler.HardwareParams(8, 64, 64, 0, 0, 0, 0, 0)},
    ),
    "the layout option": ({"layout_rewrite_option": 0}, {"layout_rewrite_option": 1}),
    "the host": ({"target": Target("metal")}, {"target": Target("metal", host="llvm -mcpu=core-avx2")}),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_one_task_however_it_is_written(pair: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    one, other = (task_of(**made) for made in pair)
    assert identity_of(one) == identity_of(other)
    assert distinct_tasks([one, other, one]) == DistinctTasks((0,), (0, 0, 0))


@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER)
def test_two_tasks(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, other = (task_of(**made) for made in pair)
    assert identity_of(one).key != identity_of(other).key
    assert distinct_tasks([one, other, one]) == DistinctTasks((0, 1), (0, 1, 0))


@pytest.mark.parametrize("pair", [*SAME.values(), *OTHER.values()], ids=[*SAME, *OTHER])
def test_a_log_keeps_the_identity(pair: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> None:
    for i, task in enumerate(task_of(**made) for made in pair):
        append_records(tmp_path / f"{i}.json", *measured(task, [task.compute_dag.get_init_state()], [1.0]))
        (inp,) = read_records(tmp_path / f"{i}.json").inputs
        assert identity_of(inp.task) == identity_of(task)


def test_a_log_is_sorted_by_whose_records_it_holds(tmp_path: Path) -> None:
    ours, spelled = task_of((32,)), task_of((32, 32))
    elsewhere, gpu = task_of(target="llvm -mcpu=nehalem -num-cores=4"), task_of(target="metal")
    state = ours.compute_dag.get_init_state()
    for task in (ours, elsewhere, spelled, gpu, on_hardware(ours, (8, 64, 64, 0, 0, 0, 0, 0))):
        append_records(tmp_path / "log.json", *measured(task, [state], [0.5]))
    history = History.of([ours], read_records(tmp_path / "log.json"))
    assert (len(history), history.others, len(history.other_inputs)) == (2, 3, 2), "a GPU's records are no use here"
    assert {inp.task.workload_key for inp in history.inputs[0]} == {ours.workload_key}, "TVM goes by the spelling"


def test_the_learner_tells_targets_and_hardware_apart() -> None:
    """Measured ten times as slow on another target: neither gets the other's offset, or its best."""
    base = task_of()
    tasks = [base, task_of(target="llvm -mcpu=nehalem -num-cores=4"), on_hardware(base, (8, 64, 64, 0, 0, 0, 0, 0))]
    states = sample_states(base, 8)
    model = GNNCostModel(None, device="cpu", config=QUICK)
    for task, scale in zip(tasks, (1e-3, 1e-2, 1e-1), strict=True):
        model.update(*measured(task, states, scale * random_costs(8)))
    known = model.core.trainer.replay.tasks_
    assert list(known) == [identity_of(task).key for task in tasks]
    assert [stats.best_latency for stats in known.values()] == pytest.approx(
        [scale * random_costs(8).min() for scale in (1e-3, 1e-2, 1e-1)]
    )
    latency = [float(np.median(model.predict_latency(task, states))) for task in tasks]
    assert 3 < latency[1] / latency[0] < 30 and 3 < latency[2] / latency[1] < 30
    assert repr(model).endswith("3 tasks)")


@pytest.mark.parametrize("workload", ['["identity_square", 32, 32, "float32"]', '["identity_square", 32]'])
def test_a_checkpoint_with_shorter_keys_is_recognised(workload: str, tmp_path: Path) -> None:
    """Earlier releases knew a task by its target and its workload, as that was written."""
    task = task_of()
    states = sample_states(task, 8)
    model = GNNCostModel(None, device="cpu", config=QUICK)
    model.update(*measured(task, states, random_costs(8)))
    expected = model.predict_latency(task, states)
    trainer, key = model.core.trainer, identity_of(task).key
    former = json.dumps([workload, "llvm -keys=cpu -mcpu=core-avx2 -num-cores=4"])
    assert former == former_key(key) or workload == task.workload_key
    trainer.calibrate()
    trainer.replay.rename(key, former)
    trainer.calibration.rename(key, former)
    model.save(tmp_path / "new" / "folder" / "model.ckpt")
    loaded = GNNCostModel.load(tmp_path / "new" / "folder" / "model.ckpt", "cpu")
    assert list(loaded.core.trainer.replay.tasks_) == [former]
    np.testing.assert_array_equal(loaded.predict_latency(task, states), expected)
    other = on_hardware(task, (8, 64, 64, 0, 0, 0, 0, 0))
    loaded.update(*measured(other, states, 100 * random_costs(8)))
    assert list(loaded.core.trainer.replay.tasks_) == [key, identity_of(other).key]


def test_a_name_registered_anew_is_read_anew() -> None:
    model = GNNCostModel(None, device="cpu")
    first = task_of()
    model.predict(first, sample_states(first, 2))
    auto_scheduler.register_workload("identity_square", f=lambda n: square(2 * n), override=True)
    second = auto_scheduler.SearchTask(func="identity_square", args=(32,), target=Target(AVX2))
    states = sample_states(second, 4)
    assert identity_of(first).target == identity_of(second).target
    built = model._source(second).build(states)
    fresh = GNNCostModel(None, device="cpu")._source(second).build(states)
    np.testing.assert_array_equal(built.graphs.node_features, fresh.graphs.node_features)


def test_the_tasks_of_a_log_are_pools_with_names_of_their_own(tmp_path: Path) -> None:
    base = make_task("matmul")
    tasks = [base, make_task("matmul", "llvm -num-cores=2"), on_hardware(base, (8, 64, 64, 0, 0, 0, 0, 0))]
    states = sample_states(base, 2)
    for task in tasks:
        append_records(tmp_path / "log.json", *measured(task, states, random_costs(2)))
    found = list(read_states([tmp_path / "log.json"]))
    assert [identity_of(one.task) for one in found] == [identity_of(task) for task in tasks]
    assert len({one.name for one in found}) == 3
    from tvm_gnn_cost.cli.schedulers.ansor_records import _best_index

    with pytest.raises(RecordError, match="holds 3 tasks"):
        _best_index("log.json", read_records(tmp_path / "log.json"), None, {})
