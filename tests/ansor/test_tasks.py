from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from small_shapes import SHAPES
from tvm import auto_scheduler
from tvm.auto_scheduler.workload_registry import WORKLOAD_FUNC_REGISTRY

from tvm_gnn_cost import WorkloadError
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.tasks import make_task, register_all
from tvm_gnn_cost.networks import InputSpec, load_network, without_downloads
from tvm_gnn_cost.workloads import PREFIX, parse_target, resolve, workload_names

TARGET = "llvm -num-cores=4"
SMALL_SEARCH = {"sample_init_min_population": 4, "evolutionary_search_population": 16}


def test_every_workload_makes_a_task() -> None:
    for name, args in ({name: (0,) for name in workload_names() if name.isupper()} | SHAPES).items():
        task = make_task(name, args, TARGET)
        assert len(task.compute_dag.tensors) >= 2, name


@pytest.mark.parametrize("name", sorted({*SHAPES, "C2D", "GMM", "C2D_WIN_NCHW", "C2D_WIN_NHWC"}))
def test_schedules_of_a_workload_can_be_built_as_they_are_measured(name: str) -> None:
    task = make_task(name, SHAPES.get(name, (0,)), TARGET)
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=SMALL_SEARCH, seed=1, verbose=0)
    for state in list(policy.sample_initial_population())[:2]:
        task.compute_dag.apply_steps_from_state(state, layout_rewrite=task.layout_rewrite_option)


def test_every_function_is_named_in_a_configuration_or_tested_alone() -> None:
    functions = {name for name in workload_names() if not name.isupper()}
    configured = {resolve(name)[0] for name in workload_names() if name.isupper()}
    assert functions == configured | set(SHAPES)


def test_a_workload_key_rebuilds_the_same_task() -> None:
    task = make_task("attention", (2, 16, 8), TARGET)
    assert json.loads(task.workload_key) == ["tvm_gnn_cost.attention", 2, 16, 8]
    again = auto_scheduler.SearchTask(workload_key=task.workload_key, target=TARGET)
    assert str(again.compute_dag) == str(task.compute_dag)


def test_registering_needs_no_shapes_and_may_be_repeated() -> None:
    register_all()
    register_all()
    assert PREFIX + "conv2d_nhwc" in WORKLOAD_FUNC_REGISTRY
    assert not any(name.startswith(PREFIX) and name.endswith("C2D") for name in WORKLOAD_FUNC_REGISTRY)


def test_a_configuration_shares_its_key_with_its_function() -> None:
    by_index = make_task("C2D", (2,), TARGET)
    by_shape = make_task("conv2d_nhwc", (1, 14, 14, 256, 256, 3, 1, 1), TARGET)
    assert by_index.workload_key == by_shape.workload_key


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("conv2d_nhcw", (), "did you mean conv2d_nhwc"),
        ("zzz", (), "known: "),
        ("matmul", (64, 64), "matmul takes: n m k"),
        ("matmul", (64, 64, 64, "float32", "float32", 1), "matmul takes: n m k"),
        ("matmul", (64, 64, "wide"), "argument k is 'wide'"),
        ("matmul", (64, 64, 1.5), "argument k is 1.5"),
        ("matmul", (64, 64, True), "argument k is True"),
        ("matmul", (64, 64, 0), "argument k is 0"),
        ("matmul", (64, 64, 64, "floaty"), "cannot be built"),
        ("C2D", (9,), "index of one of its 4 shapes"),
        ("C2D", ("first",), "index of one of its 4 shapes"),
        ("conv2d_nhwc", (1, 4, 4, 3, 8, 9, 1, 0), "do not fit together"),
    ],
)
def test_wrong_workloads_get_one_clear_error(name: str, args: tuple[object, ...], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        make_task(name, args, TARGET)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("lvm", "did you mean llvm"),
        ("", "a target is a string"),
        (7, "a target is a string"),
        ("llvm -unknown-option=1", "is not valid"),
        ('{"kind": "llvm"', "is not valid"),
        ("nvidia/no-such-card", "is not valid"),
        ("llvm -mcpu=znver44", "LLVM knows no CPU 'znver44'; did you mean"),
    ],
)
def test_wrong_targets_get_one_clear_error(target: object, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        parse_target(target)  # type: ignore[arg-type]


def test_host_target_names_the_cpu_and_its_cores() -> None:
    target = parse_target("host")
    assert target.kind.name == "llvm"
    assert target.attrs["mcpu"]
    assert int(target.attrs["num-cores"]) >= 1


def test_the_search_assumes_the_targets_cores() -> None:
    assert make_task("matmul", (32, 32, 32), "llvm -num-cores=7").hardware_params.num_cores == 7


def test_a_gpu_target_that_states_its_limits_needs_no_gpu() -> None:
    params = make_task("matmul", (32, 32, 32), "nvidia/nvidia-a100").hardware_params
    assert (params.max_shared_memory_per_block, params.max_threads_per_block) == (49152, 1024)
    assert (params.warp_size, params.max_vthread_extent) == (32, 8)


def test_a_network_is_loaded_with_its_shape() -> None:
    network = load_network("resnet-18", batch_size=2, layout="NHWC", image_shape=(3, 64, 48))
    assert network.inputs == (InputSpec("data", (2, 64, 48, 3)),)


def test_network_tasks_are_registered_by_extraction() -> None:
    tasks, weights = network_tasks(load_network("mlp"), TARGET)
    assert len(tasks) == len(weights) >= 3
    assert all(task.workload_key in WORKLOAD_FUNC_REGISTRY for task in tasks)


def test_without_downloads_keeps_tvm_off_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TVM's GPU schedules ask for tuning records by themselves; a failed download would end the extraction of tasks."""
    from tvm.autotvm import tophub

    asked: list[str] = []
    monkeypatch.setattr(tophub, "AUTOTVM_TOPHUB_ROOT_PATH", tmp_path)
    monkeypatch.setattr(tophub, "REFERENCE_LOG_CACHE", {})
    monkeypatch.setattr(tophub, "download_package", lambda location, name: asked.append(name))
    monkeypatch.delenv("TOPHUB_LOCATION", raising=False)
    with without_downloads():
        assert tophub.load_reference_log("cuda", "unknown", "conv2d_nhwc.gpu") == []
    assert not asked and "TOPHUB_LOCATION" not in os.environ
    monkeypatch.setenv("TOPHUB_LOCATION", "here")
    with pytest.raises(KeyError), without_downloads():
        raise KeyError
    assert os.environ["TOPHUB_LOCATION"] == "here"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "did you mean resnet-"),
        ("mlp", {"layout": "NHWC"}, "has no layout 'NHWC'"),
        ("mlp", {"batch_size": 0}, "batch_size is 0"),
        ("mobilenet", {"image_shape": (224, 224)}, "takes an image shape like"),
        ("dcgan", {"image_shape": (3, 64, 64)}, "takes no image shape"),
        ("dqn", {"image_shape": (4, 2, 2)}, "cannot be made"),
    ],
)
def test_wrong_networks_get_one_clear_error(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        load_network(name, **options)  # type: ignore[arg-type]
