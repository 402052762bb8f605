"""What TVM's MetaSchedule expects of a cost model, as a pytest suite that any cost model can run, with any TVM.

In a test module of its own, where pytest should also explain failed asserts of the suite:

    pytest.register_assert_rewrite("tvm_gnn_cost.testing.clauses", "tvm_gnn_cost.testing.conformance_meta_schedule")
    from tvm_gnn_cost.testing.conformance_meta_schedule import MetaScheduleCostModelConformance

    class TestMyModel(MetaScheduleCostModelConformance):
        def make(self, **options):
            return MyModel(seed=3, **options)

The model is called as C++ calls it (`CostModelPredict`, `CostModelUpdate`). The clauses are those of TVM's callers,
named in each docstring: C++ files are under `src/meta_schedule`. `docs/contracts.md` has them as prose.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from tvm import te
from tvm.target import Target

from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.testing.clauses import CostModelClauses
from tvm_gnn_cost.testing.pretended_measuring import (
    FAILED_BUILD,
    FAILED_RUN,
    pretended_measuring,
    run_result,
    run_results,
)

CPU = Target({"kind": "llvm", "num-cores": 2})


class MetaScheduleCostModelConformance(CostModelClauses):
    """The clauses of a cost model for MetaSchedule, one test each. Subclass it and override `make`.

    Who calls the methods of a model, and when:

    * `predict(context, candidates)`: `PredictNormalizedScore` of `EvolutionarySearch`, for the first population of each
      round and for each generation after it. Below 0 and nan are 0; scores are the probabilities by which parents are
      drawn, and the best that were never measured are measured.
    * `update(context, candidates, results)`: the measure callback `UpdateCostModel`, when the results of a task's batch
      are joined: before the task's next round, or at the end. No failed build is among them; there may be none at all.
    * `save(path)`, `load(path)`: the user.
    """

    def scores(self, model: Any, task: Any, schedules: Sequence[Any]) -> NDArray[Any]:
        return np.asarray(ms.cost_model.CostModel.predict(model, task, schedules))

    def learn(self, model: Any, task: Any, schedules: Sequence[Any], costs: ArrayLike) -> None:
        ms.cost_model.CostModel.update(model, task, schedules, run_results(costs))

    def learn_half_failed(
        self, model: Any, task: Any, good: Sequence[Any], costs: ArrayLike, bad: Sequence[Any]
    ) -> None:
        results = run_results(costs) + [run_result(FAILED_RUN)] * len(bad)
        ms.cost_model.CostModel.update(model, task, [*good, *bad], results)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls) -> Any:
        """What is learnt: a matmul on a CPU."""
        return make_context("matmul")

    @pytest.fixture(scope="class")
    @classmethod
    def schedules(cls, task: Any) -> list[Any]:
        """50 candidates of the task."""
        return sample_candidates(task.mod, task.target, 50)

    @pytest.fixture(scope="class")
    @classmethod
    def other(cls) -> tuple[Any, list[Any]]:
        task = make_context("softmax")
        return task, sample_candidates(task.mod, task.target, 20)

    def test_scores_are_float64_as_many_as_candidates(self, task: Any, schedules: list[Any]) -> None:
        """`PyCostModelNode::Predict` in cost_model/cost_model.cc: n doubles are written where C++ says."""
        model = self.make()
        for count in (1, 7):
            scores = self.scores(model, task, schedules[:count])
            assert scores.dtype == np.float64 and scores.shape == (count,)

    def test_what_was_learnt_of_a_module_holds_in_any_context(self, task: Any, schedules: list[Any]) -> None:
        """`TuneContext` in tune_context.cc: every call of `tune_tir` makes new ones, with a copy of the module."""
        model = self.trained(task, schedules)
        again = make_context("matmul")
        np.testing.assert_array_equal(self.scores(model, again, schedules), self.scores(model, task, schedules))

    def test_saves_and_loads_as_tvm_asks(self, task: Any, schedules: list[Any], tmp_path: Path) -> None:
        """`CostModel.save` and `CostModel.load` in cost_model/cost_model.py, which C++ passes on to Python."""
        model, path = self.trained(task, schedules), str(tmp_path / "model")
        ms.cost_model.CostModel.save(model, path)
        again = self.make(num_warmup_sample=-1)
        ms.cost_model.CostModel.load(again, path)
        np.testing.assert_array_equal(self.scores(again, task, schedules), self.scores(model, task, schedules))

    def test_the_search_goes_where_scores_are_high(self, task: Any, schedules: list[Any]) -> None:
        """`EvolveWithCostModel` in search_strategy/evolutionary_search.cc, warm: what is picked scores no worse."""
        model = self.trained(task, schedules)
        context = make_context("matmul", eps_greedy=0.0)
        context.pre_tuning(
            max_trials=8,
            num_trials_per_iter=8,
            design_spaces=context.generate_design_space(),
            database=ms.database.MemoryDatabase(),
            cost_model=model,
        )
        picked = list(context.generate_measure_candidates())
        context.post_tuning()
        assert len(picked) == 8
        assert np.mean(self.scores(model, task, picked)) >= np.mean(self.scores(model, task, schedules))

    @pytest.mark.parametrize("said", [[1e-3], [1e-3, np.inf], [0.0, 0.0], [np.nan], FAILED_BUILD, FAILED_RUN], ids=str)
    def test_a_search_ends_whatever_is_measured(self, said: Any, tmp_path: Path) -> None:
        """`TaskSchedulerNode::Tune` in task_scheduler/task_scheduler.cc: an error of the model would end it."""
        measuring = pretended_measuring(lambda _: said)
        context = make_context("matmul")
        ms.tune.tune_tasks(
            tasks=[context],
            task_weights=[1.0],
            work_dir=str(tmp_path),
            max_trials_global=8,
            num_trials_per_iter=4,
            builder=measuring.builder,
            runner=measuring.runner,
            database=(database := ms.database.MemoryDatabase()),
            cost_model=self.make(num_warmup_sample=-1),
        )
        assert len(database.get_all_tuning_records()) == 8


def make_context(workload: str, **search: Any) -> Any:
    """A TuneContext of a small matmul or softmax, with a small evolutionary search whose options these are."""
    options = {"population_size": 16, "init_min_unmeasured": 8, "genetic_num_iters": 1, "max_fail_count": 5} | search
    return ms.TuneContext(
        mod=make_program(workload),
        target=CPU,
        space_generator="post-order-apply",
        search_strategy=ms.search_strategy.EvolutionarySearch(**options),
        task_name=workload,
        rand_state=1,
        num_threads=1,
    )


def make_program(workload: str) -> Any:
    """The PrimFunc of a workload: "matmul" or "softmax"."""
    te_workload = import_module(f"{ms.__name__}.testing.te_workload")
    made = {"matmul": (te_workload.matmul, (64, 64, 128)), "softmax": (te_workload.softmax_mn, (64, 96))}
    function, shape = made[workload]
    return te.create_prim_func(function(*shape))
