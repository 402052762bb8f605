"""What both of TVM's schedulers expect of a cost model, as tests; `conformance` and `conformance_meta_schedule` add
what only one of them does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from tvm_gnn_cost.testing.costs import random_costs


class CostModelClauses:
    """The clauses that hold for either scheduler, one test each.

    A scheduler's suite says how its models are called: `scores`, `learn`, `learn_failures`, and the fixtures `task`,
    `schedules` (50 of the task, which all can run) and `other` (another task and 20 schedules of it). C++ files in the
    docstrings are under `src/auto_scheduler` for Ansor, `src/meta_schedule` for MetaSchedule.

    Attributes:
        exceptions: clauses that are known not to hold, by their names without `test_`, and why; of a clause with
            parameters perhaps one case, "name[case]". They are skipped with that reason. Where a model's own way is
            deterministic, the subclass should test it.
    """

    exceptions: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        unknown = [clause for clause in cls.exceptions if not hasattr(cls, f"test_{clause.partition('[')[0]}")]
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

    def scores(self, model: Any, task: Any, schedules: Sequence[Any]) -> NDArray[Any]:
        """What the model says of the schedules."""
        raise NotImplementedError

    def learn(self, model: Any, task: Any, schedules: Sequence[Any], costs: ArrayLike) -> None:
        """Updates the model with measurements of the given costs in seconds."""
        raise NotImplementedError

    def learn_half_failed(
        self, model: Any, task: Any, good: Sequence[Any], costs: ArrayLike, bad: Sequence[Any]
    ) -> None:
        """Updates the model once, with the measurements of `good` and with failed ones of `bad`."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _skip_exceptions(self, request: pytest.FixtureRequest) -> None:
        for name in (request.function.__name__, request.node.name):
            reason = self.exceptions.get(name.removeprefix("test_"))
            if reason is not None:
                pytest.skip(reason)

    def test_scores_before_any_measurement(self, task: Any, schedules: list[Any]) -> None:
        """The first round. Ansor: `SampleInitPopulation` and `EvolutionarySearch` in search_policy/sketch_policy.cc.
        MetaSchedule: `PredictNormalizedScore` in search_strategy/evolutionary_search.cc."""
        scores = self.scores(self.make(), task, schedules)
        assert scores.shape == (len(schedules),)
        assert np.isfinite(scores).all() and (scores > 0).all()
        assert len(np.unique(scores)) > len(schedules) // 2, "a cold model must explore, not tie"

    def test_trained_scores_are_finite(self, task: Any, schedules: list[Any]) -> None:
        """A score of 0 or below is never drawn as a parent. Ansor: `ComputePrefixSumProb` in search_policy/utils.h,
        where nan makes all nan. MetaSchedule: `MakeMultinomialSampler`, src/tir/schedule/primitive/sampling.cc."""
        scores = self.scores(self.trained(task, schedules), task, schedules)
        assert np.isfinite(scores).all() and (scores > 0).all()

    def test_learns_normalised_throughput(self, task: Any, schedules: list[Any], tmp_path: Path) -> None:
        """The search wants high scores for fast schedules; the bound is that of TVM's own test of auto_scheduler's
        XGBModel, tests/python/auto_scheduler/test_auto_scheduler_cost_model.py. The same after a reload."""
        costs = random_costs(len(schedules))
        model = self.trained(task, schedules)
        throughput = costs.min() / costs
        assert _rmse(self.scores(model, task, schedules), throughput) <= 0.3
        path = tmp_path / "model"
        model.save(str(path))
        assert _rmse(self.scores(self.reload(model, path), task, schedules), throughput) <= 0.3

    def test_a_reloaded_model_scores_the_same(self, task: Any, schedules: list[Any], tmp_path: Path) -> None:
        """A user's `save` and `load`, and Ansor's `make_search_policies(load_model_file=...)` in task_scheduler.py."""
        model = self.trained(task, schedules)
        path = tmp_path / "model"
        model.save(str(path))
        again = self.scores(self.reload(model, path), task, schedules)
        np.testing.assert_array_equal(again, self.scores(model, task, schedules))

    def test_same_seed_same_scores(self, task: Any, schedules: list[Any]) -> None:
        """`SketchPolicy(seed=...)` and `tune_tir(seed=...)`: a search can be repeated only if its model can."""
        first, second = (self.scores(self.trained(task, schedules), task, schedules) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_trained_model_repeats_its_scores(self, task: Any, schedules: list[Any]) -> None:
        """`EvolutionarySearch` and `EvolveWithCostModel` compare scores of several calls of `Predict` in one heap."""
        model = self.trained(task, schedules)
        np.testing.assert_array_equal(self.scores(model, task, schedules), self.scores(model, task, schedules))

    def test_random_until_there_are_more_than_num_warmup_sample_records(self, task: Any, schedules: list[Any]) -> None:
        """What is learnt in a small first round would narrow the search at once. A random score differs from call to
        call; a learnt one follows throughput."""
        model = self.make(num_warmup_sample=len(schedules) - 1)
        costs = random_costs(len(schedules))
        self.learn(model, task, schedules[:-1], costs[:-1])
        assert not np.array_equal(self.scores(model, task, schedules), self.scores(model, task, schedules))
        self.learn(model, task, schedules[-1:], costs[-1:])
        assert _rmse(self.scores(model, task, schedules), costs.min() / costs) <= 0.3

    def test_failed_measurements_are_learnt_as_slow(self, task: Any, schedules: list[Any]) -> None:
        """Not learnt from, they are tried again. Ansor: `ContinueSearchOneRound` hands over failed results too, at
        1e10 s. MetaSchedule: `UpdateCostModelNode` hands over failed runs, with a message and no times."""
        model = self.make(num_warmup_sample=-1)
        self.learn_half_failed(model, task, schedules[:25], random_costs(25), schedules[25:])
        scores = self.scores(model, task, schedules)
        assert np.median(scores[25:]) < np.median(scores[:25])

    def test_several_updates_and_tasks(self, task: Any, schedules: list[Any], other: tuple[Any, list[Any]]) -> None:
        """`TaskScheduler.tune`: all tasks share one model, and take turns."""
        model = self.make(num_warmup_sample=-1)
        self.learn(model, task, schedules[:25], random_costs(25))
        self.learn(model, *other, 1e-3 * random_costs(len(other[1])))
        self.learn(model, task, schedules[25:], random_costs(25, seed=1))
        for t, s in ((task, schedules), other):
            scores = self.scores(model, t, s)
            assert np.isfinite(scores).all() and scores.std() > 0

    def test_empty_update_changes_nothing(self, task: Any, schedules: list[Any]) -> None:
        """A round of which nothing can be learnt is handed over as well. Ansor: `ContinueSearchOneRound`, where all
        candidates had been measured before. MetaSchedule: `UpdateCostModelNode`, where every build failed."""
        model = self.trained(task, schedules)
        before = self.scores(model, task, schedules)
        self.learn(model, task, [], [])
        np.testing.assert_array_equal(self.scores(model, task, schedules), before)

    def trained(self, task: Any, schedules: list[Any]) -> Any:
        """A model that has learnt `random_costs` of the schedules."""
        model = self.make(num_warmup_sample=-1)
        self.learn(model, task, schedules, random_costs(len(schedules)))
        return model


def _rmse(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))
