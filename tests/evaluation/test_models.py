"""The conformance suite of evaluated models, and what is particular to each kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.evaluation.boosting import NodeModel, StockModel, node_summary
from tvm_gnn_cost.evaluation.models import Model
from tvm_gnn_cost.evaluation.networks import NetworkModel, checkpoint_tasks
from tvm_gnn_cost.evaluation.registry import make_model
from tvm_gnn_cost.evaluation.subjects import Subject
from tvm_gnn_cost.graphs.schema import NODE_DIM, NODE_FEATURES
from tvm_gnn_cost.learning import TrainerConfig, pairwise_accuracy

from .subjects import make_pool, make_subject

CONFIG = TrainerConfig(hidden_dim=16, num_layers=1, max_steps_per_update=8, fit_epochs=1)
NAMES = ("gnn", "gnn-cold", "gnn-x2", "xgboost-ours", "random")
TRAINING = [make_subject(make_pool(f"conv-{i}", seed=i, count=32)) for i in range(3)]
SUBJECT = make_subject(make_pool("matmul-1", seed=9, count=64))
SOME, REST = np.arange(24), np.arange(24, 64)


def trained(model: Model, folder: Path, seed: int = 0, subjects: Sequence[Subject] = TRAINING) -> list[Path]:
    """Files of what the model learnt of the training pools; none for a cold one."""
    if not model.transfers:
        return []
    paths = [folder / f"{s}{model.suffix}" for s in model.training_seeds(seed)]
    for path, s in zip(paths, model.training_seeds(seed), strict=True):
        model.train(subjects, s, path)
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_every_model_keeps_the_contract(name: str, tmp_path: Path) -> None:
    model = make_model(name, CONFIG)
    paths = trained(model, tmp_path)
    learner = model.start(paths, 0)
    assert learner.is_warm == bool(paths)
    learner.learn(SUBJECT, SOME)
    assert learner.is_warm or name == "random"
    found = learner.predict(SUBJECT, REST)
    assert found.scores.shape == found.latency.shape == REST.shape
    assert found.scores.dtype == np.float64 and np.isfinite(found.scores).all()
    assert (found.latency > 0).all() or (name == "random" and np.isnan(found.latency).all())
    again = model.start(paths, 0)
    again.learn(SUBJECT, SOME)
    np.testing.assert_array_equal(again.predict(SUBJECT, REST).scores, found.scores)


@pytest.mark.parametrize("name", ["gnn", "xgboost-ours"])
def test_what_was_learnt_of_other_tasks_ranks_an_unseen_one(name: str, tmp_path: Path) -> None:
    model = make_model(name, TrainerConfig(hidden_dim=32, num_layers=1, max_steps_per_update=150))
    subjects = [make_subject(make_pool(f"conv-{i}", seed=i, count=200)) for i in range(4)]
    learner = model.start(trained(model, tmp_path, subjects=subjects), 0)
    records = np.flatnonzero(np.isfinite(SUBJECT.pool.latency))
    scores = learner.predict(SUBJECT, records).scores
    assert pairwise_accuracy(scores, SUBJECT.pool.latency[records]) > 0.7


def test_training_repeats(tmp_path: Path) -> None:
    model = make_model("gnn", CONFIG)
    first, second = (trained(model, tmp_path / name)[0] for name in ("a", "b"))
    scores = [model.start([path], 0).predict(SUBJECT, REST).scores for path in (first, second)]
    np.testing.assert_array_equal(*scores)


def test_an_ensemble_averages_octaves(tmp_path: Path) -> None:
    pair, alone = make_model("gnn-x2", CONFIG), make_model("gnn", CONFIG)
    assert pair.training_seeds(3) == [6, 7] and alone.training_seeds(3) == [3]
    assert pair.training_options() == alone.training_options() != pair.options()
    paths = trained(pair, tmp_path)
    both = pair.start(paths, 0).predict(SUBJECT, REST)
    members = [alone.start([path], 0).predict(SUBJECT, REST) for path in paths]
    np.testing.assert_allclose(both.scores, np.sqrt(members[0].scores * members[1].scores))
    np.testing.assert_allclose(both.latency, np.sqrt(members[0].latency * members[1].latency))


def test_a_network_keeps_the_options_of_updates(tmp_path: Path) -> None:
    """A given checkpoint is updated with the steps that are asked for, and never by the clock."""
    (path,) = trained(make_model("gnn", CONFIG), tmp_path)
    model = make_model("gnn", TrainerConfig(max_steps_per_update=3), checkpoint=path)
    assert isinstance(model, NetworkModel) and model.checkpoint == path
    trainer = model._load(path, 0)
    assert trainer.config.max_steps_per_update == 3 and trainer.config.max_seconds_per_update == np.inf
    assert trainer.config.hidden_dim == CONFIG.hidden_dim


def test_a_checkpoint_tells_what_it_learnt(tmp_path: Path) -> None:
    (path,) = trained(make_model("gnn", CONFIG), tmp_path)
    assert checkpoint_tasks(path) == ({subject.pool.workload for subject in TRAINING}, {"conv"})


def test_only_gnn_starts_from_a_checkpoint() -> None:
    given = Path("given.ckpt")
    assert make_model("gnn", CONFIG, given).checkpoint == given
    for name in ("gnn-cold", "gnn-x3", "random", "xgboost-ours"):
        assert make_model(name, CONFIG, given).checkpoint is None


@pytest.mark.parametrize("name", ["mlp", "lstm-cold"])
def test_other_families_are_told_by_the_config(name: str) -> None:
    model = make_model(name, CONFIG)
    assert isinstance(model, NetworkModel) and model.config.network == name.partition("-")[0]
    assert model.training_options() != make_model("gnn", CONFIG).training_options()


@pytest.mark.parametrize("name", ["svm", "gnn-x1", "gnn-warm", "xgboost-cold", ""])
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="unknown model"):
        make_model(name, CONFIG)


def test_trees_predict_nothing_slower_than_what_they_know() -> None:
    learner = NodeModel().start([], 0)
    assert np.isnan(learner.predict(SUBJECT, REST).latency).all()
    learner.learn(SUBJECT, SOME)
    known = SUBJECT.pool.latency[SOME]
    assert learner.predict(SUBJECT, REST).latency.max() <= known[np.isfinite(known)].max() * (1 + 1e-12)


def test_trees_that_know_failures_alone_are_cold() -> None:
    learner = NodeModel().start([], 0)
    learner.learn(SUBJECT, np.flatnonzero(np.isinf(SUBJECT.pool.latency)))
    assert not learner.is_warm and not learner.predict(SUBJECT, REST).scores.any()


def test_trees_forget_other_tasks_when_they_learn_one(tmp_path: Path) -> None:
    """As XGBModel, which is trained anew on what it measured."""
    model = NodeModel()
    warm, cold = model.start(trained(model, tmp_path), 0), model.start([], 0)
    for learner in (warm, cold):
        learner.learn(SUBJECT, SOME)
    np.testing.assert_array_equal(warm.predict(SUBJECT, REST).scores, cold.predict(SUBJECT, REST).scores)


def test_the_heaviest_stage_is_summarised() -> None:
    graphs = SUBJECT.pool.graphs.select(np.arange(5))
    summary = node_summary(graphs)
    nodes = graphs.node_features.reshape(5, 2, NODE_DIM)
    assert nodes[:, 1, [f.name for f in NODE_FEATURES].index("is_heaviest")].all()
    np.testing.assert_array_equal(summary[:, :NODE_DIM], nodes.max(axis=1))
    np.testing.assert_array_equal(summary[:, NODE_DIM:], nodes[:, 1])


def test_the_stock_model_needs_stock_features() -> None:
    with pytest.raises(InvalidArgumentError, match="read without stock's features"):
        StockModel().start([], 0).learn(SUBJECT, SOME)


def test_damaged_trees_get_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "bad.ubj").write_bytes(b"no trees")
    with pytest.raises(CheckpointError, match="delete it"):
        NodeModel().start([tmp_path / "bad.ubj"], 0)
