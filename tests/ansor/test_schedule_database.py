"""A database of schedules: what it keeps and finds, how a schedule is fitted to another shape, and searches from it."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import multiprocessing
import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler

from tvm_gnn_cost import GNNCostModel, RecordError, WorkloadError, make_search_policies
from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.fitting import Fit, fit_factors, fit_schedule
from tvm_gnn_cost.ansor.schedules.neighbours import neighbours
from tvm_gnn_cost.ansor.schedules.ordering import most_helpful_first
from tvm_gnn_cost.ansor.schedules.structure import distance, structure_of
from tvm_gnn_cost.ansor.task_identity import identity_of
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.tuning_run import AnsorRun
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.records.schedule_index import INDEX
from tvm_gnn_cost.records.tuning_run import TuneOptions
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import unobserved
from tvm_gnn_cost.testing.schedules import measured, register_tensors, sample_states

TARGET = "llvm -num-cores=2"
SMALL = {"evolutionary_search_population": 64, "evolutionary_search_num_iters": 1, "sample_init_min_population": 16}


def task_of(name: str, *args: int) -> Any:
    return make_task(name, args, TARGET)


def steps_of(task: Any, state: Any) -> list[list[Any]]:
    inputs, results = measured(task, [state], [1.0])
    record = auto_scheduler.measure_record.dump_record_to_string(inputs[0], results[0])
    return list(json.loads(record)["i"][1][1])


# -- fitting -----------------------------------------------------------------------------------------------------------

SAME_STRUCTURE = {
    "conv2d_nhwc": ([1, 14, 14, 32, 64, 3, 1, 1], [1, 10, 12, 48, 24, 3, 1, 1]),
    "matmul": ([128, 128, 128], [96, 200, 60]),
    "conv2d_nhwc_bn_relu": ([1, 14, 14, 16, 32, 3, 1, 1], [2, 7, 7, 32, 16, 3, 1, 1]),
    "norm_bmn": ([2, 64, 64], [3, 40, 96]),
    "softmax_mn": ([64, 96], [30, 50]),
}


@pytest.mark.parametrize("name", SAME_STRUCTURE)
def test_a_schedule_fits_its_own_task_as_it_is(name: str) -> None:
    task = task_of(name, *SAME_STRUCTURE[name][0])
    for state in sample_states(task, 12, evolved=True):
        for fit in Fit:
            assert str(fit_schedule(task.compute_dag, steps_of(task, state), fit)) == str(state)


@pytest.mark.parametrize("name", SAME_STRUCTURE)
def test_a_schedule_fits_another_shape(name: str) -> None:
    """It covers the other extents exactly, as TVM's own schedules do, and TVM builds it."""
    one, other = (task_of(name, *args) for args in SAME_STRUCTURE[name])
    assert structure_of(one)[0] == structure_of(other)[0]
    states = [
        fit_schedule(other.compute_dag, steps_of(one, state), fit) for state in sample_states(one, 6) for fit in Fit
    ]
    assert lowers(states, other).all()
    for state in states:
        for step in state.transform_steps:
            if type(step).__name__ == "SplitStep":
                assert int(step.extent) % prod(int(length) for length in step.lengths) == 0


@pytest.mark.parametrize(
    ("extent", "lengths", "was", "sizes", "shares"),
    [
        (64, (2, 4, 8), 64, (2, 4, 8), (2, 4, 8)),
        (128, (2, 4, 8), 64, (2, 4, 8), (2, 4, 8)),
        (1024, (2, 4, 8), 64, (2, 4, 8), (4, 8, 16)),
        (7, (1, 1, 8), 16, (1, 1, 7), (1, 1, 7)),
        (1, (4,), 64, (1,), (1,)),
        (4096, (64,), 64, (64,), (64,)),  # TVM's search keeps innermost factors to 64
    ],
)
def test_factors(extent: int, lengths: Sequence[int], was: int, sizes: Sequence[int], shares: Sequence[int]) -> None:
    assert fit_factors(extent, lengths, was, Fit.SIZES) == sizes
    assert fit_factors(extent, lengths, was, Fit.SHARES) == shares


