"""Programs on real RPC servers of this machine, which die, hang and come back meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import tvm
from rpc_sessions import Sessions
from tvm import te

from tvm_gnn_cost.errors import InvalidArgumentError, MeasurementError
from tvm_gnn_cost.measuring import lanes
from tvm_gnn_cost.measuring.fitness import _build
from tvm_gnn_cost.measuring.program import RUN_TIMEOUT, RUNTIME_DEVICE, Program, library_builder
from tvm_gnn_cost.measuring.server_pool import ServerPool
from tvm_gnn_cost.measuring.server_target import server_target
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions
from tvm_gnn_cost.testing.rpc_rig import Rig, wait_for
from tvm_gnn_cost.workloads import parse_target

TARGET = parse_target("host")


def options(tracker: Tracker, **changes: Any) -> MeasureOptions:
    """Sessions of about half a second."""
    settings: dict[str, Any] = {"repeat": 1, "min_repeat_ms": 300, "number": 1, "run_timeout_s": 20}
    return MeasureOptions(**settings | {"tracker": tracker, "server_wait_minutes": 0.5} | changes)


def pool(tracker: Tracker, **changes: Any) -> ServerPool:
    return ServerPool(tracker, options(tracker, **changes), [TARGET])


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return _build(TARGET, tmp_path_factory.mktemp("quick"), None)


def export(folder: Path, result: te.Tensor, given: te.Tensor) -> Program:
    file = folder / "program.tar"
    module = tvm.build(te.create_prim_func([given, result]), target=TARGET)
    module.export_library(str(file), fcompile=library_builder(None))
    return Program(str(file), "cpu", [((1,), "float32")] * 2, [None, None])


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Reads far outside of its array."""
    given = te.placeholder((1,), name="given")
    result = te.compute((1,), lambda i: given[(i + 1) * 2**40])
    return export(tmp_path_factory.mktemp("crashing"), result, given)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Runs for minutes."""
    given = te.placeholder((1,), name="given")
    j, k = te.reduce_axis((0, 2**16), name="j"), te.reduce_axis((0, 2**15), name="k")
    result = te.compute((1,), lambda i: te.sum(te.sin(given[i] + (j * k).astype("float32")), axis=[j, k]))
    return export(tmp_path_factory.mktemp("slow"), result, given)


def test_all_servers_measure_and_new_ones_join(one: Rig, quick: Program, sessions: Sessions) -> None:
    with pool(one.tracker) as servers:
        futures = [servers.submit(quick) for _ in range(12)]
        one.start(1)
        readings = [future.result(60) for future in futures]
        assert servers.num_servers == 2
    assert all(reading.error_no == 0 and len(reading.costs) == 1 for reading in readings)
    counts = {server.address: sessions.addresses.count(server.address) for server in one.servers}
    assert sum(counts.values()) == 12 and all(counts.values()), counts


def test_a_server_that_dies_costs_no_measurement(two: Rig, quick: Program, sessions: Sessions) -> None:
    sessions.at(3, lambda address: two.server(address).kill())
    with pool(two.tracker) as servers:
        readings = [future.result(60) for future in [servers.submit(quick) for _ in range(6)]]
    assert [reading.error_no for reading in readings] == [0] * 6
    assert len(sessions.addresses) == 7 and len(two.listed()) == 1


def test_a_program_that_crashes_its_session_is_told_from_a_server_that_dies(
    two: Rig, quick: Program, crashing: Program, caplog: pytest.LogCaptureFixture
) -> None:
    with pool(two.tracker) as servers:
        crash, *others = [servers.submit(program) for program in (crashing, quick, quick)]
        assert crash.result(60).error_no == RUNTIME_DEVICE
        assert [other.result(60).error_no for other in others] == [0, 0]
    assert "has to be started again" in caplog.text and len(two.listed()) == 1


def test_a_program_that_is_too_slow_fails_when_it_was_so_twice(one: Rig, slow: Program, sessions: Sessions) -> None:
    with pool(one.tracker, run_timeout_s=1) as servers:
        assert servers.submit(slow).result(60).error_no == RUN_TIMEOUT
    assert len(sessions.addresses) == 2 and len(one.listed()) == 1


def test_a_server_that_hangs_is_left_alone_until_it_comes_back(
    two: Rig, quick: Program, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SLACK_S", 1.0)
    stopped = []

    def stop(address: str) -> None:
        stopped.append(two.server(address))
        stopped[0].stop()

    sessions.at(3, stop)
    with pool(two.tracker, run_timeout_s=3) as servers:
        readings = [future.result(60) for future in [servers.submit(quick) for _ in range(5)]]
        before = sessions.addresses.count(stopped[0].address)
        stopped[0].go_on()
        wait_for(lambda: len(two.listed()) == 2)
        time.sleep(1)
        readings += [future.result(60) for future in [servers.submit(quick) for _ in range(4)]]
    assert [reading.error_no for reading in readings] == [0] * 9
    assert sessions.addresses.count(stopped[0].address) > before


def test_a_server_that_comes_back_in_time_is_waited_for(one: Rig, quick: Program) -> None:
    with pool(one.tracker, server_wait_minutes=2) as servers:
        assert servers.submit(quick).result(60).error_no == 0
        one.servers[0].kill()
        late = servers.submit(quick)
        one.start(1)
        assert late.result(60).error_no == 0


def test_where_no_server_comes_back_it_gives_up(one: Rig, quick: Program) -> None:
    with pool(one.tracker, server_wait_minutes=0.02) as servers:
        one.servers[0].kill()
        with pytest.raises(MeasurementError) as caught:
            servers.submit(quick).result(60)
    assert f"no RPC server of {one.tracker} answered for 0.02 minutes: the tracker lists none" in str(caught.value)


def test_the_end_waits_for_the_session_under_way(one: Rig, quick: Program, sessions: Sessions) -> None:
    """TVM's Python server dies where its client leaves while it runs something."""
    with pool(one.tracker) as servers:
        futures = [servers.submit(quick) for _ in range(3)]
        wait_for(lambda: len(sessions.addresses) == 1)
        servers.drop_waiting()
    assert futures[0].result(0).error_no == 0
    assert [future.cancelled() for future in futures[1:]] == [True, True]
    wait_for(lambda: len(one.listed()) == 1)


def test_what_cannot_work_is_one_clear_error_before_anything_is_built(one: Rig) -> None:
    tracker = one.tracker

    def problem(target: str, tracker: Tracker = tracker, **changes: Any) -> str:
        with pytest.raises(MeasurementError) as caught:
            ServerPool(tracker, options(tracker, **changes), [parse_target(target)])
        return str(caught.value)

    assert "127.0.0.1:1 does not answer" in problem("llvm", Tracker("board", "127.0.0.1", 1))
    assert "no server with the key 'bord'; its keys: board (1 free)" in problem(
        "llvm", Tracker("bord", "127.0.0.1", tracker.port)
    )
    assert f"{one.servers[0].address}: it is a machine of x86_64" in problem("llvm -mtriple=aarch64-linux-gnu")
    assert "lacks instructions of the target" in problem("llvm -mcpu=sapphirerapids -mattr=+sse4a,+xop")
    assert len(one.listed()) == 1, "the server survives it"
    with pytest.raises(InvalidArgumentError, match="no such program"):
        MeasureOptions(compiler="no-such-compiler")
    assert server_target(tracker).startswith("llvm -mtriple=x86_64")
