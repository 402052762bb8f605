"""In which order a network's tasks begin, where each may begin from another's schedules."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from schedule_steps import task_of

from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.ordering import most_helpful_first
from tvm_gnn_cost.ansor.tuning_run import AnsorRun
from tvm_gnn_cost.records.tuning_run import TuneOptions
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import unobserved
from tvm_gnn_cost.testing.schedules import measured, sample_states


def test_what_helps_others_most_begins() -> None:
    chain = [("conv", (8, 8)), ("conv", (16, 16)), ("conv", (32, 32))]
    alone, pair = ("dense", (64, 64)), [("pool", (8, 8)), ("pool", (8, 16))]
    shapes = [*chain, alone, *pair]
    unknown = [math.inf] * 6
    order = most_helpful_first(shapes, [1.0] * 6, unknown)
    assert order[0] == 1, "in the midst of three"
    assert order[1] in (4, 5), "one of two"
    assert order[2] == 3, "what stands alone helps itself"
    assert most_helpful_first(shapes, [1.0, 1.0, 1.0, 99.0, 9.0, 9.0], unknown)[:2] == [3, 4]
    known = [0.0, 0.0, 0.0, math.inf, 0.0, 0.0]
    assert most_helpful_first(shapes, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], known) == [3, 5, 4, 2, 1, 0], "the rest by size"


def test_a_run_with_a_database_begins_in_that_order(tmp_path: Path) -> None:
    tasks = [task_of("matmul", 64, 64, size) for size in (512, 64, 128)]
    weights = [1.0, 7.9, 3.9]  # much the same time in each
    log, interrupts = tmp_path / "log.json", Interrupts(lambda: None)

    def run(database: ScheduleDatabase | None) -> AnsorRun:
        return AnsorRun(tasks, weights, TuneOptions(trials=64), log, unobserved, interrupts, database)

    assert run(None).beginning == [0, 1, 2], "without one, the largest first"
    assert run(ScheduleDatabase(tmp_path / "db")).beginning[0] == 2


def test_a_task_among_many_begins_with_what_is_known_alone(tmp_path: Path) -> None:
    """One after the other in a run: the first fills the database that helps the others."""
    tasks = [task_of("matmul", 64, 64, 64), task_of("matmul", 64, 64, 96), task_of("softmax_mn", 16, 16)]
    database = ScheduleDatabase(tmp_path / "db")
    log, interrupts = tmp_path / "log.json", Interrupts(lambda: None)

    def run(chosen: list[Any], known: ScheduleDatabase | None = database) -> AnsorRun:
        return AnsorRun(chosen, [1.0] * len(chosen), TuneOptions(trials=64), log, unobserved, interrupts, known)

    begun = run(tasks)
    assert [begun.round_size(task) for task in range(3)] == [16, 16, 16], "nothing is known yet"
    found = measured(tasks[0], sample_states(tasks[0], 2), [1e-3, 2e-3])
    begun.select(0)
    begun.take(*found)
    assert [begun.round_size(task) for task in range(3)] == [8, 4, 16]
    assert run(tasks, None).round_size(1) == 16
    assert run(tasks[1:2]).round_size(0) == 64, "one alone has all of its round"
