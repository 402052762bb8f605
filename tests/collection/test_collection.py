"""Pools collected for real: tiny workloads, built and measured here or on RPC servers that the test starts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import interrupt_at, runs
from matmul_pools import FLAGS, MEASURE, NAME, about, matmul, options, schedules
from rpc_sessions import Sessions
from tvm import auto_scheduler
from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost import InvalidArgumentError, MeasurementError
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.toolchain import AnsorToolchain
from tvm_gnn_cost.cli.collect import find_workloads
from tvm_gnn_cost.cli.schedulers.ansor import Ansor
from tvm_gnn_cost.collection import CollectOptions, Mix, Workload, collect_pools
from tvm_gnn_cost.collection import loop as collection_loop
from tvm_gnn_cost.collection.ansor import AnsorWing
from tvm_gnn_cost.collection.pool import Pool
from tvm_gnn_cost.measuring.measurer import Measurer
from tvm_gnn_cost.records.noise import noise_of
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneProgress
from tvm_gnn_cost.testing.rpc_rig import running_rig


def test_a_pool_mixes_its_sources_and_holds_nothing_twice(collected: tuple[Path, str]) -> None:
    folder, _ = collected
    assert sorted(os.listdir(folder)) == ["about", f"{NAME}.json"]
    found = schedules(folder / f"{NAME}.json")
    assert len(found) == len(set(found)) == 12
    origins = [origin for batch in about(folder)["batches"] for origin in batch["origins"]]
    counts = {origin: origins.count(origin) for origin in set(origins)}
    assert counts["random"] == 6 and counts["evolved"] >= 4 and counts["mutated"] >= 1  # as 4 to 3 to 1


def test_all_readings_of_a_record_are_kept_and_a_slow_one_gets_one(collected: tuple[Path, str]) -> None:
    _, results = RecordReader(str(collected[0] / f"{NAME}.json")).read_lines()
    good = [[float(cost) for cost in result.costs] for result in results if result.error_no == 0]
    assert len(good) >= 10 and len(good[0]) == 3
    for number, costs in enumerate(good[1:], 1):
        best = min(min(earlier) for earlier in good[:number])
        assert len(costs) == (1 if costs[0] > 1.5 * best else 3)


def test_without_a_race_all_are_read(tmp_path: Path) -> None:
    collect_pools(AnsorWing(), [matmul()], tmp_path, options(6, race=None, remeasure=0.0))
    _, results = RecordReader(str(tmp_path / f"{NAME}.json")).read_lines()
    assert {len(result.costs) for result in results if result.error_no == 0} == {3}


def test_a_workload_that_tvm_cannot_search_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of this chain TVM makes sketches that split a loop of unknown extent, and fails whenever it samples one."""
    hopeless = Workload("chain", "chain", make_task("random_program", (20425, 22)))
    result = collect_pools(AnsorWing(), [hopeless, matmul()], tmp_path, options(2, remeasure=0.0))
    assert result.left_out == ("chain",) and [pool.records for pool in result.pools] == [2]
    assert "chain is left out: TVM's search of it fails" in caplog.text


def test_the_description_says_on_what_and_how_it_was_measured(collected: tuple[Path, str]) -> None:
    found = about(collected[0])
    assert found["machine"]["cpu"] and found["machine"]["cores"] >= 1
    assert found["versions"]["tvm"].startswith("0.19") and "llvm" in found["target"]
    assert found["measure"]["repeat"] == 3 and found["runs"][0]["seed"] == 0
    assert all(batch["quiet"] in (True, False) for batch in found["batches"])


def test_a_part_is_measured_twice_and_only_the_description_has_it(collected: tuple[Path, str]) -> None:
    folder, out = collected
    found = about(folder)
    pairs = [pair for pair in found["remeasured"] if pair["second_s"]]
    assert len(found["remeasured"]) == 8 and len({pair["line"] for pair in found["remeasured"]}) == 8
    lines = (folder / f"{NAME}.json").read_text().splitlines()
    for pair in pairs:
        assert json.loads(lines[pair["line"] - 1])["r"][0] == pytest.approx(pair["first_s"], rel=1e-4)
    noise = noise_of([min(p["first_s"]) for p in pairs], [min(p["second_s"]) for p in pairs])
    assert found["noise"] == pytest.approx(noise.__dict__)
    assert f"{noise.median:.0%}, {noise.p90:.0%}" in out and f"{noise.agreement:.3f}" in out and "12/12 trials" in out


def test_the_time_bound_ends_it_between_two_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0

    def watch(progress: TuneProgress) -> None:
        nonlocal seconds
        seconds = 120.0 if progress.done == 3 else 0.0

    monkeypatch.setattr(collection_loop._Run, "_elapsed", lambda run: seconds)
    result = collect_pools(AnsorWing(), [matmul()], tmp_path, options(12, minutes=2, pretrained=None), watch)
    assert result.out_of_time and not result.interrupted
    assert [pool.records for pool in result.pools] == [3]
    assert len(schedules(tmp_path / f"{NAME}.json")) == 3


