"""How far measurements can be trusted: measured again, and on a machine that is quiet."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_gnn_cost.collection.loop import choose_again
from tvm_gnn_cost.collection.quietness import Quietness, check_quiet, wait_until_quiet
from tvm_gnn_cost.records.noise import noise_of


def test_noise_of_known_numbers() -> None:
    noise = noise_of([1.0, 2.0, 4.0, 8.0], [1.1, 2.0, 8.0, 4.0])
    assert (noise.schedules, noise.median, noise.p90) == (4, pytest.approx(0.55), pytest.approx(1.0))
    assert noise.agreement == pytest.approx(5 / 6)
    assert noise_of([1.0, 3.0], [2.0, 4.0]).agreement == 1.0
    assert np.isnan(noise_of([1.0], [1.0]).agreement) and noise_of([], []).schedules == 0


def test_what_is_measured_again_spans_the_pool() -> None:
    latencies = [float(i) if i % 10 else None for i in range(200)]
    lines = list(range(1, 201))
    chosen = choose_again(latencies, lines, set(), 0.1)
    assert len(chosen) == len(set(chosen)) == 20
    assert None not in [latencies[i] for i in chosen] and {1, 199} <= set(chosen)
    assert len(choose_again(latencies, lines, {lines[i] for i in chosen[:15]}, 0.1)) == 5
    assert len(choose_again(latencies[:20], lines[:20], set(), 0.1)) == 8
    assert len(choose_again([1.0, None, 2.0], [1, 2, 3], set(), 0.1)) == 2
    assert choose_again(latencies, lines, set(), 0.0) == choose_again([None], [1], set(), 0.1) == []


def test_a_machine_that_is_not_quiet_is_waited_for() -> None:
    noisy, quiet = Quietness(1.4, 0.05, 0.5), Quietness(0.02, 0.0, 0.05)
    assert quiet.is_quiet and Quietness(None, None, 0.05).is_quiet
    assert [word for word in ("1.4 cores", "5% of the time", "50%") if word in "; ".join(noisy.problems())] != []
    assert len(noisy.problems()) == 3
    readings = iter([noisy, quiet])
    assert wait_until_quiet(30, lambda: next(readings)).is_quiet
    assert not wait_until_quiet(0, lambda: noisy).is_quiet
    assert check_quiet().spread >= 0
