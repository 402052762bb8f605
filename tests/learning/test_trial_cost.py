"""What a trial costs: learnt from the seconds that records say, kept in checkpoints, and heeded by a search."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tvm_gnn_cost.errors import CheckpointError
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.learning import Trainer, TrainerConfig, trial_cost
from tvm_gnn_cost.learning.checkpoint import load_checkpoint, save_checkpoint
from tvm_gnn_cost.learning.cost_model import CostModelCore
from tvm_gnn_cost.learning.metrics import pairwise_accuracy
from tvm_gnn_cost.learning.starting import new_trainer
from tvm_gnn_cost.learning.trial_cost import TrialCost
from tvm_gnn_cost.testing.toy_graphs import EDGE_DIM, NODE_DIM, toy_task

CPU = torch.device("cpu")
COLUMN = 2
THRESHOLD = 2.0
NONE_FAILED = np.zeros(100, dtype=np.bool_)


class Timed:
    """Toy graphs whose trial takes 2 to the power of the largest of a feature of their stages, and fails where that of
    another is among the largest of a hundred."""

    def __init__(self, count: int, seed: int) -> None:
        self.graphs = toy_task(count, seed).graphs
        self.took = np.exp2(self._largest(COLUMN))
        self.fails = self._largest(COLUMN + 1) > THRESHOLD

    def _largest(self, column: int) -> NDArray[np.float64]:
        values = self.graphs.node_features[:, column].astype(np.float64)
        return np.asarray(np.maximum.reduceat(values, self.graphs.node_ptr[:-1]))

    def gather(self, slots: Iterable[int] | IntArray, /) -> StageGraphBatch:
        return self.graphs.select(np.asarray(slots))

    def seconds(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        return np.asarray(self.took[np.asarray(slots)])

    def latency(self, slots: Iterable[int] | IntArray, /) -> NDArray[np.float64]:
        return np.where(self.fails[np.asarray(slots)], np.inf, 1e-3)


@pytest.fixture(scope="module")
def learnt() -> TrialCost:
    cost = TrialCost(NODE_DIM, EDGE_DIM, seed=0, device=CPU)
    assert cost.fit(Timed(600, 0), np.arange(600))
    return cost


def test_it_learns_seconds_of_schedules_that_it_never_saw(learnt: TrialCost) -> None:
    unseen = Timed(200, 5)
    error = np.abs(np.log2(learnt.predict(unseen.graphs)) - np.log2(unseen.took))
    spread = np.abs(np.log2(unseen.took) - np.median(np.log2(unseen.took)))
    assert np.median(error) < 0.5 * np.median(spread)
    assert learnt.error(unseen, np.arange(200)) == pytest.approx(float(np.median(error)), abs=1e-6)


def test_the_pace_of_a_machine_is_corrected(learnt: TrialCost) -> None:
    cost = TrialCost(NODE_DIM, EDGE_DIM, seed=0, device=CPU)
    cost.load(learnt.tensors())
    here, before = Timed(100, 6), cost.predict(Timed(100, 6).graphs)
    cost.adapt(here.graphs, 8.0 * before, NONE_FAILED)
    np.testing.assert_allclose(np.log2(cost.predict(here.graphs) / before), 3.0 * 100 / 108, atol=0.01)
    cost.adapt(here.graphs, np.full(100, np.nan), NONE_FAILED)
    assert cost.pace == pytest.approx(3.0 * 100 / 108, abs=0.01)


def test_it_learns_what_fails_and_how_often(learnt: TrialCost) -> None:
    unseen = Timed(400, 5)
    assert learnt.knows_failures and 0.02 < unseen.fails.mean() < 0.3
    chances = learnt.chance_of_failure(unseen.graphs)
    assert 0.0 <= chances.min() and chances.max() < 1.0
    told_apart = learnt.told_apart(unseen, np.arange(400))
    assert told_apart == pytest.approx(pairwise_accuracy(-chances, np.where(unseen.fails, 2.0, 1.0)), abs=0.01)
    assert told_apart > 0.8
    assert chances.mean() == pytest.approx(unseen.fails.mean(), rel=0.7), "as often as they did, not as they were drawn"


def test_where_trials_fail_more_often_it_expects_that(learnt: TrialCost) -> None:
    cost = TrialCost(NODE_DIM, EDGE_DIM, seed=0, device=CPU)
    cost.load(learnt.tensors())
    here = Timed(100, 6)
    before = cost.chance_of_failure(here.graphs)
    cost.adapt(here.graphs, np.full(100, np.nan), np.ones(100, dtype=np.bool_))
    after = cost.chance_of_failure(here.graphs)
    assert (after >= before).all() and np.median(after) > 3 * np.median(before)


def test_records_with_hardly_a_failure_say_nothing_of_their_chance(
    learnt: TrialCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_cost, "_STEPS", 100)
    records, cost = Timed(600, 0), TrialCost(NODE_DIM, EDGE_DIM, seed=0, device=CPU)
    records.fails[:] = False
    records.fails[:5] = True
    assert cost.fit(records, np.arange(600)) and not cost.knows_failures
    assert (cost.chance_of_failure(records.graphs) == 0).all() and cost.told_apart(records, np.arange(600)) is None
    assert not any(name.startswith("failure") for name in cost.tensors())
    seconds_alone = TrialCost(NODE_DIM, EDGE_DIM, seed=0, device=CPU)
    seconds_alone.load(cost.tensors())  # as files of earlier releases are
    np.testing.assert_array_equal(seconds_alone.predict(records.graphs), cost.predict(records.graphs))
    assert not seconds_alone.knows_failures and learnt.knows_failures


def test_too_few_records_teach_nothing() -> None:
    records = Timed(300, 0)
    records.took[100:] = np.nan
    trainer = Trainer(TrainerConfig(hidden_dim=8), node_dim=NODE_DIM, edge_dim=EDGE_DIM)
    trainer.learn_trial_cost(records, np.arange(300))
    assert trainer.trial_cost is None


def test_a_checkpoint_keeps_it(learnt: TrialCost, tmp_path: Path) -> None:
    trainer = Trainer(TrainerConfig(hidden_dim=8), node_dim=NODE_DIM, edge_dim=EDGE_DIM)
    save_checkpoint(tmp_path / "without.ckpt", trainer)
    assert load_checkpoint(tmp_path / "without.ckpt")[0].trial_cost is None
    trainer.trial_cost = learnt
    save_checkpoint(tmp_path / "with.ckpt", trainer)
    loaded, _ = load_checkpoint(tmp_path / "with.ckpt")
    graphs = Timed(20, 3).graphs
    assert loaded.trial_cost is not None
    np.testing.assert_array_equal(loaded.trial_cost.predict(graphs), learnt.predict(graphs))
    np.testing.assert_array_equal(loaded.trial_cost.chance_of_failure(graphs), learnt.chance_of_failure(graphs))


def test_damaged_tensors_are_refused(learnt: TrialCost) -> None:
    tensors = learnt.tensors()
    name = "scaler.node.mean"
    for damage in (
        {name: tensors[name][:-1]},
        {name: np.full_like(tensors[name], np.nan)},
        {f"failure.{name}": tensors[name][:-1]},
        {"failure.base": np.array([np.nan])},
        {"more": np.zeros(1)},
    ):
        with pytest.raises(CheckpointError, match="what a trial costs"):
            TrialCost(NODE_DIM, EDGE_DIM, seed=0, device=CPU).load({**tensors, **damage})


def test_what_takes_long_must_promise_more() -> None:
    """With scores that are all alike, the cheapest come first; with the option off, nothing changes."""

    class Costs:
        def predict(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
            return np.linspace(20.0, 0.2, len(graphs))

        def chance_of_failure(self, graphs: StageGraphBatch) -> NDArray[np.float64]:
            return np.linspace(0.3, 0.0, len(graphs))

    graphs = toy_task(50, 1).graphs
    for cost_aware in (True, False):
        core = CostModelCore(None, config=TrainerConfig(hidden_dim=8), cost_aware=cost_aware)
        core.trainer = new_trainer(TrainerConfig(hidden_dim=8), seed=0, device="cpu")
        core.trainer.trial_cost = Costs()  # type: ignore[assignment]
        alike = core._worth("task", graphs, np.ones(50))
        far_ahead = core._worth("task", graphs, np.array([4.0] + [1.0] * 49))
        if cost_aware:
            assert (np.diff(alike) > 0).all() and alike[0] < 0.5 < 1.0 < alike[-1]
            assert np.argmax(far_ahead) == 0, "it promises its price"
        else:
            assert (alike == 1.0).all()
