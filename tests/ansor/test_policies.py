"""Real tuning through TaskScheduler: built, measured and learnt, with one model for all tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler
from tvm.auto_scheduler.task_scheduler import TaskSchedulerCallback

from tvm_gnn_cost import GNNCostModel, InvalidArgumentError, RecordError, TuningInterrupted, make_search_policies
from tvm_gnn_cost.ansor.record_log import read_records
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import fuse_first, make_policy, make_task, measured, sample_states

SMALL = {"evolutionary_search_population": 64, "evolutionary_search_num_iters": 1, "sample_init_min_population": 16}


def small_model() -> GNNCostModel:
    return GNNCostModel(pretrained=None, config=TrainerConfig(max_steps_per_update=30))


def tune(
    tasks: list[Any], model: Any, log: Path, trials: int, callbacks: list[Any] | None = None, resume: bool = False
) -> auto_scheduler.TaskScheduler:
    options = auto_scheduler.TuningOptions(
        num_measure_trials=trials,
        num_measures_per_round=4,
        builder=auto_scheduler.LocalBuilder(timeout=20),
        runner=auto_scheduler.LocalRunner(repeat=1, min_repeat_ms=5, timeout=10),
        measure_callbacks=[auto_scheduler.RecordToFile(str(log))],
        verbose=0,
    )
    load = str(log) if resume else None
    scheduler = auto_scheduler.TaskScheduler(tasks, load_log_file=load, callbacks=callbacks or [])
    policies = make_search_policies(tasks, model, load_log_file=load, params=SMALL, verbose=0)
    scheduler.tune(options, search_policy=policies)
    return scheduler


def test_one_task(tmp_path: Path) -> None:
    model = small_model()
    scheduler = tune([make_task("matmul")], model, tmp_path / "log.json", 12)
    log = read_records(tmp_path / "log.json")
    assert len(log) == 12 and model.num_records == 12 and model.is_warm
    assert scheduler.best_costs[0] < 1.0


def test_three_tasks_share_a_model(tmp_path: Path) -> None:
    model = small_model()
    tasks = [make_task(name) for name in ("matmul", "softmax", "depthwise")]
    scheduler = tune(tasks, model, tmp_path / "log.json", 16)
    assert all(cost < 1.0 for cost in scheduler.best_costs)
    assert model.num_records == 16
    for task in tasks:
        assert (model.predict(task, sample_states(task, 4)) > 0).all()


class _Stop(TaskSchedulerCallback):
    """Ctrl-C before the third round."""

    def __init__(self) -> None:
        self.rounds = 0

    def pre_tune(self, task_scheduler: Any, task_id: int) -> None:
        self.rounds += 1
        if self.rounds == 3:
            raise KeyboardInterrupt


def test_resume_after_ctrl_c(tmp_path: Path) -> None:
    """The log is whole, the model learns it again, and nothing is measured twice."""
    log = tmp_path / "log.json"
    tasks = [make_task("matmul")]
    with pytest.raises(KeyboardInterrupt):
        tune(tasks, small_model(), log, 40, [_Stop()])
    assert len(read_records(log)) == 8
    model = small_model()
    tune(tasks, model, log, 8, resume=True)
    records = read_records(log, rebuild=True)
    assert len(records) == 16 and model.num_records == 16
    schedules = {str(inp.state) for inp in records.inputs}
    assert len(schedules) == 16, "a schedule was measured twice"


def test_policies_know_a_damaged_log(tmp_path: Path) -> None:
    """TVM's own reader fails as a whole on one bad line."""
    task = make_task("matmul")
    states = sample_states(task, 8)
    log = tmp_path / "log.json"
    auto_scheduler.save_records(str(log), *measured(task, states, random_costs(8)))
    log.write_text(log.read_text() + '{"i": [["tr')
    model = small_model()
    policies = make_search_policies([task], model, load_log_file=log, params=SMALL, verbose=0)
    assert len(policies) == 1 and model.num_records == 8
    assert log.read_text().endswith('{"i": [["tr'), "the user's log is not touched"


