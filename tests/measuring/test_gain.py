"""What is expected of further trials, and what a tuning run makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.measuring.gain import SHORTLIST, ExpectedGain, Shortlist
from tvm_gnn_cost.measuring.task_books import DistinctTasks, Outcome
from tvm_gnn_cost.measuring.tuning_run import TuningRun
from tvm_gnn_cost.records.tuning_run import LITTLE_LEFT, TuneOptions
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import unobserved


def gain_of(latencies: Sequence[float | None]) -> ExpectedGain:
    gain = ExpectedGain()
    for latency in latencies:
        gain.count(latency)
    return gain


def test_too_little_says_nothing() -> None:
    assert gain_of([]).left is None
    assert gain_of([1.0, None, *(1.0 + n for n in range(6))]).left is None, "seven schedules may be one idea"


def test_the_spacing_of_the_best_is_what_as_many_trials_again_would_save() -> None:
    """Of latencies with an exponential tail, in the mean."""
    generator = np.random.default_rng(0)
    expected, saved = [], []
    for _ in range(400):
        latencies = np.exp(-generator.exponential(0.2, size=128))
        gain = gain_of(latencies[:64].tolist())
        assert gain.left is not None
        expected.append(gain.left)
        saved.append(1.0 - min(latencies[64:].min() / latencies[:64].min(), 1.0))
    assert 0.75 < np.mean(expected) / np.mean(saved) < 1.3


def test_schedules_side_by_side_leave_nothing() -> None:
    close, apart = (gain_of([3.0, 2.0, *(1.0 + step * n for n in range(8, 0, -1)), 1.0]).left for step in (0.001, 0.2))
    assert close is not None and apart is not None
    assert close < 0.01 < 0.1 < apart


def test_the_longer_ago_the_best_the_less_is_left() -> None:
    latencies = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    early, late = gain_of(latencies).left, gain_of(latencies[::-1]).left
    assert early is not None and late is not None and early < late / 2


def test_a_promise_counts_for_what_earlier_ones_were_worth() -> None:
    latencies = [1.0 + 0.001 * n for n in range(12, -1, -1)]
    honest, boastful, new = (gain_of(latencies) for _ in range(3))
    for gain, round_best in ((honest, 0.5), (boastful, 1.0)):
        gain.learnt(score=2.0, latency_s=round_best, before_s=1.0, next_score=2.0)
    new.learnt(score=None, latency_s=1.0, before_s=None, next_score=2.0)
    assert honest.left == pytest.approx(0.5)
    assert boastful.left is not None and boastful.left < 0.01
    assert new.left is not None and new.left < 0.01, "nothing is known yet of its promises"
    honest.learnt(score=2.0, latency_s=None, before_s=1.0, next_score=None)
    assert honest.left is not None and honest.left < 0.01, "nothing is in sight any more"


def test_a_shortlist_tells_the_best_that_was_not_measured() -> None:
    shortlist = Shortlist()
    names = [f"c{n}" for n in range(300)]
    for generation in (names[:200], names[100:]):
        shortlist.add(generation, [float(name[1:]) / 100 for name in generation])
    shortlist.add(["bad", "worse"], [-math.inf, math.inf])
    others = shortlist.rest(["c298", "c3"], str)
    assert others[:2] == ["c299", "c297"] and len(set(others)) == len(others) == SHORTLIST
    assert shortlist.rest(["c298"], str) == []


# -- a run -------------------------------------------------------------------------------------------------------------


def run_of(count: int, weights: Sequence[float] | None = None, **options: Any) -> TuningRun:
    return TuningRun(
        DistinctTasks.of(list(range(count))),
        weights or [1.0] * count,
        [1e6 * (n + 1) for n in range(count)],
        TuneOptions(**options),
        "log.json",
        unobserved,
        Interrupts(lambda: None),
    )


def measure(run: TuningRun, task: int, latencies: Sequence[float]) -> None:
    """A round, which the model learns and has nothing more in mind."""
    run.select(task)
    run.measured([Outcome(latency, 0, 0.0) for latency in latencies], lambda kept: None)
    run.learnt(list(latencies), list(latencies), hash, None, lambda candidates: [0.5] * len(candidates))


CLOSE = [1.0 + step / 1000 for step in (2, 1, 3, 0, 6, 5, 7, 4)]
WIDE = [4.0, 2.0, 3.0, 1.0, 5.0, 6.0, 7.0, 8.0]


def test_a_run_ends_when_little_is_left() -> None:
    run = run_of(1, until=0.02)
    measure(run, 0, WIDE)
    for begin in (0, 8):
        assert run.allowance(0) > 0
        measure(run, 0, [1.0 + step / 1000 for step in range(begin, begin + 8)])
    assert run.gain_left() is not None and run.gain_left() < 0.02  # type: ignore[operator]
    assert run.allowance(0) == 0
    result = run.result()
    assert result.left == (LITTLE_LEFT,) and result.gain_left is not None and 0.0 < result.gain_left < 0.02


def test_a_round_that_is_learnt_in_parts_is_one_round() -> None:
    """As the first is that begins with schedules of a database."""
    run = run_of(1, until=0.5)
    measure(run, 0, CLOSE)
    run.learnt(CLOSE, CLOSE, hash, None, lambda candidates: [])
    for _ in range(2):
        assert run.allowance(0) > 0
        measure(run, 0, CLOSE)
    assert run.allowance(0) == 0


def test_a_trial_keeps_what_was_promised_of_it_and_a_round_what_was_expected() -> None:
    run = run_of(2)
    for task, promised in ((0, None), (1, None), (0, [0.5, -math.inf, 2.0, *[1.0] * 4])):
        run.select(task)
        run.measured([Outcome(1.0 + n, 0, 0.0) for n in range(7)], lambda kept: None)
        run.learnt(list(range(7)), [1.0 + n for n in range(7)], hash, promised, None)
        run.measured([Outcome(8.0, 0, 0.0)], lambda kept: None)
        run.learnt([7], [8.0], hash, None if promised is None else [1.5], None)
    assert [trial.score for trial in run.result().trials] == [None] * 16 + [0.5, None, 2.0, *[1.0] * 4, 1.5]
    forecasts = run.result().forecasts
    assert [forecast.trials for forecast in forecasts] == [16, 23, 24], "none before each task has enough"
    assert all(0.0 < forecast.gain_left < 1.0 for forecast in forecasts)


def test_two_rounds_are_not_enough_to_know_and_without_the_option_it_goes_on() -> None:
    run = run_of(1, until=0.5)
    for _ in range(2):
        measure(run, 0, CLOSE)
        assert run.allowance(0) > 0
    run = run_of(1)
    for _ in range(4):
        measure(run, 0, CLOSE)
    assert run.allowance(0) > 0


def test_trials_go_where_most_of_the_whole_is_expected() -> None:
    run = run_of(3, weights=[1.0, 1.0, 8.0], trials_per_round=16)
    order = []
    first = {0: WIDE, 1: [latency**2 for latency in WIDE], 2: CLOSE}
    for _ in first:
        task = run.choose([0, 1, 2])
        assert run.round_size(task) == 8, "the first round of one task among many is short"
        order.append(task)
        measure(run, task, first[task])
    assert order == [2, 1, 0], "the largest first"
    assert run.choose([0, 1, 2]) == 1  # 2 is close to its best now, however heavy
    sizes = []
    for _ in range(3):
        sizes.append(run.round_size(1))
        measure(run, 1, CLOSE)
    assert sizes == [8, 16, 16], "as many as there were before, at most a whole round"
    assert run.choose([0, 1, 2]) != 1
    assert run.gain_left() is not None


def test_a_small_budget_reaches_every_task() -> None:
    run = run_of(3, trials=20)
    for task in range(3):
        assert run.choose([0, 1, 2]) == 2 - task and run.round_size(2 - task) == 6
        measure(run, 2 - task, CLOSE[:6])
    assert run.best_s(0) and run.remaining() == 2 and run_of(3, trials=2).round_size(0) == 1


def test_a_task_that_began_with_few_known_schedules_is_searched_before_others_go_on() -> None:
    run = run_of(2, weights=[1.0, 1.0])
    measure(run, 1, [latency**2 for latency in WIDE])
    measure(run, 0, CLOSE[:4])
    assert run.gain_left() is None
    assert run.choose([0, 1]) == 0 and run.round_size(0) == 8
    measure(run, 0, CLOSE[4:])
    assert run.choose([0, 1]) == 1 and run.gain_left() is not None


def test_a_task_too_small_to_matter_needs_no_third_round() -> None:
    for small, ends in ((0.001, True), (1.0, False)):
        run = run_of(2, weights=[1.0, small], until=0.02)
        for task in (0, 1, 0, 0):
            assert run.allowance(0) > 0
            measure(run, task, CLOSE)
        assert (run.allowance(0) == 0) == (run.allowance(1) == 0) == ends


def test_where_little_is_expected_those_come_whose_rounds_are_missing() -> None:
    """Else the run goes on with tasks of which it knows enough."""
    apart = [1.0 + step / 100 for step in range(7, -1, -1)]
    for until, chosen in ((None, 0), (0.3, 1)):
        run = run_of(3, weights=[4.0, 2.0, 1.0], until=until)
        for task, latencies in ((0, apart), (1, CLOSE), (2, CLOSE), (0, apart), (0, apart)):
            measure(run, task, latencies)
        assert run.gain_left() < 0.3  # type: ignore[operator]
        assert run.allowance(0) > 0 and run.choose([0, 1, 2]) == chosen


def test_a_share_is_checked() -> None:
    for bad in (0.0, 1.0, -0.1, True):
        with pytest.raises(InvalidArgumentError, match="until"):
            TuneOptions(until=bad)


def test_what_a_log_holds_counts_but_is_no_round() -> None:
    run = run_of(1, until=0.5)
    run.count_known([CLOSE])
    run.learnt(CLOSE, CLOSE, hash, None, lambda candidates: [])  # the model learns the log
    assert run.allowance(0) > 0
