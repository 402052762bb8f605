"""Builds schedules, then measures them: one at a time here, or in parallel on the servers of an RPC tracker."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.measuring.program import (
    BUILD_TIMEOUT,
    COMPILE_HOST,
    RUN_TIMEOUT,
    RUNTIME_DEVICE,
    Program,
    Reading,
    library_builder,
    run_here,
)
from tvm_gnn_cost.measuring.server_pool import ServerPool
from tvm_gnn_cost.measuring.workers import WorkerPool
from tvm_gnn_cost.records.tuning_run import MeasureOptions
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.machine import num_cores

if TYPE_CHECKING:
    from tvm.auto_scheduler import MeasureInput, MeasureResult
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")

FAILED_COST = 1e10  # as TVM's own
_TICK_S = 0.2

OnResult = Callable[[int, "MeasureResult"], None]


@dataclass(frozen=True)
class Built:
    """A built schedule, or why there is none."""

    program: Program | None
    error_no: int
    seconds: float


class Measurer:
    """Builds and measures. What is measured here is never disturbed by a build; on servers, both go on at once.

    Args:
        options: how, and where.
        targets: of the tasks.

    Raises MeasurementError where `options.tracker` has no servers that fit.
    """

    def __init__(self, options: MeasureOptions, targets: Sequence[Target]) -> None:
        self.options = options
        self._servers = None if options.tracker is None else ServerPool(options.tracker, options, targets)
        self._runner = WorkerPool(1) if self._servers is None else None
        self._builders = WorkerPool(num_cores())

    @property
    def num_devices(self) -> int:
        """How many schedules are measured at once, at present."""
        return 1 if self._servers is None else self._servers.num_servers

    def __enter__(self) -> Measurer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._servers is not None:
            self._servers.close()
        if self._runner is not None:
            self._runner.close()
        self._builders.close()

    def build(self, inputs: Sequence[MeasureInput]) -> list[Future[Any]]:
        """Begin to build all of them, in parallel, for `measure`; where that is done here, wait until all are built."""
        from tvm.auto_scheduler.measure import local_build_worker

        export, timeout = library_builder(self.options.compiler), self.options.build_timeout_s
        calls = [((inp.serialize(), export, 0),) for inp in inputs]
        futures = [self._builders.submit(local_build_worker, call, timeout) for call in calls]
        if self._servers is None:
            wait(futures)
        return futures

    def measure(
        self,
        inputs: Sequence[MeasureInput],
        builds: Sequence[Future[Any]],
        on_result: OnResult,
        check: Callable[[], None],
    ) -> None:
        """Measure what was built.

        Args:
            inputs, builds: the schedules, and what `build` made of them.
            on_result: `on_result(index, result)` gets each result as soon as it is there, and must not raise.
            check: called after each result, and while servers are waited for; to stop, it raises. What is measured by
                then, or being measured, still gets to `on_result`.

        Raises MeasurementError where no RPC server answers for `options.server_wait_minutes`.
        """
        if self._servers is not None:
            _RemoteBatch(self, self._servers, inputs, builds, on_result).run(check)
            return
        assert self._runner is not None
        for i, future in enumerate(builds):
            built = self.built(inputs[i], future)
            on_result(i, self.result(built, self._run_here(self._runner, built)))
            check()

    def built(self, inp: MeasureInput, future: Future[Any]) -> Built:
        """What a build that is done has made."""
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

    def result(self, built: Built, reading: Reading) -> MeasureResult:
        """As TVM has it; the program's files are deleted."""
        if built.program is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(os.path.dirname(built.program.file))
        if reading.error_no:
            logger.debug("a measurement failed with error %d: %s", reading.error_no, reading.message)
        costs = reading.costs if not reading.error_no else (FAILED_COST,)
        seconds = built.seconds + reading.seconds
        return require_auto_scheduler().MeasureResult(costs, reading.error_no, reading.message, seconds, time.time())

    def _run_here(self, runner: WorkerPool, built: Built) -> Reading:
        if built.program is None:
            return Reading((), built.error_no)
        timeout = self.options.run_timeout_s
        try:
            reading: Reading = runner.submit(run_here, (built.program, self.options), timeout).result()
        except TimeoutError as error:
            return Reading((), RUN_TIMEOUT, str(error), float(timeout))
        except ChildProcessError as error:
            return Reading((), RUNTIME_DEVICE, str(error))
        return reading


class _RemoteBatch:
    """Schedules on their way from their builds through the servers; results come in any order."""

    def __init__(
        self,
        measurer: Measurer,
        servers: ServerPool,
        inputs: Sequence[MeasureInput],
        builds: Sequence[Future[Any]],
        on_result: OnResult,
    ) -> None:
        self._measurer, self._servers, self._inputs, self._on_result = measurer, servers, inputs, on_result
        self._builds = builds
        self._built: dict[int, Built] = {}
        self._readings: dict[int, Future[Reading]] = {}
        self._left = len(builds)
        self._done: queue.SimpleQueue[tuple[int, Future[Any]]] = queue.SimpleQueue()
        for i, future in enumerate(builds):
            future.add_done_callback(functools.partial(self._note, i))

    def run(self, check: Callable[[], None]) -> None:
        try:
            while self._left:
                self._step(_TICK_S)
                check()
        except BaseException:
            self._stop()
            raise

    def _note(self, index: int, future: Future[Any]) -> None:
        self._done.put((index, future))

    def _step(self, timeout_s: float) -> None:
        try:
            i, future = self._done.get(timeout=timeout_s)
        except queue.Empty:
            return
        if i not in self._built:
            built = self._built[i] = self._measurer.built(self._inputs[i], future)
            if built.program is None:
                self._tell(i, Reading((), built.error_no))
            else:
                self._readings[i] = self._servers.submit(built.program)
                self._readings[i].add_done_callback(functools.partial(self._note, i))
        elif not future.cancelled():
            self._tell(i, future.result())

    def _tell(self, index: int, reading: Reading) -> None:
        self._left -= 1
        self._readings.pop(index, None)
        self._on_result(index, self._measurer.result(self._built[index], reading))

    def _stop(self) -> None:
        """Begin nothing any more; what is done or being measured is told."""
        for future in self._builds:
            future.cancel()
        self._servers.drop_waiting()
        wait(self._readings.values())
        while not self._done.empty():
            i, future = self._done.get()
            if i in self._readings and not future.cancelled() and future.exception() is None:
                self._tell(i, future.result())
