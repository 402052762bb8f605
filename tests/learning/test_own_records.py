"""OwnRecords: what a task's records say of its other schedules, and what becomes of it in a prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning import Trainer, TrainerConfig, pairwise_accuracy
from tvm_gnn_cost.learning.checkpoint import load_checkpoint, save_checkpoint
from tvm_gnn_cost.learning.own_records import LEAST_RECORDS, OwnRecords, choose_records, summaries
from tvm_gnn_cost.testing.toy_graphs import EDGE_DIM, NODE_DIM, toy_task

CONFIG = TrainerConfig(
    own_records=True, hidden_dim=16, max_steps_per_update=8, batch_size=16, max_seconds_per_update=60.0
)


def new_trainer(config: TrainerConfig = CONFIG) -> Trainer:
    return Trainer(config, node_dim=NODE_DIM, edge_dim=EDGE_DIM, seed=0, device="cpu")


def planted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Summaries with columns that say nothing, and log throughput that bends over the first two."""
    points = np.random.default_rng(seed).uniform(-1, 1, (count, 5))
    points[:, 4] = 3.0
    return points, 20.0 - np.abs(points[:, 0] - 0.3) * 4 + np.sin(3 * points[:, 1])


def test_it_orders_what_it_has_not_seen_and_is_right_about_how_fast() -> None:
    process = OwnRecords.of(*planted(128, 0))
    assert process is not None
    points, wanted = planted(200, 1)
    found = process.predict(points)
    assert pairwise_accuracy(found, np.exp2(-wanted)) > 0.9
    assert np.abs(found - wanted).mean() < 0.5 * np.abs(wanted - wanted.mean()).mean()


def test_far_from_all_records_it_says_their_mean() -> None:
    points, measured = planted(64, 0)
    process = OwnRecords.of(points, measured)
    assert process is not None
    near = process.predict(points)
    far = process.predict(points + 100.0)
    assert np.abs(far - measured.mean()).max() < 0.5 * np.abs(near - measured.mean()).max()


def test_failed_and_hopeless_schedules_are_slow_alike() -> None:
    points, measured = planted(64, 0)
    measured[points[:, 0] < 0] = -np.inf
    process = OwnRecords.of(points, measured)
    assert process is not None
    found = process.predict(planted(200, 1)[0])
    failing = planted(200, 1)[0][:, 0] < 0
    assert np.isfinite(found).all() and found[failing].mean() < found[~failing].mean() - 3


def test_it_is_heard_the_more_the_more_it_has_seen() -> None:
    weights = []
    for count in (LEAST_RECORDS, 16, 48, 240):
        process = OwnRecords.of(*planted(count, 0))
        assert process is not None
        weights.append(process.weight)
    assert weights == pytest.approx([0.25, 1 / 3, 3 / 7, 15 / 31])


@pytest.mark.parametrize("case", ["few", "failed", "alike"])
def test_where_nothing_can_be_said_there_is_none(case: str) -> None:
    points, measured = planted(LEAST_RECORDS - 1 if case == "few" else 32, 0)
    if case == "failed":
        measured[:] = -np.inf
    if case == "alike":
        points[:] = points[0]
    assert OwnRecords.of(points, measured) is None


def test_of_many_records_the_fastest_and_some_of_all_others_are_chosen() -> None:
    latency = np.random.default_rng(0).permutation(np.append(np.arange(1.0, 991.0), [np.inf] * 10))
    chosen = choose_records(latency, 100)
    assert len(chosen) == len(set(chosen)) == 100 and (np.diff(chosen) > 0).all()
    kept = np.sort(latency[chosen])
    assert (kept[:50] == np.arange(1.0, 51.0)).all() and np.isinf(kept[-1])
    assert (choose_records(latency[:40], 100) == np.arange(40)).all()


def test_a_summary_weighs_stages_by_their_share_of_the_time() -> None:
    graphs = toy_task(3, 0).graphs
    shares = np.zeros(len(graphs.node_features), np.float32)
    shares[graphs.node_ptr[:-1]] = 1.0
    assert np.allclose(summaries(graphs, shares), graphs.node_features[graphs.node_ptr[:-1]])


def test_a_trainer_listens_to_a_task_s_own_records_alone() -> None:
    task, other, test = toy_task(64, 0), toy_task(64, 1), toy_task(32, 2)
    trainer, plain = new_trainer(), new_trainer(replace(CONFIG, own_records=False))
    for one in (trainer, plain):
        one.partial_fit(task.graphs, task.latency, "t", task.flop)
    found, network = (one.predict(test.graphs, "t") for one in (trainer, plain))
    assert (found.score == network.score).all() and (found.time_shares == network.time_shares).all()
    assert not np.allclose(found.relative_throughput, network.relative_throughput)
    unseen = [one.predict(other.graphs, "other", other.flop).relative_throughput for one in (trainer, plain)]
    assert (unseen[0] == unseen[1]).all()
    alone = trainer.predict(test.graphs.slice(5, 6), "t").relative_throughput[0]
    assert alone == pytest.approx(found.relative_throughput[5], rel=1e-5)


def test_its_records_correct_a_network_that_is_wrong_about_a_task() -> None:
    trainer, task, test = new_trainer(replace(CONFIG, max_steps_per_update=1)), toy_task(128, 0), toy_task(200, 3)
    trainer.partial_fit(task.graphs, task.latency, "t", task.flop)
    prediction = trainer.predict(test.graphs, "t")
    corrected = pairwise_accuracy(prediction.relative_throughput, test.latency)
    assert corrected > pairwise_accuracy(prediction.score, test.latency) + 0.05


def test_a_checkpoint_predicts_the_same(tmp_path: Path) -> None:
    trainer, task = new_trainer(), toy_task(64, 0)
    trainer.partial_fit(task.graphs, task.latency, "t", task.flop)
    save_checkpoint(tmp_path / "m.ckpt", trainer, schema_version=1)
    again, _ = load_checkpoint(tmp_path / "m.ckpt", "cpu", schema_version=1)
    before, after = (one.predict(task.graphs, "t").relative_throughput for one in (trainer, again))
    assert (before == after).all()


def test_new_records_count_at_once() -> None:
    trainer, task, more = new_trainer(replace(CONFIG, learning_rate=1e-8)), toy_task(32, 0), toy_task(64, 1)
    trainer.partial_fit(task.graphs, task.latency, "t", task.flop)
    before = trainer.predict(more.graphs, "t").relative_throughput
    trainer.partial_fit(more.graphs, more.latency, "t", more.flop)
    after = trainer.predict(more.graphs, "t").relative_throughput
    assert pairwise_accuracy(after, more.latency) > pairwise_accuracy(before, more.latency)


def test_the_option_is_yes_or_no() -> None:
    with pytest.raises(InvalidArgumentError, match="own_records must be True or False"):
        TrainerConfig(own_records=1)  # type: ignore[arg-type]