def test_seed_zero_is_a_seed() -> None:
    """SketchPolicy takes 0 for random."""
    task = make_task("matmul")
    drawn = []
    for seed in (0, 0, 1):
        (policy,) = make_search_policies([task], auto_scheduler.RandomModel(), params=SMALL, seed=seed, verbose=0)
        drawn.append([str(s) for s in policy.sample_initial_population()])
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_model_says_how_much_to_explore_unless_the_user_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    make = auto_scheduler.SketchPolicy.__init__

    def spy(policy: Any, *args: Any, params: dict[str, Any], **options: Any) -> None:
        made.append(dict(params))
        make(policy, *args, params=params, **options)

    monkeypatch.setattr(auto_scheduler.SketchPolicy, "__init__", spy)
    task = make_task("matmul")
    make_search_policies([task], GNNCostModel(None, device="cpu"), verbose=0)
    make_search_policies([task], GNNCostModel(None, device="cpu"), verbose=0, local_search=False)
    make_search_policies([task], GNNCostModel(None, device="cpu"), params={"eps_greedy": 0.05}, verbose=0)
    make_search_policies([task], auto_scheduler.RandomModel(), verbose=0)
    assert [params.get("eps_greedy") for params in made] == [0.1, 0.2, 0.05, None]


def test_params_are_not_changed() -> None:
    params = dict(SMALL)
    make_search_policies([make_task("matmul")], auto_scheduler.RandomModel(), params=params, verbose=0)
    assert params == SMALL


RESULT = auto_scheduler.MeasureResult([1.0], 0, "", 0.1, 0.0)


def is_fused(inp: Any) -> bool:
    return json.loads(auto_scheduler.measure_record.dump_record_to_string(inp, RESULT))["i"][1][1][0][0] == "FU"


def sampled(policy: Any, task: Any) -> list[Any]:
    return [auto_scheduler.MeasureInput(task, state) for state in policy.sample_initial_population()]


def test_custom_sketch_rules_of_every_task_or_of_one(tmp_path: Path) -> None:
    """Through `make_search_policies`, with several tasks and a log to resume from."""
    tasks = [make_task("matmul"), make_task("attention_scores")]
    auto_scheduler.save_records(str(tmp_path / "log.json"), *measured(tasks[0], sample_states(tasks[0], 4), [1.0] * 4))
    for callbacks, fused in (
        ([fuse_first()], [True, True]),
        ([None, [fuse_first()]], [False, True]),
        (None, [False, False]),
    ):
        policies = make_search_policies(
            tasks,
            auto_scheduler.RandomModel(),
            tmp_path / "log.json",
            SMALL,
            verbose=0,
            init_search_callbacks=callbacks,
        )
        found = [all(map(is_fused, sampled(p, t))) for p, t in zip(policies, tasks, strict=True)]
        assert found == fused


@pytest.mark.parametrize(
    "callbacks, words",
    [
        (lambda rule: rule, "not a sequence"),
        (lambda rule: ["rule"], r"init_search_callbacks\[0\] is str"),
        (lambda rule: [rule, [rule]], r"init_search_callbacks\[0\] is PreloadCustomSketchRule: either all"),
        (lambda rule: [[rule]], "holds 1 sequences for 2 tasks"),
        (lambda rule: [[rule], [fuse_first()]], r"tasks\[0\] and tasks\[1\] are the same task"),
    ],
)
def test_callbacks_that_do_not_fit(callbacks: Any, words: str) -> None:
    task = make_task("matmul")
    with pytest.raises(InvalidArgumentError, match=words):
        make_search_policies(
            [task, task], auto_scheduler.RandomModel(), verbose=0, init_search_callbacks=callbacks(fuse_first())
        )


def test_a_task_listed_twice_has_one_policy() -> None:
    task, other = make_task("matmul"), make_task("softmax")
    policies = make_search_policies([task, other, task], auto_scheduler.RandomModel(), params=SMALL, verbose=0)
    assert policies[0] is policies[2] is not policies[1]


def test_what_another_target_measured_is_not_measured_here(tmp_path: Path) -> None:
    """TVM itself asks for the kind of target alone: `llvm`."""
    there, here = make_task("matmul", "llvm -mcpu=nehalem -num-cores=4"), make_task("matmul")
    log = tmp_path / "log.json"
    states = sample_states(there, 200)
    auto_scheduler.save_records(str(log), *measured(there, states, random_costs(len(states))))
    known = {str(state) for state in states}

    def preloaded(policy: Any) -> str:
        return str(len(known & {str(here.compute_dag.infer_bound_from_state(s)) for s in evolved(policy)}))

    def evolved(policy: Any) -> list[Any]:
        return list(policy.evolutionary_search([s.state_object for s in states[:8]], 8))

    model = auto_scheduler.RandomModel()
    params = {**SMALL, "evolutionary_search_num_iters": 0}
    (ours,) = make_search_policies([here], model, log, params, verbose=0)
    stock = auto_scheduler.SketchPolicy(
        here, model, dict(params), 1, 0, [auto_scheduler.PreloadMeasuredStates(str(log))]
    )
    assert (preloaded(ours), preloaded(stock)) == ("8", "0")