def test_steps_that_do_not_fit_say_so() -> None:
    matmul, conv = task_of("matmul", 64, 64, 64), task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1)
    assert structure_of(matmul)[0] != structure_of(conv)[0]
    with pytest.raises(WorkloadError):
        fit_schedule(matmul.compute_dag, steps_of(conv, sample_states(conv, 1)[0]), Fit.SIZES)
    with pytest.raises(WorkloadError, match="computes nothing"):
        fit_schedule(matmul.compute_dag, [["CHW", 0, "local"]], Fit.SIZES)
    with pytest.raises(WorkloadError):
        fit_schedule(matmul.compute_dag, [["SP", 2, 9, 64, [4], 1]], Fit.SIZES)


def test_structures_tell_other_computations_apart() -> None:
    plain, fused = (
        task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1),
        task_of("conv2d_nhwc_bn_relu", 1, 8, 8, 16, 16, 3, 1, 1),
    )
    assert structure_of(plain)[0] != structure_of(fused)[0]
    gpu = make_task("matmul", [64, 64, 64], "cuda -max_shared_memory_per_block=49152 -max_threads_per_block=1024")
    assert structure_of(gpu) == structure_of(task_of("matmul", 64, 64, 64))


@pytest.mark.parametrize("name", ["conv2d_nhwc", "softmax_mn", "norm_bmn"])
def test_neighbours_differ_in_one_choice_and_cover_the_same_extents(name: str) -> None:
    task = task_of(name, *SAME_STRUCTURE[name][0])
    state = next(s for s in sample_states(task, 20) if any(step[0] == "SP" for step in steps_of(task, s)))
    steps = steps_of(task, state)
    found = list(neighbours(steps, is_gpu=False))
    assert len(found) > 4
    assert len({json.dumps(other) for other in found} | {json.dumps(steps)}) == len(found) + 1
    for other in found:
        (changed,) = (i for i, (one, two) in enumerate(zip(steps, other, strict=True)) if one != two)
        if other[changed][0] == "SP":
            _, _, _, extent, lengths, _ = other[changed]
            assert extent % prod(lengths) == 0 and lengths[-1] <= max(64, steps[changed][4][-1])
    fitting = []
    for other in found:
        with contextlib.suppress(WorkloadError):
            fitting.append(fit_schedule(task.compute_dag, other, Fit.SIZES))
    assert len(fitting) > len(found) / 2
    assert lowers(fitting[:12], task).all()
    assert sum(str(one) != str(state) for one in fitting) > len(fitting) / 2


def test_factors_move_between_all_parts() -> None:
    split = ["SP", 0, 0, 12, [2, 3], 1]  # 2, 2, 3
    moved = [other[0][4] for other in neighbours([split], is_gpu=False)]
    assert sorted(moved) == [[1, 3], [1, 6], [2, 1], [2, 6], [4, 3], [6, 1]]
    outer = [other[0][4] for other in neighbours([["SP", 0, 0, 12, [2, 3], 0]], is_gpu=False)]  # 2, 3, 2
    assert sorted(outer) == [[1, 3], [1, 6], [2, 1], [2, 6], [4, 3], [6, 1]]
    unrolled = [other[0][3] for other in neighbours([["PR", 0, 0, "auto_unroll_max_step$16"]], is_gpu=True)]
    assert unrolled == [f"auto_unroll_max_step${most}" for most in (0, 64, 512, 1024)]
    assert [other[0][3] for other in neighbours([["CA", 1, 2, 0]], is_gpu=False)] == [1]


# -- the database ------------------------------------------------------------------------------------------------------


def add_sampled(database: ScheduleDatabase, task: Any, costs: Sequence[float], seed: int = 1) -> None:
    database.add(*measured(task, sample_states(task, len(costs), seed), costs))


