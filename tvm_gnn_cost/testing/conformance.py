"""What TVM's auto_scheduler expects of a cost model, as a pytest suite that any cost model can run.

In a test module of its own, where pytest should also explain failed asserts of the suite:

    pytest.register_assert_rewrite("tvm_gnn_cost.testing.conformance")
    from tvm_gnn_cost.testing.conformance import AnsorCostModelConformance

    class TestMyModel(AnsorCostModelConformance):
        def make(self, **options):
            return MyModel(seed=3, **options)

The clauses are those of TVM's callers, named in each docstring: C++ files are under `src/auto_scheduler`, Python
files under `python/tvm/auto_scheduler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from tvm import auto_scheduler

from tvm_gnn_cost.testing.clauses import CostModelClauses
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import (
    make_policy,
    make_task,
    measured,
    sample_states,
    stock_verdict,
)


class AnsorCostModelConformance(CostModelClauses):
    """The clauses of a cost model for auto_scheduler, one test each. Subclass it and override `make`.

    Who calls the methods of a model, and when:

    * `predict(task, states)`: `SketchPolicyNode::SampleInitPopulation` for each batch of samples, of which it keeps
      those that score above -1e10, and `EvolutionarySearch` for each generation, whose scores, cut off at 0, are the
      probabilities by which parents are drawn.
    * `update(inputs, results)`: `SketchPolicyNode::ContinueSearchOneRound` after each round's measurements, and
      `Search` before each round but the first.
    * `predict_stages(task, states)`: `PythonBasedModelNode::PredictStages`, for whoever asks for scores by stage.
    * `load(path)` or else `update_from_file(path)`: `make_search_policies`, before the first round.
    * `save(path)`: the model itself, or its user.
    """

    def scores(self, model: Any, task: Any, schedules: Sequence[Any]) -> NDArray[Any]:
        return np.asarray(model.predict(task, schedules))

    def learn(self, model: Any, task: Any, schedules: Sequence[Any], costs: ArrayLike) -> None:
        model.update(*measured(task, schedules, costs))

    def learn_half_failed(
        self, model: Any, task: Any, good: Sequence[Any], costs: ArrayLike, bad: Sequence[Any]
    ) -> None:
        succeeded, failed = measured(task, good, costs), measured_failures(task, bad)
        model.update(succeeded[0] + failed[0], succeeded[1] + failed[1])

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls) -> Any:
        """What is learnt: a matmul on a CPU."""
        return make_task("matmul")

    @pytest.fixture(scope="class")
    @classmethod
    def states(cls, task: Any) -> list[Any]:
        """50 schedules of the task."""
        return sample_states(task, 50)

    @pytest.fixture(scope="class")
    @classmethod
    def schedules(cls, states: list[Any]) -> list[Any]:
        return states

    @pytest.fixture(scope="class")
    @classmethod
    def other(cls) -> tuple[Any, list[Any]]:
        task = make_task("softmax")
        return task, sample_states(task, 20)

    @pytest.mark.parametrize("trained", [False, True])
    def test_state_objects_and_states_score_alike(self, task: Any, states: list[Any], trained: bool) -> None:
        """`PythonBasedModelNode::Predict` in cost_model.cc hands over StateObjects, where Python users have States."""
        models = [self.trained(task, states) if trained else self.make() for _ in range(2)]
        as_objects = [state.state_object for state in states]
        np.testing.assert_array_equal(self.scores(models[0], task, states), self.scores(models[1], task, as_objects))

    @pytest.mark.parametrize("trained", [False, True])
    def test_schedules_that_break_the_limits_score_minus_infinity(self, trained: bool) -> None:
        """`SampleInitPopulation` drops what scores -1e10 or less, and no one else checks a GPU's limits."""
        gpu_task = make_task("matmul", "cuda")
        candidates = sample_states(gpu_task, 60)
        broken = ~stock_verdict(candidates, gpu_task)
        assert broken.any() and not broken.all(), "the sample must hold both"
        model = self.trained(gpu_task, candidates) if trained else self.make()
        np.testing.assert_array_equal(np.isneginf(self.scores(model, gpu_task, candidates)), broken)

    def test_stage_scores_are_packed(self, task: Any, states: list[Any]) -> None:
        """`PythonBasedModelNode::PredictStages` in cost_model.cc, which aborts at another number of stages.

        After the n scores come, for each state, the number of its stages that compute (or 0: no details) and their
        scores, which sum to the state's.
        """
        packed = np.asarray(self.trained(task, states).predict_stages(task, states))
        scores, rest = packed[: len(states)], packed[len(states) :]
        for state, score in zip(states, scores, strict=True):
            computed = sum(int(s.op_type) == 1 and int(s.compute_at) != 1 for s in state.state_object.stages)
            count = int(rest[0])
            assert count in (0, computed)
            if count:
                np.testing.assert_allclose(rest[1 : 1 + count].sum(), score, rtol=1e-4, atol=1e-5)
            rest = rest[1 + count :]
        assert len(rest) == 0

    def test_packed_scores_are_those_of_predict(self, task: Any, states: list[Any]) -> None:
        """`PythonBasedModelNode::PredictStages` in cost_model.cc: its `state_scores`."""
        model = self.trained(task, states)
        packed = np.asarray(model.predict_stages(task, states))
        np.testing.assert_allclose(packed[: len(states)], self.scores(model, task, states), rtol=1e-5)

    def test_update_from_a_part_of_a_file(self, task: Any, states: list[Any], tmp_path: Path) -> None:
        """`XGBModel.update_from_file(file_name, n_lines)` in cost_model/xgb_model.py, which users call as well."""
        log = self._log(task, states, tmp_path)
        model = self.make(num_warmup_sample=-1)
        model.update_from_file(str(log), 10)
        assert np.isfinite(self.scores(model, task, states)).all()

    def test_update_from_file(self, task: Any, states: list[Any], tmp_path: Path) -> None:
        """`make_search_policies(load_log_file=...)` in task_scheduler.py: as if all had been measured now."""
        log = self._log(task, states, tmp_path)
        from_file = self.make(num_warmup_sample=-1)
        from_file.update_from_file(str(log))
        direct = self.trained(task, states)
        np.testing.assert_allclose(self.scores(from_file, task, states), self.scores(direct, task, states), rtol=1e-4)

    def test_the_search_runs_with_it(self, task: Any) -> None:
        """`EvolutionarySearch` in search_policy/sketch_policy.cc, warm: candidates come, and score no worse."""
        candidates = sample_states(task, 30)
        model = self.trained(task, candidates)
        policy = auto_scheduler.SketchPolicy(
            task,
            model,
            verbose=0,
            seed=1,
            params={"evolutionary_search_population": 64, "evolutionary_search_num_iters": 1},
        )
        population = list(make_policy(task, sample_init_min_population=30).sample_initial_population())[:30]
        best = list(policy.evolutionary_search(population, 8))
        assert len(best) == 8
        found = self.scores(model, task, [task.compute_dag.infer_bound_from_state(s) for s in best])
        start = self.scores(model, task, [task.compute_dag.infer_bound_from_state(s) for s in population])
        assert np.mean(found) >= np.mean(start)

    def _log(self, task: Any, states: list[Any], folder: Path) -> Path:
        log = folder / "log.json"
        auto_scheduler.save_records(str(log), *measured(task, states, random_costs(len(states))))
        return log


def measured_failures(task: Any, states: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """MeasureInputs and MeasureResults whose builds took too long, as TVM reports them."""
    return measured(task, states, [1e10] * len(states), error_no=6)
