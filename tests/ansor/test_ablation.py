"""The comparison of our features with stock's, on records of a few pools."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LOGS = ("matmul-384x384x384", "matmul-64x768x3072", "softmax_mn-256x256")
RECORDS = 90


@pytest.fixture(scope="module")
def ablation() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("ablation")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first records of LOGS in `pools`, and its own cache."""
    root = tmp_path_factory.mktemp("ablation")
    (root / "pools").mkdir()
    for name in LOGS:
        lines = gzip.open(BENCHMARKS / "data" / "emeraldrapids" / f"{name}.json.gz", "rt").readlines()
        (root / "pools" / f"{name}.json").write_text("".join(lines[:RECORDS]))
    return root


@pytest.fixture(scope="module")
def tasks(ablation: Any, folder: Path) -> list[Any]:
    return [ablation.make_task(m, folder / "cache") for m in ablation.read_states([folder / "pools"])]


def scrambled(tasks: Sequence[Any], chosen: Sequence[int]) -> list[Any]:
    """The tasks with the latencies of the chosen ones in another order."""
    order = np.random.default_rng(1).permutation
    return [replace(t, latency=order(t.latency)) if i in chosen else t for i, t in enumerate(tasks)]


def test_stock_features_are_cached(ablation: Any, folder: Path, tasks: list[Any]) -> None:
    files = sorted((folder / "cache").iterdir())
    assert len(files) == len(LOGS) and all(f.suffix == ".npz" for f in files)
    stamps = [f.stat().st_mtime_ns for f in files]
    (again, *_) = [ablation.make_task(m, folder / "cache") for m in ablation.read_states([folder / "pools"])]
    assert sorted((folder / "cache").iterdir()) == files and [f.stat().st_mtime_ns for f in files] == stamps
    for source, rows in tasks[0].rows.items():
        np.testing.assert_array_equal(again.rows[source].values, rows.values)
        assert len(rows) == RECORDS


