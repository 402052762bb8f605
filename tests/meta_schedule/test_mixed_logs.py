"""One network from the logs of both schedulers, and an evaluation on pools of both."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from databases import TARGET, matmul, write_database
from tvm.target import Target

from tvm_gnn_cost.cli import main
from tvm_gnn_cost.evaluation.boosting import STOCK, StockMethod
from tvm_gnn_cost.evaluation.problems import Problem, read_problems
from tvm_gnn_cost.evaluation.split import Split, hold_out_folds
from tvm_gnn_cost.learning import load_checkpoint
from tvm_gnn_cost.logs.pools import read_recorded, workload_of
from tvm_gnn_cost.logs.stock import train_stock
from tvm_gnn_cost.meta_schedule.database import read_workloads
from tvm_gnn_cost.meta_schedule.recorded_pools import has_current_graphs
from tvm_gnn_cost.meta_schedule.tasks import TuningTask
from tvm_gnn_cost.meta_schedule.workload_names import keep_workloads
from tvm_gnn_cost.records.databases import GRAPHS
from tvm_gnn_cost.records.logs import find_logs
from tvm_gnn_cost.records.task import task_workload
from tvm_gnn_cost.system.find_tvm import has_auto_scheduler
from tvm_gnn_cost.training.held_out import hold_out_workloads

POOLS = Path(__file__).parents[2] / "benchmarks" / "data" / "emeraldrapids"
NAMES = ("matmul-384x384x384", "softmax_mn-256x256")
COUNT = 24
QUICK = ["--start-from", "none", "--hidden", "16", "--epochs", "1", "--validation", "0"]
needs_ansor = pytest.mark.skipif(not has_auto_scheduler(), reason="reads logs of auto_scheduler")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of two workloads; and, where they can be read, two logs of auto_scheduler."""
    folder = tmp_path_factory.mktemp("logs")
    write_database(folder / "tuned", [matmul(32), matmul(64)], COUNT)
    if has_auto_scheduler():
        for name in NAMES:
            lines = gzip.open(POOLS / f"{name}.json.gz", "rt").readlines()
            (folder / f"{name}.json").write_text("".join(lines[: 4 * COUNT : 4]))
    return folder


