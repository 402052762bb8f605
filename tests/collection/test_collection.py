"""Pools collected for real: tiny workloads, built and measured here or on RPC servers that the test starts."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from command_line import interrupt_at
from rpc_sessions import Sessions
from tvm import auto_scheduler
from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost import InvalidArgumentError, MeasurementError
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.ansor.toolchain import AnsorToolchain
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.cli.collect import find_workloads
from tvm_gnn_cost.cli.schedulers.ansor import Ansor
from tvm_gnn_cost.collection import CollectOptions, Mix, Workload, collect_pools
from tvm_gnn_cost.collection import loop as collection_loop
from tvm_gnn_cost.collection.ansor import AnsorWing
from tvm_gnn_cost.collection.loop import choose_again
from tvm_gnn_cost.collection.pool import Pool
from tvm_gnn_cost.collection.quietness import Quietness, check_quiet, wait_until_quiet
from tvm_gnn_cost.measuring.measurer import Measurer
from tvm_gnn_cost.measuring.workers import WorkerPool
from tvm_gnn_cost.records.noise import noise_of, remeasured_pairs
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneProgress
from tvm_gnn_cost.testing.rpc_rig import running_rig, wait_for

MEASURE = MeasureOptions(repeat=3, min_repeat_ms=1, number=1, build_timeout_s=30, run_timeout_s=10)
FLAGS = ["--repeat", "3", "--min-repeat-ms", "1", "--build-timeout", "30", "--batch", "6", "--population", "16"]
FLAGS += ["--wait-quiet", "0"]
NAME = "matmul-32x32x32"


def options(trials: int, **changes: Any) -> CollectOptions:
    settings: dict[str, Any] = {"batch": 6, "population": 16, "measure": MEASURE, "wait_quiet_s": 0.0}
    return CollectOptions(trials, **settings | changes)


def matmul() -> Workload:
    return Workload(NAME, "matmul 32 32 32", make_task("matmul", (32, 32, 32)))


def schedules(path: Path) -> list[str]:
    """The steps of each record; TVM's own reader must take the log as well."""
    lines = path.read_text().splitlines()
    assert len(RecordReader(str(path)).read_lines()[0]) == len(lines)
    return [json.dumps(json.loads(line)["i"][1]) for line in lines]


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "about" / f"{NAME}.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a pool of 12 records, and what the command said."""
    folder = tmp_path_factory.mktemp("collected")
    (folder / "workloads.txt").write_text("# one workload\n\nmatmul 32 32 32   # tiny\nmatmul 32 32 32\n")
    arguments = ["collect", "--workloads", str(folder / "workloads.txt"), "--output", str(folder / "pools")]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")
        assert main([*arguments, "--trials", "12", *FLAGS]) == 0
    return folder / "pools", out.getvalue()


