"""TVM's ProgramBuilder and ProgramRunner for a tuning run: TVM's own here, ours for RPC servers.

TVM's RPCRunner takes the death of a server for the schedule's failure, knows from its making how many servers there
are, and leaves them idle while LocalBuilder builds. Both are C++ objects that call registered Python functions with
their own arguments; so ours are such objects with a name in these arguments, and functions in place of the registered
ones that keep what has this name and hand everything else on. They are put back at the end.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.toolchain import AnsorToolchain
from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.measurer import FAILED_COST, Measurer
from tvm_gnn_cost.records.tuning_run import MeasureOptions
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm
from tvm_gnn_cost.system.machine import num_cores

if TYPE_CHECKING:
    from tvm.auto_scheduler import MeasureInput, MeasureResult
    from tvm.auto_scheduler.measure import ProgramBuilder, ProgramRunner
    from tvm.target import Target

_BUILD, _RUN = "auto_scheduler.local_builder.build", "auto_scheduler.rpc_runner.run"
_UNMEASURED = 8  # MeasureErrorNo.UNKNOWN_ERROR, which TVM itself never sets
_JOBS_PER_SERVER = 4
"""Schedules in a batch, which is written to the log as a whole: fewer leave servers idle at its end."""


class Measuring:
    """How a run measures.

    Attributes:
        builder, runner: for `auto_scheduler.TuningOptions`.
        batch: schedules that are built and run together.
    """

    def __init__(self, builder: ProgramBuilder, runner: ProgramRunner, parallel: int) -> None:
        self.builder, self.runner = builder, runner
        self.batch = 2 * parallel  # as ProgramMeasurer has it

    def measured(
        self, inputs: Sequence[MeasureInput], results: Sequence[MeasureResult]
    ) -> tuple[list[MeasureInput], list[MeasureResult]]:
        """Of a batch, what was measured: where a run stops, or no server answers, the rest was not."""
        pairs = [(i, r) for i, r in zip(inputs, results, strict=True) if int(r.error_no) != _UNMEASURED]
        return [i for i, _ in pairs], [r for _, r in pairs]

    def check(self) -> None:
        """Raises MeasurementError where no server answers any more. To be called when the batch is in the log."""


@contextlib.contextmanager
def open_measuring(
    options: MeasureOptions, targets: Sequence[Target], is_stopping: Callable[[], bool]
) -> Iterator[Measuring]:
    """Measure as `options` say, while the context lasts.

    Args:
        options: with a tracker, its servers measure, and schedules are built meanwhile.
        targets: of the tasks.
        is_stopping: asked often: whether to leave what is not yet being measured.

    Raises MeasurementError where there is no tracker, or no server of it that fits.
    """
    if options.tracker is None:
        yield _local(options)
        return
    with Measurer(options, targets, AnsorToolchain()) as measurer:
        measuring = _RemoteMeasuring(measurer, is_stopping)
        with _registered(_BUILD, measuring.build), _registered(_RUN, measuring.run):
            yield measuring


def _local(options: MeasureOptions) -> Measuring:
    auto_scheduler = require_auto_scheduler()
    runner = auto_scheduler.LocalRunner(
        timeout=options.run_timeout_s,
        number=options.number,
        repeat=options.repeat,
        min_repeat_ms=options.min_repeat_ms,
        cooldown_interval=options.cooldown_s,
        enable_cpu_cache_flush=options.flush_cache,
    )
    parallel = num_cores()
    builder = auto_scheduler.LocalBuilder(timeout=options.build_timeout_s, n_parallel=parallel)
    return Measuring(builder, runner, parallel)


class _Enough(Exception):
    """The run is stopping."""


class _RemoteMeasuring(Measuring):
    def __init__(self, measurer: Measurer, is_stopping: Callable[[], bool]) -> None:
        self._name = f"tvm-gnn-cost-{uuid.uuid4().hex}"
        self._measurer = measurer
        self._is_stopping = is_stopping
        self._builds: list[Any] = []
        self._error: MeasurementError | None = None
        # ProgramMeasurer's batches are twice this
        parallel = max(num_cores(), measurer.num_devices * _JOBS_PER_SERVER // 2)
        super().__init__(*_tvm_objects(self._name, parallel), parallel)

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def build(self, original: Callable[..., Any], inputs: Any, *rest: Any) -> Any:
        """Begins to build; `run` knows what became of it."""
        from tvm.auto_scheduler.measure import BuildResult

        if self._name not in map(str, rest):
            return original(inputs, *rest)
        self._builds = self._measurer.build(list(inputs))
        return [BuildResult("", [], 0, "", 0.0) for _ in self._builds]

    def run(self, original: Callable[..., Any], inputs: Any, builds: Any, *rest: Any) -> Any:
        if self._name not in map(str, rest):
            return original(inputs, builds, *rest)
        MeasureResult = require_auto_scheduler().MeasureResult
        results = [MeasureResult((FAILED_COST,), _UNMEASURED, "not measured", 0.0, 0.0) for _ in inputs]
        try:
            self._measurer.measure(list(inputs), self._builds, results.__setitem__, self._check_stop)
        except _Enough:
            pass
        except MeasurementError as error:
            self._error = error
        return results

    def _check_stop(self) -> None:
        if self._is_stopping():
            raise _Enough


def _tvm_objects(name: str, parallel: int) -> tuple[ProgramBuilder, ProgramRunner]:
    """A LocalBuilder and an RPCRunner of that name, made without what their constructors ask for and print."""
    from tvm.auto_scheduler import _ffi_api
    from tvm.auto_scheduler.measure import ProgramBuilder, ProgramRunner

    class Builder(ProgramBuilder):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__init_handle_by_constructor__(_ffi_api.LocalBuilder, 0, parallel, name)

    class Runner(ProgramRunner):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__init_handle_by_constructor__(_ffi_api.RPCRunner, name, "", 0, 1, 1, 0, 1, 1, 0, 0.0, False, 0)

    return Builder(), Runner()


@contextlib.contextmanager
def _registered(name: str, function: Callable[..., Any]) -> Iterator[None]:
    """`function(original, *args)` in place of a registered function of TVM."""
    tvm = require_tvm()
    original = tvm.get_global_func(name)
    tvm.register_func(name, lambda *args: function(original, *args), override=True)
    try:
        yield
    finally:
        tvm.register_func(name, original, override=True)