def test_ctrl_c_keeps_every_measurement(tmp_path: Path) -> None:
    log = tmp_path / "pools" / f"{NAME}.json"
    arguments = ["collect", "matmul", "32", "32", "32", "--trials", "200", "--output", str(log.parent), *FLAGS]
    status, out, children = interrupt_at(2, log, arguments, within=60, ends_within=30)
    assert status == 130, out
    assert "the same command goes on" in out and "Traceback" not in out
    found = schedules(log)
    assert 2 <= len(found) < 200
    assert sum(len(batch["origins"]) for batch in about(log.parent)["batches"]) == len(found)
    assert children
    deadline = time.monotonic() + 10
    while any(map(runs, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(runs, children))


def test_failed_builds_are_records_and_a_hopeless_workload_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "")  # no tools for the builders
    (pool,) = collect_pools(AnsorWing(), [matmul()], tmp_path, options(20, batch=2, pretrained=None)).pools
    assert "matmul 32 32 32: given up, all of 4 schedules failed; TVM's error numbers: [2]" in caplog.text
    assert (pool.records, pool.failed, pool.best_s, pool.noise) == (4, 4, None, None)
    errors = [json.loads(line)["r"][1] for line in (tmp_path / f"{NAME}.json").read_text().splitlines()]
    assert errors == [2] * 4


def test_runaway_builds_and_runs_are_killed() -> None:
    """Unrolled as a whole it would compile for hours; without a schedule, 4096^3 would run for minutes."""
    small = make_task("matmul", (128, 128, 128))
    state = small.compute_dag.get_init_state()
    for axis in state[state.stages[-1].op].iters:
        state.unroll(state.stages[-1].op, axis)
    large = make_task("matmul", (4096, 4096, 4096))
    inputs = [
        auto_scheduler.MeasureInput(small, state),
        auto_scheduler.MeasureInput(large, large.compute_dag.get_init_state()),
    ]
    results: dict[int, Any] = {}
    with Measurer(MeasureOptions(build_timeout_s=6, run_timeout_s=1), [small.target], AnsorToolchain()) as measurer:
        built = measurer.build(inputs)
        measurer.measure(inputs, built, results.__setitem__, lambda: None)
        assert [results[i].error_no for i in (0, 1)] == [6, 7]
        busy = [p for p in psutil.Process().children(recursive=True) if p.status() == psutil.STATUS_RUNNING]
        assert not busy, "something still measures in the background"
        folder = Path(measurer._builders._folder.name)
    assert not folder.exists()


def test_rpc_servers_measure_in_parallel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(monkeypatch)
    with running_rig() as rig:
        rig.start(2)
        measure = replace(MEASURE, tracker=rig.tracker, min_repeat_ms=150)
        sessions.at(3, lambda address: rig.server(address).kill())
        (pool,) = collect_pools(AnsorWing(), [matmul()], tmp_path, options(6, measure=measure, pretrained=None)).pools
        assert (pool.records, pool.failed) == (6, 0), "what the killed server had was measured again"
        assert pool.noise is not None and pool.noise.schedules == 6
        assert set(sessions.addresses) == {server.address for server in rig.servers}
    found = about(tmp_path)
    assert found["machine"] == {"rpc_key": "board", "target": found["target"]}
    assert "tracker" not in found["measure"]
    assert [batch["quiet"] for batch in found["batches"]] == [None]
    with pytest.raises(InvalidArgumentError, match="the key of the RPC servers was 'board', here it is None"):
        collect_pools(AnsorWing(), [matmul()], tmp_path, options(8))


def test_a_missing_tracker_is_one_clear_error(tmp_path: Path) -> None:
    measure = replace(MEASURE, tracker=Tracker("board", "127.0.0.1", 1))
    with pytest.raises(MeasurementError, match="127.0.0.1:1 does not answer"):
        collect_pools(AnsorWing(), [matmul()], tmp_path, options(8, measure=measure))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CollectOptions(trials=0), "trials is 0"),
        (lambda: CollectOptions(minutes=0), "minutes is 0"),
        (lambda: CollectOptions(remeasure=1.5), "remeasure is 1.5"),
        (lambda: Mix(0, 0, 0), "not all 0"),
        (lambda: Mix(float("nan")), "must be numbers"),
        (lambda: collect_pools(AnsorWing(), [], Path()), "no workloads"),
        (lambda: collect_pools(AnsorWing(), [matmul(), matmul()], Path()), f"more than once: {NAME}"),
    ],
)
def test_wrong_arguments_get_one_clear_error(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make()


def test_networks_give_a_pool_for_each_task() -> None:
    settings = {"workload": (), "batch_size": 1, "layout": "NCHW", "image_shape": None, "target": "llvm"}
    found = find_workloads(Ansor(), None, network="mlp", **settings)
    assert len(found) > 1 and len({workload.name for workload in found}) == len(found)
    assert all(workload.name.startswith("mlp_batch_1_NCHW-") for workload in found)
    assert [w.name for w in find_workloads(Ansor(), None, network="mlp", **settings)] == [w.name for w in found]
    assert found[0].source["network"] == "mlp"


def test_a_pool_says_how_far_it_can_be_trusted(folder: Path) -> None:
    pool = Pool(AnsorWing(), folder, matmul(), options(12))
    assert pool.result().noise is not None and len(pool.remeasured) == 8 and sum(pool.origins.values()) == 12
