"""Plans, and evaluations that are interrupted, continued, extended and spread over processes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tvm_gnn_cost.errors import EvaluationError, InvalidArgumentError
from tvm_gnn_cost.evaluation.held_out import learnt_sizes
from tvm_gnn_cost.evaluation.methods import Method
from tvm_gnn_cost.evaluation.options import EvaluationOptions
from tvm_gnn_cost.evaluation.plan import make_plan
from tvm_gnn_cost.evaluation.registry import make_method
from tvm_gnn_cost.evaluation.results import ResultsFile
from tvm_gnn_cost.evaluation.runner import MODELS_FOLDER, RESULTS_FILE, Executor, evaluate
from tvm_gnn_cost.evaluation.runs import HELD_OUT, REPLAY, UNSEEN
from tvm_gnn_cost.evaluation.search_replay import ReplayOptions
from tvm_gnn_cost.evaluation.split import Fold, hold_out_folds
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.system.progress import Progress

from .problems import make_pool, make_problem

CONFIG = TrainerConfig(hidden_dim=8, num_layers=1, max_steps_per_update=2, fit_epochs=1)
PROBLEMS = [make_problem(make_pool(f"{name}-1", seed=i, count=40)) for i, name in enumerate(("a", "b", "c", "d"))]
FOLDS = hold_out_folds([problem.pool for problem in PROBLEMS], "operator", 2)
EVERY = [Fold("all", (), (0, 1, 2, 3))]
OPTIONS = EvaluationOptions(
    experiments=("ranking", "unseen", "replay", "curve"), seeds=1, learnt=(16,), replay=ReplayOptions(8, 16), curve=(1,)
)


def methods(*names: str) -> dict[str, Method]:
    return {name: make_method(name, CONFIG) for name in names}


def evaluated(folder: Path, names: Sequence[str] = ("gnn", "random"), **options: Any) -> Mapping[str, Any]:
    asked = EvaluationOptions(**vars(OPTIONS) | options)
    return evaluate(PROBLEMS, FOLDS, methods(*names), asked, folder).values


def test_a_plan_has_a_run_for_each_method_seed_and_problem(tmp_path: Path) -> None:
    asked = EvaluationOptions(**vars(OPTIONS) | {"seeds": 2})
    plan = make_plan(PROBLEMS, FOLDS, methods("gnn", "gnn-cold", "xgboost-ours", "random"), asked, tmp_path)
    found = {
        (kind, model): sum(run.kind == kind and run.method == model for run in plan.runs)
        for kind in (HELD_OUT, UNSEEN, REPLAY)
        for model in ("gnn", "gnn-cold", "xgboost-ours", "random")
    }
    per_model = 2 * len(PROBLEMS)
    assert {n for (kind, _), n in found.items() if kind != UNSEEN} == {per_model}
    # a learning curve adds runs that learnt one workload of two; the whole training set is the unseen experiment's
    assert [found[UNSEEN, m] for m in ("gnn", "gnn-cold", "xgboost-ours", "random")] == [
        2 * per_model, 0, 2 * per_model, per_model,
    ]  # fmt: skip
    assert len({run.key for run in plan.runs}) == len(plan.runs)
    # of a fold and a seed: networks and trees of one workload, and of both
    assert len(plan.preparations) == len(FOLDS) * 2 * 2 * 2
    assert not plan.skipped
    for run in plan.runs:
        if run.method == "gnn":
            (preparation,) = [one for one in plan.preparations if one.path in run.trained]
            assert run.problem not in preparation.problems


def test_members_of_an_ensemble_are_trained_once(tmp_path: Path) -> None:
    asked = EvaluationOptions(experiments=("unseen",), seeds=2)
    alone = make_plan(PROBLEMS, FOLDS, methods("gnn"), asked, tmp_path).preparations
    both = make_plan(PROBLEMS, FOLDS, methods("gnn", "gnn-x2"), asked, tmp_path).preparations
    assert len(alone) == 2 * len(FOLDS) and len(both) == 4 * len(FOLDS)
    assert {one.path for one in alone} < {one.path for one in both}


def test_keys_change_with_what_makes_a_result(tmp_path: Path) -> None:
    def keys(asked: EvaluationOptions = OPTIONS, config: TrainerConfig = CONFIG, count: int = 40) -> set[str]:
        problems = [make_problem(make_pool("a-1", seed=0, count=count)), *PROBLEMS[1:]]
        made = {"gnn": make_method("gnn", config)}
        return {run.key for run in make_plan(problems, FOLDS, made, asked, tmp_path).runs if run.kind == REPLAY}

    before = keys()
    assert before == keys()
    assert not before & keys(EvaluationOptions(**vars(OPTIONS) | {"replay": ReplayOptions(4, 16)}))
    assert not before & keys(config=TrainerConfig(**vars(CONFIG) | {"hidden_dim": 9}))
    # another pool changes its own run, and those that learnt it; one fold tests two pools and learns two
    assert len(before & keys(count=41)) == 1


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    asked = EvaluationOptions(seeds=1, learnt=(64,), replay=ReplayOptions(32, 64))
    plan = make_plan(PROBLEMS[:1], [Fold("all", (), (0,))], methods("gnn", "random"), asked, tmp_path)
    text = "\n".join(plan.skipped)
    assert "gnn: it learns other tasks first, and there are no training pools" in text
    assert "ranking, error, calibration: with fewer than 80 records" in text and "(`learnt`): a-1" in text
    assert "fewer than 64 records are left, two rounds of 32 (`replay.round`): a-1" in text
    assert "curve: there are 0 training workloads" in text
    assert {run.method for run in plan.runs} == {"random"} and {run.kind for run in plan.runs} == {UNSEEN}


def test_many_pools_with_one_reason_are_one_line(tmp_path: Path) -> None:
    asked = EvaluationOptions(experiments=("ranking", "unseen"), seeds=1, learnt=(64,))
    (reason,) = make_plan(PROBLEMS, EVERY, methods("random"), asked, tmp_path).skipped
    assert reason.endswith("a-1, b-1, c-1 and 1 more")


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="nothing can be evaluated: ranking: with fewer"):
        make_plan(
            PROBLEMS, EVERY, methods("random"), EvaluationOptions(experiments=("ranking",), learnt=(64,)), tmp_path
        )


def test_what_is_learnt_is_not_tested(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="b-1 is to be learnt and tested"):
        make_plan(PROBLEMS, [Fold("bad", (0, 1), (1, 2))], methods("random"), OPTIONS, tmp_path)


def test_small_pools_learn_fewer_records() -> None:
    assert learnt_sizes(PROBLEMS, None) == (16,)
    assert learnt_sizes([make_problem(make_pool(count=50)), *PROBLEMS], None) == (32,)
    assert learnt_sizes([make_problem(make_pool(count=80))], None) == (64, 128, 256)
    assert learnt_sizes(PROBLEMS, (5, 6)) == (5, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiments": ("ranking", "tuning")}, "got tuning"),
        ({"experiments": ()}, "got none of them"),
        ({"seeds": 0}, "at least one seed"),
        ({"learnt": (0, 4)}, "at least 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        EvaluationOptions(**options)


def test_an_interrupted_evaluation_goes_on_to_the_same_results(tmp_path: Path) -> None:
    whole = evaluated(tmp_path / "whole")
    calls: list[str] = []

    def interrupt(progress: Progress) -> None:
        calls.append(progress.phase)
        if progress.phase == "test" and progress.done == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        evaluate(PROBLEMS, FOLDS, methods("gnn", "random"), OPTIONS, folder, interrupt)
    lines = (folder / RESULTS_FILE).read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    # killed in the middle of the fifth line
    (folder / RESULTS_FILE).write_bytes(b"".join(lines)[:-20])
    stamps = {path: path.stat().st_mtime_ns for path in (folder / MODELS_FOLDER).iterdir()}
    again: list[Progress] = []
    found = evaluate(PROBLEMS, FOLDS, methods("gnn", "random"), OPTIONS, folder, again.append).values
    assert found == whole
    assert [(told.phase, told.done, told.total) for told in again[:2]] == [("learn", 0, 0), ("test", 4, len(whole))]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    rows = [json.loads(line) for line in (folder / RESULTS_FILE).read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(rows) == len(whole)


def test_what_is_known_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluated(tmp_path)
    tested: list[str] = []
    compute = Executor.run
    monkeypatch.setattr(Executor, "run", lambda self, run: tested.append(run.method) or compute(self, run))
    assert evaluated(tmp_path) == first and not tested
    more = evaluated(tmp_path, ("gnn", "random", "xgboost-ours"))
    assert set(tested) == {"xgboost-ours"} and first.items() <= more.items()


def test_results_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    assert evaluated(tmp_path / "one") == evaluated(tmp_path / "two", jobs=2)


def test_a_damaged_line_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text('{"key": "a", "values": {"x": 1}}\nnonsense\n{"key": "b", "values": {}}\n')
    results = ResultsFile(path)
    assert results.values == {"a": {"x": 1}, "b": {}}
    assert "line 2 is damaged" in caplog.text
    results.add("c", {"model": "gnn"}, {"x": 2})
    assert ResultsFile(path).values == results.values


def test_a_folder_that_cannot_be_used_gets_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="cannot be read"):
        ResultsFile(tmp_path / "file" / RESULTS_FILE)
