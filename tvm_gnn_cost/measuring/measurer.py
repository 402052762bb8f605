"""Builds schedules, then measures them: one at a time here, or in parallel on the servers of an RPC tracker.

What is built, and what a result looks like, is the scheduler's affair: its `Toolchain` says it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

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
from tvm_gnn_cost.system.machine import num_cores

if TYPE_CHECKING:
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")

FAILED_COST = 1e10  # as TVM's own
_TICK_S = 0.2

OnResult = Callable[[int, Any], None]


@dataclass(frozen=True)
class Built:
    """A built schedule, or why there is none."""

    program: Program | None
    error_no: int
    seconds: float
    message: str = ""


class Toolchain(Protocol):
    """How one scheduler's candidates become programs, and readings its results."""

    imports: tuple[str, ...]
    """Modules that a worker imports before its first call: what takes seconds is no call's."""

    def build_call(self, candidate: Any, export: Callable[..., None]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """A function that a worker can import, and its arguments; `export` is for `export_library`."""
        ...

    def built(self, candidate: Any, answer: Any) -> Built:
        """What the call has made."""
        ...

    def result(self, reading: Reading, seconds: float) -> Any:
        """A reading as the scheduler has it; `seconds` are those of building and measuring."""
        ...


class Measurer:
    """Builds and measures. What is measured here is never disturbed by a build; on servers, both go on at once.

    Args:
        options: how, and where.
        targets: of the tasks.
        toolchain: the scheduler's.

    Raises MeasurementError where `options.tracker` has no servers that fit.
    """

    def __init__(self, options: MeasureOptions, targets: Sequence[Target], toolchain: Toolchain) -> None:
        self.options = options
        self._toolchain = toolchain
        self._servers = None if options.tracker is None else ServerPool(options.tracker, options, targets)
        self._runner = WorkerPool(1) if self._servers is None else None
        self._builders = WorkerPool(num_cores(), toolchain.imports)

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

    def build(self, candidates: Sequence[Any]) -> list[Future[Any]]:
        """Begin to build all of them, in parallel, for `measure`; where that is done here, wait until all are built."""
        export, timeout = library_builder(self.options.compiler), self.options.build_timeout_s
        calls = [self._toolchain.build_call(candidate, export) for candidate in candidates]
        futures = [self._builders.submit(function, arguments, timeout) for function, arguments in calls]
        if self._servers is None:
            wait(futures)
        return futures

    def measure(
        self,
        candidates: Sequence[Any],
        builds: Sequence[Future[Any]],
        on_result: OnResult,
        check: Callable[[], None],
        race_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Measure what was built.

        Args:
            candidates, builds: the schedules, and what `build` made of them.
            on_result: `on_result(index, result)` gets each result as soon as it is there, and must not raise.
            check: called after each result, and while servers are waited for; to stop, it raises. What is measured by
                then, or being measured, still gets to `on_result`.
            race_s: of each schedule, asked before it runs: `Program.race_s`.

        Raises MeasurementError where no RPC server answers for `options.server_wait_minutes`.
        """
        if self._servers is not None:
            _RemoteBatch(self, self._servers, candidates, builds, on_result, race_s).run(check)
            return
        assert self._runner is not None
        for i, future in enumerate(builds):
            built = self.built(candidates[i], future)
            on_result(i, self.result(built, self._run_here(self._runner, built, race_s())))
            check()

    def built(self, candidate: Any, future: Future[Any]) -> Built:
        """What a build that is done has made."""
        try:
            answer = future.result()
        except TimeoutError:
            return Built(None, BUILD_TIMEOUT, float(self.options.build_timeout_s), "the build took too long")
        except Exception as error:  # the compiler died, or the worker could not take the schedule
            logger.debug("a build failed: %s", error)
            return Built(None, COMPILE_HOST, 0.0, str(error))
        built = self._toolchain.built(candidate, answer)
        if built.program is None:
            logger.debug("a build failed: %s", built.message)
        return built

    def result(self, built: Built, reading: Reading) -> Any:
        """As the scheduler has it; the program's files are deleted."""
        if built.program is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(os.path.dirname(built.program.file))
        if reading.error_no:
            logger.debug("a measurement failed with error %d: %s", reading.error_no, reading.message)
        return self._toolchain.result(reading, built.seconds + reading.seconds)

    def _run_here(self, runner: WorkerPool, built: Built, race_s: float | None) -> Reading:
        if built.program is None:
            return Reading((), built.error_no, built.message)
        timeout = self.options.run_timeout_s
        try:
            program = replace(built.program, race_s=race_s)
            reading: Reading = runner.submit(run_here, (program, self.options), timeout).result()
        except TimeoutError as error:
            return Reading((), RUN_TIMEOUT, str(error), float(timeout))
        except ChildProcessError as error:
            return Reading((), RUNTIME_DEVICE, str(error))
        if reading.error_no and program.device != "cpu":
            runner.renew()  # after some errors a GPU refuses everything that the same process asks of it
        return reading


class _RemoteBatch:
    """Schedules on their way from their builds through the servers; results come in any order."""

    def __init__(
        self,
        measurer: Measurer,
        servers: ServerPool,
        candidates: Sequence[Any],
        builds: Sequence[Future[Any]],
        on_result: OnResult,
        race_s: Callable[[], float | None],
    ) -> None:
        self._measurer, self._servers, self._candidates, self._on_result = measurer, servers, candidates, on_result
        self._builds, self._race_s = builds, race_s
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
            built = self._built[i] = self._measurer.built(self._candidates[i], future)
            if built.program is None:
                self._tell(i, Reading((), built.error_no, built.message))
            else:
                self._readings[i] = self._servers.submit(replace(built.program, race_s=self._race_s()))
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
