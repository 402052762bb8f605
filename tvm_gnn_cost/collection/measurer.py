"""Builds schedules, then measures them: one at a time here, or in parallel on the servers of an RPC tracker."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.collection.program import Program, Reading, Tracker, run_program
from tvm_gnn_cost.collection.workers import WorkerPool
from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.records.tuning_run import MeasureOptions
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.machine import num_cores

if TYPE_CHECKING:
    from tvm.auto_scheduler import MeasureInput, MeasureResult

logger = logging.getLogger("tvm_gnn_cost")

FAILED_COST = 1e10  # as TVM's own
SERVER_WAIT_S = 60.0  # for a free RPC server, beyond the time of a run
# tvm/auto_scheduler/measure.py, MeasureErrorNo
COMPILE_HOST, RUNTIME_DEVICE, BUILD_TIMEOUT, RUN_TIMEOUT = 2, 4, 6, 7

OnResult = Callable[[int, "MeasureResult"], None]


@dataclass(frozen=True)
class Built:
    """A built schedule, or why there is none."""

    program: Program | None
    error_no: int
    seconds: float


class Measurer:
    """Builds and measures. Never both at once, so that a build disturbs no measurement.

    Args:
        options: how.
        tracker: measure on its servers instead of here.

    Raises MeasurementError where the tracker has no servers with that key.
    """

    def __init__(self, options: MeasureOptions, tracker: Tracker | None = None) -> None:
        self.options = options
        self.tracker = tracker
        self.num_devices = 1 if tracker is None else count_servers(tracker)
        self._builders = WorkerPool(num_cores())
        self._runners = WorkerPool(self.num_devices)

    def __enter__(self) -> Measurer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runners.close()
        self._builders.close()

    def build(self, inputs: Sequence[MeasureInput]) -> list[Built]:
        """Build all of them, in parallel; returns when no build is under way any more."""
        from tvm.auto_scheduler.measure import local_build_worker
        from tvm.contrib import tar

        timeout = self.options.build_timeout_s
        futures = [
            self._builders.submit(local_build_worker, ((inp.serialize(), tar.tar, 0),), timeout) for inp in inputs
        ]
        return [self._built(inp, future) for inp, future in zip(inputs, futures, strict=True)]

    def measure(
        self, inputs: Sequence[MeasureInput], built: Sequence[Built], on_result: OnResult, check: Callable[[], None]
    ) -> None:
        """Measure what was built.

        Args:
            inputs, built: the schedules, and what `build` made of them.
            on_result: `on_result(index, result)` gets each result as soon as it is there, and must not raise.
            check: called after each result; to stop, it raises. What is measured by then still gets to `on_result`.

        Schedules that no RPC server answered for get no result. Raises MeasurementError where none did.
        """
        if self.tracker is None:
            for i, one in enumerate(built):
                result = self._result(one, self._run(one))
                if result is not None:
                    on_result(i, result)
                check()
            return
        waiting = {self._run(one): i for i, one in enumerate(built)}
        answered = 0

        def report(future: Future[Any]) -> int:
            i = waiting.pop(future)
            result = self._result(built[i], future)
            if result is None:
                return 0
            on_result(i, result)
            return 1

        try:
            for future in as_completed(list(waiting)):
                answered += report(future)
                check()
        except BaseException:
            for future in [future for future in waiting if future.done() and not future.cancelled()]:
                report(future)
            raise
        if not answered:
            raise MeasurementError(
                f"no RPC server of {self.tracker} answered; look at them with "
                f"python -m tvm.exec.query_rpc_tracker --host {self.tracker.host} --port {self.tracker.port}"
            )

    def _built(self, inp: MeasureInput, future: Future[Any]) -> Built:
        from tvm.auto_scheduler.measure import BuildResult, prepare_runner_args

        try:
            file, arguments, error_no, message, seconds = future.result()
        except TimeoutError:
            return Built(None, BUILD_TIMEOUT, float(self.options.build_timeout_s))
        except Exception as error:  # the compiler died, or the worker could not take the schedule
            logger.debug("a build failed: %s", error)
            return Built(None, COMPILE_HOST, 0.0)
        if error_no:
            logger.debug("a build failed: %s", message)
            return Built(None, int(error_no), float(seconds))
        shapes = [(tuple(int(extent) for extent in tensor.shape), str(tensor.dtype)) for tensor in arguments]
        values = prepare_runner_args(inp, BuildResult(file, arguments, 0, None, seconds))
        return Built(Program(file, inp.task.target.kind.name, shapes, values), 0, float(seconds))

    def _run(self, built: Built) -> Future[Any]:
        if built.program is None:
            failed: Future[Any] = Future()
            failed.set_result(Reading((), built.error_no))
            return failed
        timeout = self.options.run_timeout_s + (SERVER_WAIT_S if self.tracker is not None else 0.0)
        return self._runners.submit(run_program, (built.program, self.options, self.tracker), timeout)

    def _result(self, built: Built, future: Future[Any]) -> MeasureResult | None:
        auto_scheduler = require_auto_scheduler()
        try:
            reading: Reading = future.result()
        except TimeoutError as error:
            if self.tracker is not None:  # the server ends a session in time, so this one never began
                logger.warning("no answer from %s: %s", self.tracker, error)
                return None
            reading = Reading((), RUN_TIMEOUT, str(error), float(self.options.run_timeout_s))
        except ChildProcessError as error:
            reading = Reading((), RUNTIME_DEVICE, str(error))
        except Exception as error:
            if self.tracker is None:
                raise
            logger.warning("no answer from %s: %s", self.tracker, error)
            return None
        finally:
            if built.program is not None:
                with contextlib.suppress(OSError):
                    shutil.rmtree(os.path.dirname(built.program.file))
        error_no = reading.error_no
        if self.tracker is not None and error_no and reading.seconds >= 0.95 * self.options.run_timeout_s:
            error_no = RUN_TIMEOUT
        if error_no:
            logger.debug("a measurement failed with error %d: %s", error_no, reading.message)
        costs = reading.costs if not error_no else (FAILED_COST,)
        seconds = built.seconds + reading.seconds
        return auto_scheduler.MeasureResult(costs, error_no, reading.message, seconds, time.time())


def count_servers(tracker: Tracker) -> int:
    """The free servers of a tracker with its key. Raises MeasurementError where there are none."""
    from tvm import rpc

    try:
        socket.create_connection((tracker.host, tracker.port), timeout=5).close()  # TVM would try for a minute
        session = rpc.connect_tracker(tracker.host, tracker.port)
        summary = session.summary()
        session.close()
    except Exception as error:
        raise MeasurementError(f"the RPC tracker at {tracker.host}:{tracker.port} does not answer: {error}") from error
    queues = summary["queue_info"]
    free = int(queues.get(tracker.key, {}).get("free", 0))
    if not free:
        keys = ", ".join(f"{key} ({queues[key]['free']} free)" for key in sorted(queues)) or "none"
        raise MeasurementError(
            f"the RPC tracker at {tracker.host}:{tracker.port} has no free server with the key {tracker.key!r}; "
            f"its keys: {keys}"
        )
    return free