def test_what_is_added_is_found(tmp_path: Path) -> None:
    database = ScheduleDatabase(tmp_path / "db")
    small, large = task_of("matmul", 64, 64, 64), task_of("matmul", 128, 128, 64)
    unlike = task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1)
    add_sampled(database, small, [3e-5, 1e-5, 2e-5])
    add_sampled(database, large, [9e-5, 8e-5])
    database.add(*measured(large, sample_states(large, 1, seed=5), [1e10], error_no=4))
    assert database.counts() == (2, 6)
    assert [known.latency_s for known in database.best(small, 2)] == [1e-5, 2e-5]
    similar = database.similar(small)
    assert [known.latency_s for known in similar] == [8e-5, 9e-5]  # what failed is no schedule
    assert similar[0].distance > 0 and similar[0].task.key == identity_of(large).key
    assert database.best(unlike) == [] and database.similar(unlike) == []
    on_another = make_task("matmul", [64, 64, 64], "llvm -mcpu=znver4 -num-cores=2")
    assert database.best(on_another) == []
    assert [known.distance for known in database.similar(on_another)[:3]] == [1.0] * 3
    again = ScheduleDatabase(tmp_path / "db")
    assert again.counts() == (2, 6) and [k.latency_s for k in again.best(small, 2)] == [1e-5, 2e-5]
    logs = [path for path in (tmp_path / "db").glob("*.json") if not path.name.endswith(".tasks.json")]
    assert sorted(len(read_records(log)) for log in logs) == [3, 3]


def test_how_far_the_nearest_is_that_is_known(tmp_path: Path) -> None:
    database = ScheduleDatabase(tmp_path)
    small, wide = task_of("matmul", 64, 64, 64), task_of("matmul", 64, 256, 64)
    assert database.nearest(small) == math.inf
    add_sampled(database, small, [3e-5, 1e-5])
    assert database.nearest(small) == 0.0
    _, extents = structure_of(small)
    assert database.nearest(wide) == pytest.approx(distance(extents, structure_of(wide)[1]))
    assert database.nearest(task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1)) == math.inf


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


@pytest.mark.parametrize("damage", ["missing", "foreign", "truncated", "newer"])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [3e-5, 1e-5])
    database.close()
    index = tmp_path / INDEX
    if damage == "missing":
        index.unlink()
    elif damage == "foreign":
        index.write_bytes(b"no database at all" * 100)
    elif damage == "truncated":
        index.write_bytes(index.read_bytes()[:5000])
    else:
        import sqlite3

        with sqlite3.connect(index) as newer:
            newer.execute("PRAGMA user_version = 99")
    with caplog.at_level(logging.WARNING):
        again = ScheduleDatabase(tmp_path)
    assert [known.latency_s for known in again.best(task, 4)] == [1e-5, 3e-5]
    assert ("made again" in caplog.text) == (damage != "missing")


def test_logs_put_in_by_hand_are_taken_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = task_of("matmul", 64, 64, 64)
    inputs, results = measured(task, sample_states(task, 3), [3e-5, 1e-5, 2e-5])
    append_records(tmp_path / "mine.json", inputs, results)
    with open(tmp_path / "mine.json", "a") as log:
        log.write('{"i": [["[\\"nobody_knows_it\\", 4]", "llvm')
    with caplog.at_level(logging.WARNING):
        database = ScheduleDatabase(tmp_path)
    assert [known.latency_s for known in database.best(task, 4)] == [1e-5, 2e-5, 3e-5]
    assert "mine.json: 1 lines are not in the database's index" in caplog.text
    lines = (tmp_path / "mine.json").read_text().splitlines()
    (tmp_path / "mine.json").write_text(lines[0] + "\n")  # shortened by hand
    assert [known.latency_s for known in ScheduleDatabase(tmp_path).best(task, 4)] == [3e-5]
    (tmp_path / "mine.json").unlink()
    assert ScheduleDatabase(tmp_path).best(task, 4) == []


def test_an_entry_that_was_overwritten_is_a_miss(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [3e-5, 1e-5])
    (log,) = (path for path in tmp_path.glob("*.json") if not path.name.endswith(".tasks.json"))
    log.write_bytes(b"x" * log.stat().st_size)
    assert database.best(task, 4) == []
    log.unlink()
    assert database.best(task, 4) == []