@pytest.mark.parametrize("method", ["stock, pack-sum", "stock, summed", "nodes + edges"])
def test_scores_do_not_know_the_held_out_task(
    ablation: Any, tasks: list[Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a held-out task's latencies nor, with operators held out, its siblings' reach its scores."""
    monkeypatch.setattr(ablation, "ROUNDS", 10)

    def scores(given: Sequence[Any], by: str) -> list[Any]:
        learner, group = ablation.METHODS[method], lambda task: getattr(task, by)
        return ablation.score_held_out_tasks(learner, given, group, folds=3, seed=0, threads=1)

    for by, unseen in (("name", [0]), ("operator", [0, 1])):
        before, after = scores(tasks, by), scores(scrambled(tasks, unseen), by)
        assert [len(s) for s in before] == [RECORDS] * len(tasks)
        for i in unseen:
            np.testing.assert_array_equal(before[i], after[i])
        assert not np.array_equal(before[2], after[2])  # they are learnt for the others


def test_held_out_schedules_are_not_learnt(ablation: Any, tasks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The learnt and the ranked records are apart, and together the task."""
    learnt: list[Any] = []
    method = ablation.METHODS["nodes"]

    class Spy:
        def scores(self, training: Sequence[Any], ranked: Sequence[Any], seed: int, threads: int) -> Any:
            learnt.extend(zip(training, ranked, strict=True))
            return method.scores(training, ranked, seed, threads)

    found = ablation.rank_held_out_schedules(Spy(), tasks, seed=0, threads=1)
    assert all(0.5 < f[0] <= 1 and f[1] <= f[2] <= 1 for f in found)
    for (training, ranked), task in zip(learnt, tasks, strict=True):
        assert len(training.latency) == ablation.LEARNT_RECORDS
        both = np.concatenate([training.latency, ranked.latency])
        np.testing.assert_array_equal(np.sort(both), np.sort(task.latency))


def test_states_at_which_stock_aborts_have_no_rows(
    ablation: Any, folder: Path, tasks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies in TVM costs the records it dies of, and no others."""
    stock = importlib.import_module("tvm_gnn_cost.ansor.stock")
    measured = next(iter(ablation.read_states([folder / "pools"])))
    bad, extract = measured.states[3], stock.feature.get_per_store_features_from_states

    def fragile(states: Sequence[Any], task: Any) -> Any:
        if any(state.same_as(bad) for state in states):
            os.kill(os.getpid(), signal.SIGKILL)
        return extract(states, task)

    monkeypatch.setattr(stock.feature, "get_per_store_features_from_states", fragile)
    first = {name: getattr(measured, name)[:8] for name in ("states", "latency", "readings", "seconds")}
    some = replace(measured, **first, digest="some")
    task = ablation.make_task(some, folder)
    whole = tasks[0].select(np.delete(np.arange(8), 3))
    np.testing.assert_array_equal(task.latency, whole.latency)
    for source, rows in task.rows.items():
        np.testing.assert_array_equal(rows.values, whole.rows[source].values)


@pytest.mark.parametrize("records", [40, 64, 70])
def test_small_tasks_are_not_ranked(ablation: Any, tasks: list[Any], records: int) -> None:
    small = tasks[0].select(np.arange(records))
    assert np.isnan(ablation.rank_held_out_schedules(ablation.METHODS["nodes"], [small], seed=0, threads=1)).all()


def test_it_runs_from_the_command_line(ablation: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "ROUNDS", 5)
    results = folder / "results.json"
    arguments = ["--pools", str(folder / "pools"), "--cache", str(folder / "cache"), "--results", str(results)]
    assert ablation.main([*arguments, "--folds", "2", "--seeds", "2", "--methods", "stock, summed", "nodes"]) == 0
    found = json.loads(results.read_text())["experiments"]
    kinds = ("schedules", "workloads", "operators")
    assert [f["title"] for f in found] == [f"emeraldrapids: {what} held out" for what in kinds]
    assert np.array(found[0]["figures"]["nodes"], float).shape == (2, len(LOGS), 3)


def test_gpu_records_keep_their_device(ablation: Any, tmp_path: Path) -> None:
    """The same workload measured on two devices makes two tasks; an even share of both is read."""
    gpu_records = sys.modules["gpu_records"]
    (tmp_path / "workloads.py").write_text(WORKLOADS)
    for device in ("k80", "v100"):
        (tmp_path / device / "matmul").mkdir(parents=True)
        lines = [RECORD.replace("LATENCY", str(i + 1)) for i in range(4)]
        (tmp_path / device / "matmul" / "64_64_64.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    found = list(gpu_records.read_gpu_pools(tmp_path, tasks=2, records=2))
    assert [(ablation.device_of(p.target), p.name, p.operator) for p in found] == [
        (device, "matmul-64_64_64", "ablation_matmul") for device in ("sm_37", "sm_70")
    ]
    assert found[0].task != found[1].task and "sm_70" in found[1].task
    assert found[0].is_gpu and found[1].is_gpu
    np.testing.assert_array_equal(found[0].latency, [1.0, 3.0])


def test_gpu_records_are_written_with_their_architecture(ablation: Any, tmp_path: Path) -> None:
    gpu_records = sys.modules["gpu_records"]
    (tmp_path / "records" / "v100" / "matmul").mkdir(parents=True)
    (tmp_path / "records" / "v100" / "matmul" / "64_64_64.json").write_text(RECORD.replace("LATENCY", "1") + "\n")
    assert gpu_records.main([str(tmp_path / "records"), "--output", str(tmp_path / "out")]) == 0
    text = gzip.decompress((tmp_path / "out" / "v100" / "matmul-64_64_64.json.gz").read_bytes()).decode()
    assert json.loads(text)["i"][0][1].startswith("cuda -arch=sm_70 ")


WORKLOADS = """
from tvm import auto_scheduler, te

@auto_scheduler.register_workload("ablation_matmul", override=True)
def matmul(n):
    a, b, k = te.placeholder((n, n)), te.placeholder((n, n)), te.reduce_axis((0, n))
    return [a, b, te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k))]
"""
RECORD = json.dumps(
    {
        "i": [
            [
                '["ablation_matmul", 64]',
                "cuda -keys=cuda,gpu -max_num_threads=1024 -thread_warp_size=32",
                [-1, 16, 64, 49152, 2147483647, 1024, 8, 32],
                "",
                0,
                [],
            ],
            [[], [["FU", 2, [0, 1]], ["SP", 2, 0, 4096, [32], 1], ["AN", 2, 0, 5], ["AN", 2, 1, 6]]],
        ],
        "r": [["LATENCY"], 0, 1.0, 1],
        "v": "v0.6",
    }
).replace('"LATENCY"', "LATENCY")