def test_early_stopping_of_tvm_works_with_these_policies(tmp_path: Path) -> None:
    """TaskScheduler's, by task, from what a log says."""
    task = make_task("matmul")
    log = tmp_path / "log.json"
    states = sample_states(task, 12)
    auto_scheduler.save_records(str(log), *measured(task, states, [1e-9] + [1.0] * 11))
    scheduler = auto_scheduler.TaskScheduler([task], load_log_file=str(log), callbacks=[])
    policies = make_search_policies([task], small_model(), log, SMALL, verbose=0)
    options = auto_scheduler.TuningOptions(
        num_measure_trials=8, num_measures_per_round=1, runner=auto_scheduler.LocalRunner(min_repeat_ms=1), verbose=0
    )
    scheduler.tune(options, search_policy=policies, per_task_early_stopping=10)
    assert scheduler.ct == 0 and scheduler.dead_tasks == {0}
    scheduler.dead_tasks.clear()
    options = auto_scheduler.TuningOptions(8, 2, 1, 0, runner=auto_scheduler.LocalRunner(min_repeat_ms=1))
    scheduler.tune(options, search_policy=policies)
    assert 2 <= scheduler.ct <= 3, "the whole run ends when two trials bring nothing"


def test_a_task_alone_in_rounds_of_one() -> None:
    """`SearchTask.tune`, as TVM's tutorials have it: a fifth of one trial at random is none."""
    task, model = make_task("matmul"), small_model()
    params = {**model.search_params, **SMALL}
    task.tune(
        auto_scheduler.TuningOptions(2, None, 1, 0, runner=auto_scheduler.LocalRunner(min_repeat_ms=1)),
        auto_scheduler.SketchPolicy(task, model, params, seed=1, verbose=0),
    )
    assert model.num_records == 1, "TVM does not teach the last round"


def test_any_cost_model(tmp_path: Path) -> None:
    model = auto_scheduler.XGBModel(verbose_eval=0, num_warmup_sample=4)
    scheduler = tune([make_task("matmul")], model, tmp_path / "log.json", 8)
    assert scheduler.best_costs[0] < 1.0 and len(model.inputs) == 8


@pytest.mark.parametrize(
    "change, words",
    [
        ({"tasks": []}, "no tasks"),
        ({"tasks": ["matmul"]}, r"tasks\[0\] is str"),
        ({"model": object()}, "not a cost model"),
        ({"params": {"eps_gredy": 0.1}}, "did you mean 'eps_greedy'"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"tasks": [make_task("matmul")], "model": auto_scheduler.RandomModel(), **change}
    with pytest.raises(InvalidArgumentError, match=words):
        make_search_policies(**arguments)


def test_missing_log(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="none.json"):
        make_search_policies([make_task("matmul")], small_model(), load_log_file=tmp_path / "none.json")


def test_an_update_inside_the_search_reaches_the_model() -> None:
    """C++ hands over TVM arrays, not lists."""
    task = make_task("matmul")
    model = small_model()
    population = list(make_policy(task, **SMALL).sample_initial_population())[:6]
    inputs, results = measured(task, population, random_costs(6))
    auto_scheduler.cost_model.cost_model._ffi_api.CostModelUpdate(model, inputs, results)
    assert model.num_records == 6
    scores = auto_scheduler.cost_model.cost_model._ffi_api.CostModelPredict(
        model, task, [task.compute_dag.infer_bound_from_state(s).state_object for s in population]
    )
    assert np.isfinite([float(s.value) for s in scores]).all()


def test_ctrl_c_inside_the_model_ends_the_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TVM swallows a KeyboardInterrupt in a callback, and would go on with scores that were never computed."""
    model = small_model()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        tune([make_task("matmul")], model, tmp_path / "log.json", 8)
    assert isinstance(caught.value, TuningInterrupted)
