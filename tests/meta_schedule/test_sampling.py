"""Schedules drawn outside a search, and the search's own batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tvm_gnn_cost.errors import TVMNotAvailableError, WorkloadError
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.inspection import inspect_candidate, loop_names
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.networks import network_tasks
from tvm_gnn_cost.meta_schedule.sampling import Sampler
from tvm_gnn_cost.meta_schedule.search import TaskSearch, _within
from tvm_gnn_cost.meta_schedule.stock import random_model
from tvm_gnn_cost.meta_schedule.tasks import TuningTask, make_task, with_cores
from tvm_gnn_cost.networks import load_model, load_network
from tvm_gnn_cost.system.find_tvm import has_relay
from tvm_gnn_cost.workloads import parse_target


@pytest.fixture(scope="module")
def task() -> TuningTask:
    return make_task("matmul_relu", (32, 32, 32), "llvm -num-cores=2")


@pytest.fixture(scope="module")
def sampler(task: TuningTask) -> Iterator[Sampler]:
    yield Sampler(task, 7)


def modules(candidates: list[Any]) -> list[int]:
    return [NAMES.structural_hash(candidate.sch.mod) for candidate in candidates]


def test_the_same_seed_gives_the_same_schedules(task: TuningTask) -> None:
    one, again, other = (modules(Sampler(task, seed).sample(6)) for seed in (1, 1, 2))
    assert one == again != other and len(set(one)) > 3


def test_samples_and_mutants_are_postprocessed_and_read(task: TuningTask, sampler: Sampler) -> None:
    parents = sampler.sample(3)
    mutants = sampler.mutate(parents, 4)
    assert mutants and set(modules(mutants)) - set(modules(parents))
    built = task.source.build([*parents, *mutants])
    assert built.readable.all()
    assert sampler.mutate([], 4) == []


def test_a_search_gives_nothing_that_is_known(task: TuningTask, sampler: Sampler) -> None:
    def search(known: list[Any]) -> TaskSearch:
        memory = ms.database.MemoryDatabase()
        return TaskSearch(task, random_model(), memory, seed=3, population=16, batch=4, known=known)

    known = [candidate.sch.mod for candidate in sampler.sample(20)]
    searching = search(known)
    found = [*searching.next_batch(4), *searching.next_batch(3)]
    assert len(found) <= 7 and len(set(modules(found))) == len(found)
    assert not set(modules(found)) & {NAMES.structural_hash(module) for module in known}


def test_a_batch_that_is_cut_short_keeps_its_share_of_random_ones() -> None:
    batch: list[Any] = [*range(95), *("abcde")]
    assert _within(batch, 100) == batch
    assert _within(batch, 20) == [*range(19), "e"]
    assert _within(batch, 10) == list(range(10))


def test_every_loop_of_a_view_has_a_name(task: TuningTask, sampler: Sampler) -> None:
    from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel

    (candidate,) = sampler.sample(1)
    program, stages, nest = task.source.read(candidate)
    names = loop_names(program, stages, [len(loops) for loops in nest.loops])
    assert [len(own) for own in names] == [len(loops) for loops in nest.loops]
    assert {loop.name for loop in program.loops} >= {name for own in names for name in own}
    view = inspect_candidate(task.mod, task.target, candidate, GNNCostModel(None), title="matmul", notes=["here"])
    assert view.title == "matmul" and view.notes[0] == "here" and "no prediction" in view.notes[1]
    assert view.score is None and len(view.stages) == len(names)


def test_a_cpu_without_a_number_of_cores_gets_this_machines() -> None:
    made = with_cores(parse_target("llvm"))
    assert int(made.attrs["num-cores"]) >= 1
    assert int(with_cores(parse_target("llvm -num-cores=3")).attrs["num-cores"]) == 3


def test_what_cannot_be_tuned_is_one_error() -> None:
    with pytest.raises(WorkloadError, match="did you mean matmul"):
        make_task("matmull", (8, 8, 8))
    with pytest.raises(WorkloadError, match="MetaSchedule cannot"):
        Sampler(make_task("matmul", (8, 8, 8), "c"), 0)


def test_the_tasks_of_a_pytorch_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layers = [
        torch.nn.Linear(8, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 16),
    ]
    net = torch.nn.Sequential(*layers, torch.nn.ReLU()).eval()
    torch.export.save(torch.export.export(net, (torch.zeros(4, 8),)), tmp_path / "net.pt2")
    network = load_model(tmp_path / "net.pt2")
    assert [spec.shape for spec in network.inputs] == [(4, 8)]
    tasks, weights = network_tasks(network, parse_target("llvm -num-cores=2"))
    found = sorted((task.flop, weight) for task, weight in zip(tasks, weights, strict=True))
    assert found == [(4 * 16 * (2 * 8 + 2), 1.0), (4 * 16 * (2 * 16 + 2), 2.0)]
    assert len({task.key for task in tasks}) == 2 == len({task.workload_key for task in tasks})


def test_networks_by_name_need_relay() -> None:
    if has_relay():
        tasks, weights = network_tasks(load_network("mlp"), parse_target("llvm -num-cores=2"))
        assert any("dense" in task.name for task in tasks) and len(weights) == len(tasks)
    else:
        with pytest.raises(TVMNotAvailableError, match="network mlp needs Relay"):
            load_network("mlp")