def test_a_line_that_was_cut_short_stays_alone(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [3e-5])
    (log,) = (path for path in tmp_path.glob("*.json") if not path.name.endswith(".tasks.json"))
    with open(log, "a") as out:
        out.write('{"i": [["[')
    add_sampled(database, task, [2e-5], seed=2)
    assert [known.latency_s for known in ScheduleDatabase(tmp_path).best(task, 4)] == [2e-5, 3e-5]
    assert len(read_records(log)) == 2


def test_tasks_of_the_users_own_are_found_without_their_script(tmp_path: Path) -> None:
    from tvm import te

    def tensors(rows: int) -> list[Any]:
        x = te.placeholder((rows, 32), name="x")
        return [x, te.compute((rows, 32), lambda i, j: x[i, j] * 2.0, name="twice")]

    key = json.dumps(["only_in_this_test", 16])
    task = register_tensors(key, tensors(16), TARGET)
    database = ScheduleDatabase(tmp_path)
    add_sampled(database, task, [2e-6])
    database.close()
    (tmp_path / INDEX).unlink()
    auto_scheduler.workload_registry.WORKLOAD_FUNC_REGISTRY.pop(key)
    database = ScheduleDatabase(tmp_path)
    assert database.counts() == (1, 1)
    assert len(database.similar(register_tensors(json.dumps(["another", 24]), tensors(24), TARGET))) == 1


def _add_many(folder: str, seed: int) -> None:
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(folder)
    states = sample_states(task, 8, seed)
    for n, state in enumerate(states):
        database.add(*measured(task, [state], [(10 * seed + n) * 1e-6]))


def test_several_processes_add_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(str(tmp_path), seed)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    task = task_of("matmul", 64, 64, 64)
    database = ScheduleDatabase(tmp_path)
    best = database.best(task, 100)
    assert database.counts() == (1, len(best)) and len(best) >= 12
    assert [known.latency_s for known in best] == sorted(known.latency_s for known in best)


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="database of schedules"):
        ScheduleDatabase(tmp_path / "file")


# -- searching from it -------------------------------------------------------------------------------------------------


def tune(
    task: Any, database: Path | None, trials: int, per_round: int, log: Path | None = None, **options: Any
) -> list[float]:
    """The latencies in the order of measurement, in seconds; None where it failed."""
    found: list[float] = []

    class Listening(auto_scheduler.measure.PythonBasedMeasureCallback):  # type: ignore[misc]
        def callback(self, policy: Any, inputs: Any, results: Any) -> None:
            found.extend(measured_latency(result) for result in results)

    model = GNNCostModel(config=TrainerConfig(max_steps_per_update=10))
    policies = make_search_policies([task], model, params=SMALL, verbose=0, database=database, **options)
    callbacks = [Listening(), *([auto_scheduler.RecordToFile(str(log))] if log else [])]
    tuning = auto_scheduler.TuningOptions(
        num_measure_trials=trials,
        num_measures_per_round=per_round,
        runner=auto_scheduler.LocalRunner(repeat=1, min_repeat_ms=5),
        measure_callbacks=callbacks,
        verbose=0,
    )
    auto_scheduler.TaskScheduler([task], callbacks=[]).tune(tuning, search_policy=policies)
    return found


def test_a_search_begins_from_what_is_known(tmp_path: Path) -> None:
    first, second = task_of("matmul", 64, 64, 64), task_of("matmul", 96, 64, 128)
    database = tmp_path / "db"
    assert len(tune(first, database, 8, 8)) == 8
    known = ScheduleDatabase(database).best(first, 4)
    assert ScheduleDatabase(database).counts() == (1, 8)

    log = tmp_path / "again.json"
    assert len(tune(first, database, 8, 8, log)) == 8
    begun = [str(inp.state) for inp in read_records(log, rebuild=True).inputs]
    fitted = [str(fit_schedule(first.compute_dag, one.steps, Fit.SIZES)) for one in known]
    assert begun[:4] == fitted, "the task's own best schedules come first, the fastest at their head"
    assert len(set(begun)) == 8, "and none is measured twice"

    log = tmp_path / "second.json"
    tune(second, database, 8, 8, log)
    seeds = [
        str(fit_schedule(second.compute_dag, one.steps, fit))
        for one in ScheduleDatabase(database).similar(second)
        for fit in Fit
    ]
    begun = [str(inp.state) for inp in read_records(log, rebuild=True).inputs]
    assert any(state in seeds for state in begun[:4])
    assert ScheduleDatabase(database).counts()[0] == 2


