"""The conformance suite of evaluated methods, and what is particular to each kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.evaluation.boosting import NodeMethod, StockMethod, node_summary
from tvm_gnn_cost.evaluation.methods import Method
from tvm_gnn_cost.evaluation.networks import NetworkMethod, checkpoint_tasks
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.registry import make_method
from tvm_gnn_cost.graphs.schema import NODE_DIM, NODE_FEATURES
from tvm_gnn_cost.learning import TrainerConfig, pairwise_accuracy

from .problems import make_pool, make_problem

CONFIG = TrainerConfig(hidden_dim=16, num_layers=1, max_steps_per_update=8, fit_epochs=1)
NAMES = ("gnn", "gnn-cold", "gnn-x2", "xgboost-ours", "random")
TRAINING = [make_problem(make_pool(f"conv-{i}", seed=i, count=32)) for i in range(3)]
PROBLEM = make_problem(make_pool("matmul-1", seed=9, count=64))
SOME, REST = np.arange(24), np.arange(24, 64)


def trained(method: Method, folder: Path, seed: int = 0, problems: Sequence[Problem] = TRAINING) -> list[Path]:
    """Files of what the model learnt of the training pools; none for a cold one."""
    if not method.transfers:
        return []
    paths = [folder / f"{s}{method.suffix}" for s in method.training_seeds(seed)]
    for path, s in zip(paths, method.training_seeds(seed), strict=True):
        method.train(problems, s, path)
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_every_method_keeps_the_contract(name: str, tmp_path: Path) -> None:
    method = make_method(name, CONFIG)
    paths = trained(method, tmp_path)
    learner = method.start(paths, 0)
    assert learner.is_warm == bool(paths)
    learner.learn(PROBLEM, SOME)
    assert learner.is_warm or name == "random"
    found = learner.predict(PROBLEM, REST)
    assert found.scores.shape == found.latency.shape == REST.shape
    assert found.scores.dtype == np.float64 and np.isfinite(found.scores).all()
    assert (found.latency > 0).all() or (name == "random" and np.isnan(found.latency).all())
    again = method.start(paths, 0)
    again.learn(PROBLEM, SOME)
    np.testing.assert_array_equal(again.predict(PROBLEM, REST).scores, found.scores)


@pytest.mark.parametrize("name", ["gnn", "xgboost-ours"])
def test_what_was_learnt_of_other_tasks_ranks_an_unseen_one(name: str, tmp_path: Path) -> None:
    method = make_method(name, TrainerConfig(hidden_dim=32, num_layers=1, max_steps_per_update=150))
    problems = [make_problem(make_pool(f"conv-{i}", seed=i, count=200)) for i in range(4)]
    learner = method.start(trained(method, tmp_path, problems=problems), 0)
    records = np.flatnonzero(np.isfinite(PROBLEM.pool.latency))
    scores = learner.predict(PROBLEM, records).scores
    assert pairwise_accuracy(scores, PROBLEM.pool.latency[records]) > 0.7


def test_training_repeats(tmp_path: Path) -> None:
    method = make_method("gnn", CONFIG)
    first, second = (trained(method, tmp_path / name)[0] for name in ("a", "b"))
    scores = [method.start([path], 0).predict(PROBLEM, REST).scores for path in (first, second)]
    np.testing.assert_array_equal(*scores)


def test_an_ensemble_averages_octaves(tmp_path: Path) -> None:
    pair, alone = make_method("gnn-x2", CONFIG), make_method("gnn", CONFIG)
    assert pair.training_seeds(3) == [6, 7] and alone.training_seeds(3) == [3]
    assert pair.training_options() == alone.training_options() != pair.options()
    paths = trained(pair, tmp_path)
    both = pair.start(paths, 0).predict(PROBLEM, REST)
    members = [alone.start([path], 0).predict(PROBLEM, REST) for path in paths]
    np.testing.assert_allclose(both.scores, np.sqrt(members[0].scores * members[1].scores))
    np.testing.assert_allclose(both.latency, np.sqrt(members[0].latency * members[1].latency))


def test_a_network_keeps_the_options_of_updates(tmp_path: Path) -> None:
    """A given checkpoint is updated with the steps that are asked for, and never by the clock."""
    (path,) = trained(make_method("gnn", CONFIG), tmp_path)
    method = make_method("gnn", TrainerConfig(max_steps_per_update=3), checkpoint=path)
    assert isinstance(method, NetworkMethod) and method.checkpoint == path
    trainer = method._load(path, 0)
    assert trainer.config.max_steps_per_update == 3 and trainer.config.max_seconds_per_update == np.inf
    assert trainer.config.hidden_dim == CONFIG.hidden_dim


def test_a_checkpoint_tells_what_it_learnt(tmp_path: Path) -> None:
    (path,) = trained(make_method("gnn", CONFIG), tmp_path)
    assert checkpoint_tasks(path) == ({problem.pool.workload for problem in TRAINING}, {"conv"})


def test_only_gnn_starts_from_a_checkpoint() -> None:
    given = Path("given.ckpt")
    assert make_method("gnn", CONFIG, given).checkpoint == given
    for name in ("gnn-cold", "gnn-x3", "random", "xgboost-ours"):
        assert make_method(name, CONFIG, given).checkpoint is None


@pytest.mark.parametrize("name", ["mlp", "lstm-cold"])
def test_other_families_are_told_by_the_config(name: str) -> None:
    method = make_method(name, CONFIG)
    assert isinstance(method, NetworkMethod) and method.config.network == name.partition("-")[0]
    assert method.training_options() != make_method("gnn", CONFIG).training_options()


@pytest.mark.parametrize("name", ["svm", "gnn-x1", "gnn-warm", "xgboost-cold", ""])
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="unknown model"):
        make_method(name, CONFIG)


def test_trees_predict_nothing_slower_than_what_they_know() -> None:
    learner = NodeMethod().start([], 0)
    assert np.isnan(learner.predict(PROBLEM, REST).latency).all()
    learner.learn(PROBLEM, SOME)
    known = PROBLEM.pool.latency[SOME]
    assert learner.predict(PROBLEM, REST).latency.max() <= known[np.isfinite(known)].max() * (1 + 1e-12)


def test_trees_that_know_failures_alone_are_cold() -> None:
    learner = NodeMethod().start([], 0)
    learner.learn(PROBLEM, np.flatnonzero(np.isinf(PROBLEM.pool.latency)))
    assert not learner.is_warm and not learner.predict(PROBLEM, REST).scores.any()


def test_trees_forget_other_tasks_when_they_learn_one(tmp_path: Path) -> None:
    """As XGBModel, which is trained anew on what it measured."""
    method = NodeMethod()
    warm, cold = method.start(trained(method, tmp_path), 0), method.start([], 0)
    for learner in (warm, cold):
        learner.learn(PROBLEM, SOME)
    np.testing.assert_array_equal(warm.predict(PROBLEM, REST).scores, cold.predict(PROBLEM, REST).scores)


def test_the_heaviest_stage_is_summarised() -> None:
    graphs = PROBLEM.pool.graphs.select(np.arange(5))
    summary = node_summary(graphs)
    nodes = graphs.node_features.reshape(5, 2, NODE_DIM)
    assert nodes[:, 1, [f.name for f in NODE_FEATURES].index("is_heaviest")].all()
    np.testing.assert_array_equal(summary[:, :NODE_DIM], nodes.max(axis=1))
    np.testing.assert_array_equal(summary[:, NODE_DIM:], nodes[:, 1])


def test_the_stock_method_needs_stock_features() -> None:
    def unused(*given: object) -> None:
        raise AssertionError

    with pytest.raises(InvalidArgumentError, match="read without stock's features"):
        StockMethod(unused).start([], 0).learn(PROBLEM, SOME)


def test_damaged_trees_get_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "bad.ubj").write_bytes(b"no trees")
    with pytest.raises(CheckpointError, match="delete it"):
        NodeMethod().start([tmp_path / "bad.ubj"], 0)