@pytest.fixture
def folder(collected: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the pool."""
    shutil.copytree(collected[0], tmp_path / "pools")
    return tmp_path / "pools"


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


@pytest.mark.slow
def test_resuming_adds_only_what_is_missing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = folder / f"{NAME}.json"
    before = log.read_text()
    log.write_text(before + before[:80])  # as a kill in the middle of a line leaves it
    result = collect_pools(AnsorWing(), [matmul()], folder, options(15))
    (pool,) = result.pools
    assert (pool.records, pool.added) == (15, 3)
    assert log.read_text().startswith(before)
    assert len(set(schedules(log))) == 15
    assert (folder / f"{NAME}.json.rejected").read_text() == before[:80] + "\n"
    assert "1 unreadable lines moved" in caplog.text
    assert len(about(folder)["remeasured"]) == 8  # enough before, so none again
    assert sum(len(batch["origins"]) for batch in about(folder)["batches"]) == 15


def test_a_complete_pool_is_left_alone(folder: Path) -> None:
    phases: list[str] = []
    before = (folder / f"{NAME}.json").read_bytes()
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, options(12), lambda p: phases.append(p.phase)).pools
    assert (pool.records, pool.added, phases) == (12, 0, [])
    assert (folder / f"{NAME}.json").read_bytes() == before


def test_a_complete_pool_is_not_even_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnsorWing, "open_log", lambda *_: pytest.fail("it was read"))
    before = about(folder)
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, as_collected()).pools
    latencies = [min(costs) for costs in map(costs_of, (folder / f"{NAME}.json").read_text().splitlines()) if costs]
    assert (pool.records, pool.added, pool.exhausted) == (12, 0, False)
    found = (min(latencies), max(latencies))  # six digits are logged
    assert (pool.best_s, pool.slowest_s) == pytest.approx(found, rel=1e-4)
    assert pool.noise == noise_of(*remeasured_pairs(before["remeasured"]).T)
    assert about(folder) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("complete"),  # as of an earlier release
        lambda found: found.pop("best_s"),
        lambda found: found.update(complete=7),
        lambda found: found["complete"].update(lines=11),
        lambda found: found["complete"].update(lines="twelve"),
        lambda found: found.update(noise={"median": "?"}),
    ],
)
def test_a_pool_is_opened_where_its_description_does_not_fit(
    folder: Path, damage: Callable[[dict[str, Any]], Any]
) -> None:
    good = about(folder)
    found = about(folder)
    damage(found)
    (folder / "about" / f"{NAME}.json").write_text(json.dumps(found))
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, as_collected()).pools
    assert (pool.records, pool.added) == (12, 0)
    again = about(folder)
    assert again["runs"][:-1] == good["runs"] and again["complete"] == good["complete"]
    assert again["batches"] == good["batches"] and again["best_s"] == pytest.approx(good["best_s"], rel=1e-4)


def test_a_pool_that_was_shortened_is_completed_again(folder: Path) -> None:
    log = folder / f"{NAME}.json"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, as_collected()).pools
    assert (pool.records, pool.added) == (12, 1)


def as_collected() -> CollectOptions:
    """What the fixture's command asked for."""
    return options(12)


def costs_of(line: str) -> list[float]:
    found = json.loads(line)["r"]
    return found[0] if found[1] == 0 else []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["machine"].update(cpu="Z80"), "the CPU was 'Z80', here it is"),
        (lambda found: found["machine"].update(cores=99), "the number of cores was 99"),
        (lambda found: found["versions"].update(tvm="0.18.0"), "the version of tvm was '0.18.0', here it is '0.19"),
        (lambda found: found.update(target="llvm -mcpu=z80"), "the target was 'llvm -mcpu=z80'"),
        (lambda found: found["measure"].update(flush_cache=True), "flushing the caches was True"),
    ],
)
def test_a_pool_is_not_continued_on_something_else(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    found = about(folder)
    change(found)
    (folder / "about" / f"{NAME}.json").write_text(json.dumps(found))
    before = (folder / f"{NAME}.json").read_bytes()
    with pytest.raises(InvalidArgumentError, match="cannot be continued") as caught:
        collect_pools(AnsorWing(), [matmul()], folder, options(15))
    assert message in str(caught.value) and "name another folder" in str(caught.value)
    assert (folder / f"{NAME}.json").read_bytes() == before


def test_a_pool_without_its_description_is_not_continued(folder: Path) -> None:
    (folder / "about" / f"{NAME}.json").unlink()
    with pytest.raises(InvalidArgumentError, match="has no description"):
        collect_pools(AnsorWing(), [matmul()], folder, options(15))


@pytest.mark.slow
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


@pytest.mark.slow
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


def runs(process: psutil.Process) -> bool:
    """Whether it still runs: a zombie, which waits for init to collect it, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_failed_builds_are_records_and_a_hopeless_workload_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "")  # no tools for the builders
    (pool,) = collect_pools(AnsorWing(), [matmul()], tmp_path, options(20, batch=2, pretrained=None)).pools
    assert "matmul 32 32 32: given up, all of 4 schedules failed; TVM's error numbers: [2]" in caplog.text
    assert (pool.records, pool.failed, pool.best_s, pool.noise) == (4, 4, None, None)
    errors = [json.loads(line)["r"][1] for line in (tmp_path / f"{NAME}.json").read_text().splitlines()]
    assert errors == [2] * 4


@pytest.mark.slow
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


def by_value(code: str) -> Any:
    """A function that no worker could import."""
    return eval(code)


def named(*command: str) -> list[psutil.Process]:
    """The running processes with that command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == [*command] and runs(p)]