@pytest.fixture(scope="module")
def problems(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    cache = tmp_path_factory.mktemp("stock")
    return read_problems(find_logs([logs]), lambda log: read_recorded(log, cache))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_logs_of_both_are_found(logs: Path) -> None:
    expected = [*([logs / f"{name}.json" for name in NAMES] if has_auto_scheduler() else []), logs / "tuned"]
    assert find_logs([logs]) == expected
    inside = sorted((logs / "tuned").iterdir())
    assert find_logs(inside) == find_logs([logs / "tuned"]) == [logs / "tuned"]


def test_one_network_learns_from_both(logs: Path) -> None:
    assert main(["train", str(logs), *QUICK, "--output", "mine.ckpt"]) == 0
    tasks = load_checkpoint("mine.ckpt", "cpu")[0].replay.tasks_
    assert len(tasks) == (4 if has_auto_scheduler() else 2)
    assert {len(stats.ids) for stats in tasks.values()} == {COUNT}
    for key in tasks:
        assert task_workload(key)


def test_training_needs_no_tvm_that_wrote_the_database(logs: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(logs / "tuned", tmp_path / "tuned"))
    assert main(["graphs", str(elsewhere)]) == 0
    for path in elsewhere.iterdir():
        if path.name != GRAPHS:
            path.unlink()
    for name, log in (("tables", logs / "tuned"), ("graphs", elsewhere)):
        assert main(["train", str(log), *QUICK, "--work", f"{name}.work", "--output", f"{name}.ckpt"]) == 0
    one, other = (load_checkpoint(f"{name}.ckpt", "cpu")[0] for name in ("tables", "graphs"))
    for (name, weights), (_, others) in zip(
        one.network.state_dict().items(), other.network.state_dict().items(), strict=True
    ):
        np.testing.assert_array_equal(weights.numpy(), others.numpy(), err_msg=name)


def test_graphs_are_made_of_databases_alone(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = Path(shutil.copytree(logs / "tuned", "tuned"))
    assert main(["graphs", "tuned", "--stock"]) == 0
    assert "graphs.npz (" in capsys.readouterr().out
    assert has_current_graphs(tuned, with_stock=True)
    Path("a.json").write_text("")
    assert main(["graphs", "a.json"]) == 2
    assert "a.json is no MetaSchedule database" in capsys.readouterr().err


@needs_ansor
def test_a_workload_of_both_schedulers_is_held_out_of_both(logs: Path) -> None:
    key = '["tvm_gnn_cost.matmul", 384, 384, 384]'
    tuned = Path(shutil.copytree(logs / "tuned", "tuned"))
    modules = [workload.module for workload in read_workloads(tuned).values()]
    keep_workloads(tuned, [TuningTask("matmul", modules[1], Target(TARGET), key)], [1.0], "a test")
    pools = [
        one.pool
        for path in find_logs([logs / f"{NAMES[0]}.json", logs / f"{NAMES[1]}.json", tuned])
        for one in read_recorded(path)
    ]
    same = {i for i, pool in enumerate(pools) if pool.operator == "matmul"}
    assert len(same) == 2 and {pools[i].scheduler for i in same} == {"ansor", "metaschedule"}
    for fold in hold_out_folds(pools, "workload", 3):
        assert same <= set(fold.tests) or same <= set(fold.training)
    split = Split(test_workloads=(NAMES[0],))
    assert {i for i, part in enumerate(split.parts(pools, workload_of)) if part == "test"} == same
    tasks = [pool.stored_task for pool in pools]
    for seed in range(8):
        held = hold_out_workloads(tasks, 0.34, (), (), np.random.default_rng(seed))
        assert len({held[i] for i in same}) == 1


def test_stock_learns_from_its_own_schedulers_features(problems: list[Problem], tmp_path: Path) -> None:
    widths = {(p.pool.scheduler, p.stock.values.shape[1]) for p in problems if p.stock is not None}
    assert len(widths) == len({p.pool.scheduler for p in problems})
    model, path = StockMethod(train_stock), tmp_path / "trees.ubj"
    model.train(problems, 0, path)
    for problem in problems:
        records = np.arange(len(problem))
        learner = model.start([path], 0)
        alike = [p for p in problems if p.pool.scheduler == problem.pool.scheduler]
        booster = model.fit([(p, np.arange(len(p))) for p in alike], 0)
        expected = model.score(booster, problem, records)
        np.testing.assert_allclose(learner.predict(problem, records).scores, expected, atol=1e-6)
        assert learner.is_warm


def test_stock_with_its_warm_up_waits_for_records(problems: list[Problem]) -> None:
    problem = problems[-1]
    learner = StockMethod(train_stock, warm_up=10).start([], 0)
    learner.learn(problem, np.arange(9))
    assert not learner.is_warm
    learner.learn(problem, np.arange(9, 11))
    assert learner.is_warm
    assert StockMethod(train_stock, warm_up=100).name == f"{STOCK}-warmup"


def test_figures_are_told_for_each_scheduler(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "evaluate",
        str(logs),
        "--models",
        "gnn,xgboost,random",
        "--seeds",
        "1",
        "--steps",
        "2",
        "--output",
        "out",
    ]
    assert main([*command, "--experiments", "ranking,unseen"]) == 0
    out = capsys.readouterr().out
    found = json.loads(Path("out/evaluation.json").read_text())
    schedulers = {pool["scheduler"] for pool in found["pools"]}
    if has_auto_scheduler():
        assert schedulers == {"ansor", "metaschedule"}
        assert "unseen: tasks of which no record is known (metaschedule)" in out
        assert {figure["scheduler"] for figure in found["figures"]} == schedulers
        assert all(figure["pools"] == 2 for figure in found["figures"])
    else:
        assert schedulers == {"metaschedule"}
        assert "(metaschedule)" not in out and {figure["scheduler"] for figure in found["figures"]} == {""}