@pytest.mark.parametrize("local_search", [True, False])
def test_the_neighbours_of_the_best_are_tried_from_the_third_round_on(tmp_path: Path, local_search: bool) -> None:
    task, log = task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1), tmp_path / "log.json"
    assert len(tune(task, None, 32, 8, log, local_search=local_search)) == 32
    records = read_records(log, rebuild=True)
    states = [str(inp.state) for inp in records.inputs]
    assert len(set(states)) == 32, "nothing is measured twice"
    found = []
    for first in (16, 24):  # a round of 8: an eighth, which comes first, is one of the neighbours
        best = sorted(range(first), key=lambda i: measured_latency(records.results[i]) or 1.0)[:3]
        around = [
            changed for i in best for changed in neighbours(steps_of(task, records.inputs[i].state), is_gpu=False)
        ]
        near = set()
        for changed in around:
            with contextlib.suppress(WorkloadError):
                near.add(str(fit_schedule(task.compute_dag, changed, Fit.SIZES)))
        found.append(states[first] in near)
    if local_search:
        assert all(found)


def test_a_task_that_goes_on_from_a_log_has_had_its_seeds(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    tune(task, tmp_path / "db", 4, 4, tmp_path / "log.json")
    model = GNNCostModel(config=TrainerConfig(max_steps_per_update=10))
    (policy,) = make_search_policies(
        [task], model, tmp_path / "log.json", params=SMALL, verbose=0, database=tmp_path / "db"
    )
    assert policy.has_begun


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--trials", "6", "--round", "6", "--population", "64", "--repeat", "1", "--min-repeat-ms", "5"]
    assert main(["tune", "matmul", "64", "64", "64", "--database", "db", *small]) == 0
    assert len(read_records("matmul_64_64_64.json")) == 6
    assert ScheduleDatabase("db").counts() == (1, 6)
    capsys.readouterr()
    assert (
        main(["apply", "matmul", "64", "64", "64", "--database", "db", "--log-file", "best.json", "-o", "mm.so"]) == 0
    )
    out = capsys.readouterr().out
    assert "mm.so" in out and len(read_records("best.json")) == 1
    import tvm

    a, b = (np.random.default_rng(n).standard_normal((64, 64), dtype=np.float32) for n in range(2))
    arrays = [tvm.nd.array(x) for x in (a, b, np.zeros_like(a))]
    tvm.runtime.load_module("mm.so")(*arrays)
    np.testing.assert_allclose(arrays[2].numpy(), a @ b, rtol=1e-4, atol=1e-4)

    assert main(["apply", "matmul", "96", "64", "64", "--database", "db", "--json"]) == 1
    captured = capsys.readouterr()
    (facts,) = json.loads(captured.out)["tasks"]
    assert facts["latency_s"] is None and facts["similar_tasks"] == 1
    assert "has no schedule of matmul 96 64 64" in captured.err
    assert main(["tune", "matmul", "96", "64", "64", "--database", "db", *small]) == 0
    assert ScheduleDatabase("db").counts()[0] == 2
    shutil.copytree("db", "shared")
    assert main(["apply", "matmul", "96", "64", "64", "--database", "shared"]) == 0


def test_policies_of_a_database_refuse_what_others_do(tmp_path: Path) -> None:
    task = task_of("matmul", 64, 64, 64)
    with pytest.raises(RecordError):
        (tmp_path / "file").write_text("")
        make_search_policies([task], GNNCostModel(), database=tmp_path / "file")
    (policy,) = make_search_policies(
        [task], auto_scheduler.XGBModel(), params=SMALL, verbose=0, database=tmp_path / "d"
    )
    assert isinstance(policy, auto_scheduler.SketchPolicy)