def test_a_late_call_is_killed_with_the_processes_it_started() -> None:
    """As a hung compiler, started by a compiler's driver; one is waited for, the other is not."""
    driver = by_value("lambda: __import__('subprocess').run(['sh', '-c', 'sleep 61.25 & sleep 61.5; true'])")
    with WorkerPool(1) as pool:
        late = pool.submit(driver, (), 1.0)
        with pytest.raises(TimeoutError, match="killed after 1 s"):
            late.result()
        assert not named("sleep", "61.25") and not named("sleep", "61.5")
        assert pool.submit(sum, ([1, 2],), 30.0).result() == 3  # and a new worker goes on


def test_closing_a_pool_ends_calls_with_the_processes_they_started() -> None:
    with WorkerPool(1) as pool:
        running = pool.submit(subprocess.run, (["sleep", "61.75"],), 60.0)
        waiting = pool.submit(sum, ([1, 2],), 60.0)
        wait_for(lambda: bool(named("sleep", "61.75")))
    with pytest.raises(ChildProcessError):
        running.result(timeout=0)
    assert waiting.cancelled() and not named("sleep", "61.75")


def test_what_goes_wrong_in_a_call_is_that_calls_error_alone() -> None:
    nameless = by_value(
        "lambda: (_ for _ in ()).throw(type('Odd', (Exception,), {'lock': __import__('_thread').allocate_lock()})())"
    )
    two_arguments = by_value("lambda: (_ for _ in ()).throw(UnicodeDecodeError('a', b'b', 0, 1, 'odd'))")
    with WorkerPool(1) as pool:
        with pytest.raises(ChildProcessError, match="died, exit status 7"):
            pool.submit(os._exit, (7,), 30.0).result()
        with pytest.raises(ValueError, match="invalid literal") as caught:
            pool.submit(int, ("x",), 30.0).result()
        assert "in the worker process" in str(caught.value.__cause__)
        with pytest.raises(UnicodeDecodeError, match="odd"):
            pool.submit(two_arguments, (), 30.0).result()
        with pytest.raises(RuntimeError, match="Odd"):
            pool.submit(nameless, (), 30.0).result()
        with pytest.raises(TypeError, match="pickle"):
            pool.submit(threading.Lock, (), 30.0).result()
        with pytest.raises(TypeError, match="pickle"):
            pool.submit(print, (threading.Lock(),), 30.0).result()
        assert pool.submit(sum, ([1, 2],), 30.0).result() == 3


def test_a_worker_finds_what_its_parent_finds_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with WorkerPool(1) as pool:
        folder = Path(pool._folder.name)

        def ask(code: str) -> Any:
            return pool.submit(eval, (code,), 30.0).result()

        assert ask("__import__('sys').path") == sys.path
        assert ask("'tvm' in __import__('sys').modules")
        signals = ask("(lambda s: (s.getsignal(s.SIGINT) == s.SIG_IGN))(__import__('signal'))")
        assert signals, "Ctrl-C is the parent's matter"
        assert ask("__import__('multiprocessing').current_process().name") == "MainProcess", "nothing was forked"
        assert Path(ask("__import__('tempfile').mkdtemp()")).parent == folder
        assert ask("__import__('subprocess').run('echo heard; echo heard >&2', shell=True).returncode") == 0
        ask("print('heard')")
    assert not folder.exists()
    assert "heard" not in "".join(capfd.readouterr())


@pytest.mark.slow
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
