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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from tvm import auto_scheduler

from tvm_gnn_cost.testing.schedules import (
    make_policy,
    make_task,
    measured,
    random_costs,
    sample_states,
    stock_verdict,
)


class AnsorCostModelConformance:
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

    Attributes:
        exceptions: clauses that are known not to hold, by their names without `test_`, and why. They are skipped with
            that reason. Where a model's own way is deterministic, the subclass should test it.
    """

    exceptions: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        unknown = [clause for clause in cls.exceptions if not hasattr(cls, f"test_{clause}")]
        if unknown:
            raise TypeError(f"{cls.__name__}.exceptions names what is no clause: {', '.join(unknown)}")

    def make(self, **options: Any) -> Any:
        """A new model that has learnt nothing, silent, and with the same seed at each call.

        Args:
            options: `num_warmup_sample` or nothing. Scores are random until a model has more records than that.
        """
        raise NotImplementedError

    def reload(self, model: Any, path: Path) -> Any:
        """The model that `model.save(path)` wrote; called with that model right after. Override where `load` makes one.

        This one calls `load(path)` of a new model.
        """
        again = self.make()
        again.load(str(path))
        return again

    @pytest.fixture(autouse=True)
    def _skip_exceptions(self, request: pytest.FixtureRequest) -> None:
        reason = self.exceptions.get(request.function.__name__.removeprefix("test_"))
        if reason is not None:
            pytest.skip(reason)

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

    def test_scores_before_any_measurement(self, task: Any, states: list[Any]) -> None:
        """`SampleInitPopulation` and `EvolutionarySearch` of the first round, in search_policy/sketch_policy.cc."""
        scores = _scores(self.make(), task, states)
        assert scores.shape == (len(states),)
        assert np.isfinite(scores).all() and (scores > 0).all()
        assert len(np.unique(scores)) > len(states) // 2, "a cold model must explore, not tie"

    def test_trained_scores_are_finite(self, task: Any, states: list[Any]) -> None:
        """`ComputePrefixSumProb` in search_policy/utils.h: a score of 0 or below is never drawn, nan makes all nan."""
        scores = _scores(self._trained(task, states), task, states)
        assert np.isfinite(scores).all() and (scores > 0).all()

    def test_learns_normalised_throughput(self, task: Any, states: list[Any], tmp_path: Path) -> None:
        """`EvolutionarySearch` wants high scores for fast schedules; the bound is that of TVM's own test of XGBModel,
        tests/python/auto_scheduler/test_auto_scheduler_cost_model.py. The same after a reload."""
        costs = random_costs(len(states))
        model = self._trained(task, states)
        throughput = costs.min() / costs
        assert _rmse(_scores(model, task, states), throughput) <= 0.3
        path = tmp_path / "model"
        model.save(str(path))
        assert _rmse(_scores(self.reload(model, path), task, states), throughput) <= 0.3

    def test_a_reloaded_model_scores_the_same(self, task: Any, states: list[Any], tmp_path: Path) -> None:
        """`make_search_policies(load_model_file=...)` in task_scheduler.py."""
        model = self._trained(task, states)
        path = tmp_path / "model"
        model.save(str(path))
        again = _scores(self.reload(model, path), task, states)
        np.testing.assert_array_equal(again, _scores(model, task, states))

    def test_same_seed_same_scores(self, task: Any, states: list[Any]) -> None:
        """`SketchPolicy(seed=...)` in search_policy.py: a search can be repeated only if its model can."""
        first, second = (_scores(self._trained(task, states), task, states) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_trained_model_repeats_its_scores(self, task: Any, states: list[Any]) -> None:
        """`EvolutionarySearch` compares scores of several calls of `Predict` in one heap."""
        model = self._trained(task, states)
        np.testing.assert_array_equal(_scores(model, task, states), _scores(model, task, states))

    @pytest.mark.parametrize("trained", [False, True])
    def test_state_objects_and_states_score_alike(self, task: Any, states: list[Any], trained: bool) -> None:
        """`PythonBasedModelNode::Predict` in cost_model.cc hands over StateObjects, where Python users have States."""
        models = [self._trained(task, states) if trained else self.make() for _ in range(2)]
        as_objects = [state.state_object for state in states]
        np.testing.assert_array_equal(_scores(models[0], task, states), _scores(models[1], task, as_objects))

    @pytest.mark.parametrize("trained", [False, True])
    def test_schedules_that_break_the_limits_score_minus_infinity(self, trained: bool) -> None:
        """`SampleInitPopulation` drops what scores -1e10 or less, and no one else checks a GPU's limits."""
        gpu_task = make_task("matmul", "cuda")
        candidates = sample_states(gpu_task, 60)
        broken = ~stock_verdict(candidates, gpu_task)
        assert broken.any() and not broken.all(), "the sample must hold both"
        model = self._trained(gpu_task, candidates) if trained else self.make()
        np.testing.assert_array_equal(np.isneginf(_scores(model, gpu_task, candidates)), broken)

    def test_stage_scores_are_packed(self, task: Any, states: list[Any]) -> None:
        """`PythonBasedModelNode::PredictStages` in cost_model.cc, which aborts at another number of stages.

        After the n scores come, for each state, the number of its stages that compute (or 0: no details) and their
        scores, which sum to the state's.
        """
        packed = np.asarray(self._trained(task, states).predict_stages(task, states))
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
        model = self._trained(task, states)
        packed = np.asarray(model.predict_stages(task, states))
        np.testing.assert_allclose(packed[: len(states)], _scores(model, task, states), rtol=1e-5)

    def test_update_from_a_part_of_a_file(self, task: Any, states: list[Any], tmp_path: Path) -> None:
        """`XGBModel.update_from_file(file_name, n_lines)` in cost_model/xgb_model.py, which users call as well."""
        log = self._log(task, states, tmp_path)
        model = self.make(num_warmup_sample=-1)
        model.update_from_file(str(log), 10)
        assert np.isfinite(_scores(model, task, states)).all()

    def test_update_from_file(self, task: Any, states: list[Any], tmp_path: Path) -> None:
        """`make_search_policies(load_log_file=...)` in task_scheduler.py: as if all had been measured now."""
        log = self._log(task, states, tmp_path)
        from_file = self.make(num_warmup_sample=-1)
        from_file.update_from_file(str(log))
        direct = self._trained(task, states)
        np.testing.assert_allclose(_scores(from_file, task, states), _scores(direct, task, states), rtol=1e-4)

    def test_random_until_there_are_more_than_num_warmup_sample_records(self, task: Any, states: list[Any]) -> None:
        """`ContinueSearchOneRound` in search_policy/sketch_policy.cc: what is learnt in a small first round would
        narrow the search at once. A random score differs from call to call; a learnt one follows throughput."""
        model = self.make(num_warmup_sample=len(states) - 1)
        costs = random_costs(len(states))
        model.update(*measured(task, states[:-1], costs[:-1]))
        assert not np.array_equal(_scores(model, task, states), _scores(model, task, states))
        model.update(*measured(task, states[-1:], costs[-1:]))
        assert _rmse(_scores(model, task, states), costs.min() / costs) <= 0.3

    def test_failed_measurements_are_learnt_as_slow(self, task: Any, states: list[Any]) -> None:
        """`ContinueSearchOneRound` hands over failed results too, at 1e10 s; not learnt from, they are tried again."""
        model = self.make(num_warmup_sample=-1)
        good, bad = states[:25], states[25:]
        good_pairs, bad_pairs = measured(task, good, random_costs(25)), measured_failures(task, bad)
        model.update(good_pairs[0] + bad_pairs[0], good_pairs[1] + bad_pairs[1])
        scores = _scores(model, task, states)
        assert np.median(scores[25:]) < np.median(scores[:25])

    def test_several_updates_and_tasks(self, task: Any, states: list[Any]) -> None:
        """`TaskScheduler.tune` in task_scheduler.py: the policies of all tasks share one model, and take turns."""
        other_task = make_task("softmax")
        other_states = sample_states(other_task, 20)
        model = self.make(num_warmup_sample=-1)
        model.update(*measured(task, states[:25], random_costs(25)))
        model.update(*measured(other_task, other_states, 1e-3 * random_costs(len(other_states))))
        model.update(*measured(task, states[25:], random_costs(25, seed=1)))
        for t, s in ((task, states), (other_task, other_states)):
            scores = _scores(model, t, s)
            assert np.isfinite(scores).all() and scores.std() > 0

    def test_empty_update_changes_nothing(self, task: Any, states: list[Any]) -> None:
        """`ContinueSearchOneRound` updates also where all candidates had been measured before."""
        model = self._trained(task, states)
        before = _scores(model, task, states)
        model.update([], [])
        np.testing.assert_array_equal(_scores(model, task, states), before)

    def test_the_search_runs_with_it(self, task: Any) -> None:
        """`EvolutionarySearch` in search_policy/sketch_policy.cc, warm: candidates come, and score no worse."""
        candidates = sample_states(task, 30)
        model = self._trained(task, candidates)
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
        found = _scores(model, task, [task.compute_dag.infer_bound_from_state(s) for s in best])
        start = _scores(model, task, [task.compute_dag.infer_bound_from_state(s) for s in population])
        assert np.mean(found) >= np.mean(start)

    def _trained(self, task: Any, states: list[Any]) -> Any:
        model = self.make(num_warmup_sample=-1)
        model.update(*measured(task, states, random_costs(len(states))))
        return model

    def _log(self, task: Any, states: list[Any], folder: Path) -> Path:
        log = folder / "log.json"
        auto_scheduler.save_records(str(log), *measured(task, states, random_costs(len(states))))
        return log


def measured_failures(task: Any, states: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """MeasureInputs and MeasureResults whose builds took too long, as TVM reports them."""
    return measured(task, states, [1e10] * len(states), error_no=6)


def _scores(model: Any, task: Any, states: Sequence[Any]) -> NDArray[Any]:
    return np.asarray(model.predict(task, states))


def _rmse(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))
