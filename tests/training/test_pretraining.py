"""Pre-training: what it learns, early stopping, and that a stopped training ends as one that was not stopped."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.learning import Trainer, TrainerConfig
from tvm_gnn_cost.learning.optimisation import Optimisation
from tvm_gnn_cost.learning.parallel import Processes
from tvm_gnn_cost.learning.sampling import BatchSampler, spread, thin_out
from tvm_gnn_cost.learning.weights import weight_tensors
from tvm_gnn_cost.records.source import GivenRecords, group_ids
from tvm_gnn_cost.records.task import StoredTask
from tvm_gnn_cost.testing.toy_graphs import EDGE_DIM, NODE_DIM, toy_task
from tvm_gnn_cost.training.held_out import hold_out_workloads, rank_task
from tvm_gnn_cost.training.pretraining import Pretraining, PretrainingData, PretrainOptions, PretrainProgress

CONFIG = TrainerConfig(hidden_dim=16, batch_size=32, replay_size=100)
RECORDS = 40
EPOCH = 20  # steps: at least so many


def toy_data(tasks: int = 7, held_out: int = 3) -> PretrainingData:
    """Tasks of 40 records each; the last ones are held out."""
    toys = [toy_task(RECORDS, i) for i in range(tasks)]
    names = [f"task{i}" for i in range(tasks) for _ in range(RECORDS)]
    source = GivenRecords(
        StageGraphBatch.concatenate([toy.graphs for toy in toys]),
        np.concatenate([toy.latency for toy in toys]),
        names,
        np.concatenate([np.full(RECORDS, toy.flop) for toy in toys]),
    )
    ids = group_ids(names, np.arange(len(names)))
    learnt = tasks - held_out
    return PretrainingData(source, ids[:learnt], [1.0] * learnt, [], ids[learnt:])


def new_training(
    options: PretrainOptions,
    data: PretrainingData | None = None,
    config: TrainerConfig = CONFIG,
    processes: Processes | None = None,
    **identity: Any,
) -> Pretraining:
    trainer = Trainer(config, node_dim=NODE_DIM, edge_dim=EDGE_DIM, seed=1, device="cpu")
    return Pretraining(trainer, data or toy_data(), options, identity, processes)


def stop_after(steps: int) -> Callable[[], bool]:
    left = iter(range(steps))
    return lambda: next(left, None) is None


def weights(trainer: Trainer) -> dict[str, np.ndarray]:
    """Of network and scalers, as they are now."""
    return {name: value.copy() for name, value in weight_tensors(trainer).items()}


def assert_same_weights(a: Trainer, b: Trainer) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_learns_to_rank_tasks_that_it_never_saw(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=10), toy_data(10), replace(CONFIG, hidden_dim=32))
    training.fit_scalers()
    seen: list[PretrainProgress] = []
    assert training.run(tmp_path / "state", seen.append)
    assert training.stopped_by == "epochs" and training.steps_ == 10 * EPOCH == len(seen)
    assert [check.step for check in training.checks] == [EPOCH * (i + 1) for i in range(10)]
    assert seen[-1].done == 1.0 and seen[-1].is_checked and not seen[-2].is_checked
    first, last = training.checks[0].accuracy, training.checks[-1].accuracy
    assert first is not None and last is not None and last > max(first, 0.75)
    training.finish(60)
    best = max(check.accuracy or 0.0 for check in training.checks)
    task = StoredTask("task9", 1.0, "w", "toy", "llvm", False)
    rankings = [rank_task(training.trainer.scorer, training.data.source, task, ids) for ids in training.data.held_out]
    assert np.mean([ranking.pairwise for ranking in rankings]) == pytest.approx(best)  # the best weights, not the last
    assert all(0 < ranking.top1 <= ranking.top5 <= 1 for ranking in rankings)


def test_the_trainer_is_ready_for_tuning_in_the_end(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=8))
    training.fit_scalers()
    training.run(tmp_path / "state")
    training.finish(30)
    trainer, source = training.trainer, training.data.source
    assert len(trainer.replay) == 30 and trainer.records_seen_ == 4 * RECORDS
    assert list(trainer.replay.tasks_) == [f"task{i}" for i in range(4)]
    for i, ids in enumerate(training.data.learnt):
        stats = trainer.replay.tasks_[f"task{i}"]
        assert stats.seen == RECORDS and stats.best_latency == source.latency(ids).min()
        assert trainer.replay.latency([stats.best_id])[0] == stats.best_latency and len(stats.ids) in (7, 8)
        prediction = trainer.predict(source.gather(ids), f"task{i}")
        fastest = np.argsort(source.latency(ids))[:10]
        assert np.median(prediction.latency[fastest] / source.latency(ids)[fastest]) == pytest.approx(1.0, rel=0.5)
    new = toy_task(20, 50)
    trainer.partial_fit(new.graphs, new.latency, "new", new.flop)


def test_a_network_that_carries_no_records_is_calibrated_and_can_learn(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=4))
    training.fit_scalers()
    training.run(tmp_path / "state")
    training.finish(0)
    trainer, new = training.trainer, toy_task(40, 50)
    assert not len(trainer.replay) and set(trainer.calibration.offset) == {f"task{i}" for i in range(4)}
    before = trainer.predict(new.graphs, "new", new.flop)
    assert np.isfinite(before.latency).all() and trainer.calibration.centre != 0.0
    trainer.partial_fit(new.graphs, new.latency, "new", new.flop)
    assert len(trainer.replay) == 40


@pytest.mark.parametrize("steps", [1, 7, EPOCH, 2 * EPOCH + 13])
def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path, steps: int) -> None:
    options = PretrainOptions(epochs=4, seed=3)
    whole = new_training(options)
    whole.fit_scalers()
    assert whole.run(tmp_path / "whole")

    stopped = new_training(options)
    stopped.fit_scalers()
    assert not stopped.run(tmp_path / "state", stop=stop_after(steps)) and stopped.steps_ == steps
    continued = new_training(options)
    continued.restore(tmp_path / "state")
    assert continued.steps_ == steps
    assert continued.run(tmp_path / "state")
    assert_same_weights(continued.trainer, whole.trainer)
    assert [(c.step, c.loss, c.accuracy) for c in continued.checks] == [
        (c.step, c.loss, c.accuracy) for c in whole.checks
    ]
    again = new_training(options)  # a finished one is found finished
    again.restore(tmp_path / "state")
    for training in (whole, continued, again):
        assert training.run(tmp_path / "again")
        training.finish(25)
        assert_same_weights(training.trainer, whole.trainer)
    np.testing.assert_array_equal(again.trainer.replay.latency(range(25)), whole.trainer.replay.latency(range(25)))


def test_the_state_is_saved_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvm_gnn_cost.training.pretraining._SAVE_SECONDS", 0.0)
    training = new_training(PretrainOptions(epochs=1))

    class KilledError(Exception):
        pass

    def observer(progress: PretrainProgress) -> None:
        if training.steps_ == 6:
            raise KilledError

    with pytest.raises(KilledError):
        training.run(tmp_path / "state", observer)
    continued = new_training(PretrainOptions(epochs=1))
    continued.restore(tmp_path / "state")
    assert continued.steps_ == 5


def test_it_stops_early_and_keeps_the_best_weights(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=40, learning_rate=1.0, patience=0.1))
    training.fit_scalers()
    assert training.run(tmp_path / "state")
    assert training.stopped_by == "patience" and training.steps_ < 40 * EPOCH
    with training._optimisation.averaged():
        last = weights(training.trainer)
    training.finish(10)
    assert any(not np.array_equal(value, last[name]) for name, value in weights(training.trainer).items())


def test_without_held_out_tasks_it_learns_to_the_end(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=2), toy_data(4, 0))
    training.fit_scalers()
    assert training.run(tmp_path / "state") and training.stopped_by == "epochs"
    assert [check.accuracy for check in training.checks] == [None, None]
    with training._optimisation.averaged():
        last = weights(training.trainer)
    training.finish(10)
    assert all(np.array_equal(value, last[name]) for name, value in weights(training.trainer).items())


def test_two_held_out_tasks_are_reported_and_decide_nothing(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=20, learning_rate=1.0, patience=0.1), toy_data(6, 2))
    training.fit_scalers()
    assert training.run(tmp_path / "state") and training.stopped_by == "epochs"
    assert all(check.accuracy is not None for check in training.checks)
    with training._optimisation.averaged():
        last = weights(training.trainer)
    training.finish(10)
    assert all(np.array_equal(value, last[name]) for name, value in weights(training.trainer).items())


def test_minutes_bound_it(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=None, minutes=1e-3))
    training.fit_scalers()
    assert training.run(tmp_path / "state")
    assert training.stopped_by == "minutes" and training.done == 1.0
    assert training.checks[-1].step == training.steps_  # what was learnt last is checked as well


def test_a_non_finite_loss_ends_it(tmp_path: Path) -> None:
    training = new_training(PretrainOptions(epochs=2))
    before = weights(training.trainer)
    training._fitting.loss = lambda score, *labels: score.sum() * math.nan
    assert training.run(tmp_path / "state") and training.stopped_by == "non-finite loss"
    assert all(np.array_equal(value, before[name]) for name, value in weights(training.trainer).items())


def test_half_of_a_batch_is_what_was_learnt_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    everything = toy_data(6, 0)
    data = PretrainingData(everything.source, everything.learnt[:2], [1.0] * 2, everything.learnt[2:], [])
    drawn: list[np.ndarray] = []
    draw = BatchSampler.draw
    monkeypatch.setattr(BatchSampler, "draw", lambda self: drawn.append(draw(self)) or drawn[-1])
    new_training(PretrainOptions(epochs=1), data).run(tmp_path / "state")
    assert len(drawn) == EPOCH
    assert all(np.count_nonzero(ids < 2 * RECORDS) == 16 == np.count_nonzero(ids >= 2 * RECORDS) for ids in drawn)


def test_another_training_is_not_continued(tmp_path: Path) -> None:
    options = PretrainOptions(epochs=2)
    new_training(options, logs="these", seed=0).run(tmp_path / "state", stop=stop_after(3))
    with pytest.raises(InvalidArgumentError, match="logs was 'these', now it is 'those'.*`restart`"):
        new_training(options, logs="those", seed=0).restore(tmp_path / "state")
    with pytest.raises(CheckpointError, match="has shape"):
        new_training(options, config=replace(CONFIG, hidden_dim=8), logs="these", seed=0).restore(tmp_path / "state")


def damage_meta(path: Path, **changes: Any) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["meta.json"] = json.dumps({**json.loads(members["meta.json"]), **changes}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-300]), "cut off or damaged"),
        (lambda p: damage_meta(p, format="tvm-gnn-cost"), "another format"),
        (lambda p: damage_meta(p, format_version=1), "another release"),
        (lambda p: damage_meta(p, generator={}), "damaged"),
        (lambda p: damage_meta(p, checks=[{}]), "damaged"),
        (lambda p: damage_meta(p, identity=None), "damaged"),
    ],
)
def test_a_damaged_state_has_a_clear_error(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    new_training(PretrainOptions(epochs=2)).run(tmp_path / "state", stop=stop_after(3))
    damage(tmp_path / "state")
    with pytest.raises(CheckpointError, match=message):
        new_training(PretrainOptions(epochs=2)).restore(tmp_path / "state")


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"epochs": None},
        {"minutes": 3.0},
        {"minutes": 0.0, "epochs": None},
        {"learning_rate": 0.0},
        {"patience": 0.0},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        PretrainOptions(**options)


def test_an_optimisation_that_is_restored_makes_the_same_step() -> None:
    trainers = [new_training(PretrainOptions()).trainer for _ in range(2)]
    graphs, optimisations = toy_task(8).graphs, []
    for trainer in trainers:
        trainer.node_scaler.fit(graphs.node_features)
        trainer.edge_scaler.fit(graphs.edge_features)
        optimisations.append(Optimisation(trainer.network, 1e-2, 1e-2))

    def step(number: int) -> None:
        score, _ = trainers[number].network(*trainers[number].scorer.tensors(graphs))
        optimisations[number].step((score**2).sum(), 0.5)

    step(0)
    step(0)
    optimisations[0].consider(0.25)
    trainers[1].network.load_state_dict(trainers[0].network.state_dict())
    optimisations[1].restore(*optimisations[0].state())
    assert optimisations[1].best_loss == 0.25 and not optimisations[1].consider(0.3)
    step(0)
    step(1)
    assert_same_weights(*trainers)
    for number in (0, 1):
        optimisations[number].restore_best()
    assert_same_weights(*trainers)


# --- what is held out ----------------------------------------------------------------------------------------------


def tasks_of(workloads: int, targets: tuple[str, ...] = ("llvm -mcpu=a", "llvm -mcpu=b")) -> list[StoredTask]:
    return [
        StoredTask(f"{w}@{target}", 1.0, f"workload{w}", f"operator{w % 3}", target, False)
        for w in range(workloads)
        for target in targets
    ]


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (0.1, 2), (0.5, 10)])
def test_whole_workloads_are_held_out(fraction: float, count: int) -> None:
    tasks = tasks_of(20)
    flags = [hold_out_workloads(tasks, fraction, (), (), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert flags[0] == flags[1] and sum(flags[0]) == 2 * count
    assert count == 0 or flags[2] != flags[0]
    held = {task.workload for task, flag in zip(tasks, flags[0], strict=True) if flag}
    assert len(held) == count
    assert flags[0] == [task.workload in held for task in tasks]


def test_what_the_network_knows_is_not_held_out() -> None:
    tasks, known = tasks_of(10), {f"workload{i}" for i in range(8)}
    flags = hold_out_workloads(tasks, 0.5, (), known, np.random.default_rng(0))
    assert {task.workload for task, flag in zip(tasks, flags, strict=True) if flag} == {"workload8", "workload9"}


def test_operators_are_held_out_by_name() -> None:
    tasks = tasks_of(6)
    flags = hold_out_workloads(tasks, 0.1, ["operator1"], (), np.random.default_rng(0))
    assert flags == [task.operator == "operator1" for task in tasks]
    with pytest.raises(InvalidArgumentError, match="no task of the operator .operator9.*operator0, operator1"):
        hold_out_workloads(tasks, 0.1, ["operator1", "operator9"], (), np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match="none is left to learn"):
        hold_out_workloads(tasks, 0.1, ["operator0", "operator1", "operator2"], (), np.random.default_rng(0))


def test_few_workloads_hold_out_none() -> None:
    assert not any(hold_out_workloads(tasks_of(4), 0.1, (), (), np.random.default_rng(0)))


@pytest.mark.parametrize("number", [1, 2, 9, 40, 57, 100])
def test_a_thin_sample_is_even_and_holds_the_best(number: int) -> None:
    rng = np.random.default_rng(0)
    sizes = (3, 30, 24)
    ids = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    latencies = [rng.permutation(len(one)).astype(float) for one in ids]
    kept = thin_out(ids, latencies, number)
    assert sum(len(one) for one in kept) == min(number, sum(sizes))
    for one, chosen, latency in zip(ids, kept, latencies, strict=True):
        assert len(set(chosen)) == len(chosen) and set(chosen) <= set(one)
        assert not len(chosen) or one[latency.argmin()] in chosen
    incomplete = [len(chosen) for one, chosen in zip(ids, kept, strict=True) if len(chosen) < len(one)]
    assert not incomplete or max(incomplete) - min(incomplete) <= 1


def test_spread() -> None:
    assert [spread(10, n).tolist() for n in (0, 1, 3, 10, 12)] == [[], [0], [0, 4, 9], [*range(10)], [*range(10)]]
    assert spread(1, 2).tolist() == [0] and spread(0, 5).tolist() == []
