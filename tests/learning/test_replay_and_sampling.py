"""ReplayBuffer and batch sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning import ReplayBuffer
from tvm_gnn_cost.learning.sampling import BatchSampler, hold_out, task_weights
from tvm_gnn_cost.testing.toy_graphs import random_graphs

GRAPHS = random_graphs(200)


def offer(buffer: ReplayBuffer, tasks: list[str], latency: list[float]) -> np.ndarray:
    return buffer.add(GRAPHS.select(np.arange(len(tasks))), np.array(latency, dtype=float), tasks, np.ones(len(tasks)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([1.0, 2.0, 3.0, 0.5, 0.25, math.inf])), max_size=80),
    st.integers(1, 12),
)
def test_bounded_and_best_is_kept(records: list[tuple[str, float]], size: int) -> None:
    buffer = ReplayBuffer(size)
    for start in range(0, len(records), 7):
        part = records[start : start + 7]
        slots = offer(buffer, [t for t, _ in part], [v for _, v in part])
        for slot, (task, latency) in zip(slots, part, strict=True):
            assert slot < 0 or (buffer.task([slot]) == [task] and buffer.latency([slot])[0] == latency)
    assert len(buffer) == min(size, len(records))
    assert sorted(i for s in buffer.tasks_.values() for i in s.ids) == list(range(len(buffer)))
    for task, stats in buffer.tasks_.items():
        assert stats.best_latency == min(v for t, v in records if t == task)
        assert buffer.task(stats.ids) == [task] * len(stats.ids)
        if stats.best_id >= 0 and size >= 4:
            assert buffer.latency([stats.best_id])[0] == stats.best_latency
        if size >= 4 and math.isfinite(stats.best_latency) and stats.ids:
            assert buffer.latency(stats.ids).min() == stats.best_latency


def test_tasks_share_a_full_buffer() -> None:
    buffer = ReplayBuffer(40)
    offer(buffer, ["a"] * 200, list(np.linspace(1, 2, 200)))
    offer(buffer, ["b"] * 100, list(np.linspace(5, 6, 100)))
    assert {t: len(s.ids) for t, s in buffer.tasks_.items()} == {"a": 20, "b": 20}
    held = buffer.latency(buffer.tasks_["b"].ids)
    assert held.min() == 5.0 and held.max() > 5.5  # a sample of all, not the first ones


def test_gather_returns_the_graphs() -> None:
    buffer = ReplayBuffer()
    offer(buffer, ["a"] * 50, [1.0] * 50)
    ids = [7, 3, 3, 49]
    got, wanted = buffer.gather(ids), GRAPHS.select(ids)
    for name in ("node_features", "edge_index", "edge_features", "node_ptr", "edge_ptr"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    with pytest.raises(InvalidArgumentError):
        buffer.gather([])


def test_batches_mix_new_and_replayed() -> None:
    new, earlier = np.arange(100), np.arange(100, 400)
    others = [np.arange(1000 * k, 1000 * k + 200) for k in range(1, 20)]
    ids = BatchSampler([new], [earlier], others, 128, np.random.default_rng(0)).draw()
    assert len(ids) == len(set(ids)) == 128
    assert ((ids < 100).sum(), ((ids >= 100) & (ids < 400)).sum(), (ids >= 1000).sum()) == (32, 32, 64)
    assert len(set(ids[ids >= 1000] // 1000)) == 4  # several records of each task, or nothing can be compared
    alone = BatchSampler([new], [], [], 64, np.random.default_rng(0)).draw()
    assert len(alone) == 64


def test_a_task_among_many_of_its_operator_is_drawn_less() -> None:
    operators = ["program"] * 81 + ["matmul", "conv"]
    weights = task_weights(operators)
    assert weights == pytest.approx([1 / 3] * 81 + [1, 1])
    tasks = [np.arange(100 * k, 100 * k + 20) for k in range(83)]
    sampler = BatchSampler(tasks, [], [], 16, np.random.default_rng(0), weights)
    drawn = np.array([sampler.draw()[0] // 100 for _ in range(4000)])
    assert np.mean(drawn >= 81) == pytest.approx(2 / (2 + 27), rel=0.15)  # 2 of 83 if all were alike


def test_hold_out_keeps_the_best_and_small_tasks() -> None:
    big, small = np.arange(100), np.arange(200, 210)
    train, held = hold_out([big, small], [5, 205], 0.5, 16, np.random.default_rng(0))
    assert len(held[0]) == 50 and 5 in train[0] and not set(held[0]) & set(train[0])
    assert len(held[1]) == 0 and len(train[1]) == 10
