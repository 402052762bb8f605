"""TVM's ProgramBuilder and ProgramRunner for a tuning run: ours, which a `Measurer` does the work of.

TVM's LocalBuilder and LocalRunner are not used, see `measuring.workers`. Its RPCRunner takes the death of a server for
the schedule's failure, knows from its making how many servers there are, and leaves them idle while LocalBuilder
builds. All are C++ objects that call registered Python functions with their own arguments; so ours are such objects
with a name in these arguments, and functions in place of the registered ones that keep what has this name and hand
everything else on. They are put back when no run has any more.
"""

from __future__ import annotations

import contextlib
import threading
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

    Args:
        measurer: what builds and measures.
        is_stopping: asked often: whether to leave what is not yet being measured.

    Attributes:
        builder, runner: for `auto_scheduler.TuningOptions`.
        batch: schedules that are built and run together.
    """

    def __init__(self, measurer: Measurer, is_stopping: Callable[[], bool]) -> None:
        self.name = f"tvm-gnn-cost-{uuid.uuid4().hex}"
        # ProgramMeasurer's batches are twice this
        parallel = max(num_cores(), measurer.num_devices * _JOBS_PER_SERVER // 2)
        self.batch = 2 * parallel
        self.builder, self.runner = _tvm_objects(self.name, parallel)
        self._measurer = measurer
        self._is_stopping = is_stopping
        self._builds: list[Any] = []
        self._error: MeasurementError | None = None

    def measured(
        self, inputs: Sequence[MeasureInput], results: Sequence[MeasureResult]
    ) -> tuple[list[MeasureInput], list[MeasureResult]]:
        """Of a batch, what was measured: where a run stops, or no server answers, the rest was not."""
        pairs = [(i, r) for i, r in zip(inputs, results, strict=True) if int(r.error_no) != _UNMEASURED]
        return [i for i, _ in pairs], [r for _, r in pairs]

    def check(self) -> None:
        """Raises MeasurementError where no server answers any more. To be called when the batch is in the log."""
        if self._error is not None:
            raise self._error

    def build(self, inputs: Any, *_: Any) -> Any:
        """What TVM calls to build. It only begins to; `run` knows what became of it."""
        from tvm.auto_scheduler.measure import BuildResult

        self._builds = self._measurer.build(list(inputs))
        return [BuildResult("", [], 0, "", 0.0) for _ in self._builds]

    def run(self, inputs: Any, *_: Any) -> Any:
        """What TVM calls to measure what was built."""
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
    with Measurer(options, targets, AnsorToolchain()) as measurer:
        measuring = Measuring(measurer, is_stopping)
        with _handed_over(measuring):
            yield measuring


class _Enough(Exception):
    """The run is stopping."""


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


_RUNS: dict[str, Measuring] = {}
"""Those whose names TVM's functions know, at present."""
_ORIGINALS: dict[str, Callable[..., Any]] = {}
_LOCK = threading.Lock()


@contextlib.contextmanager
def _handed_over(measuring: Measuring) -> Iterator[None]:
    """While it lasts, what TVM would have built and run by the objects with its name comes to `measuring`."""
    tvm = require_tvm()
    with _LOCK:
        if not _RUNS:
            for name, ours in ((_BUILD, Measuring.build), (_RUN, Measuring.run)):
                _ORIGINALS[name] = tvm.get_global_func(name)
                tvm.register_func(name, _handing_over(ours, _ORIGINALS[name]), override=True)
        _RUNS[measuring.name] = measuring
    try:
        yield
    finally:
        with _LOCK:
            del _RUNS[measuring.name]
            if not _RUNS:
                for name, original in _ORIGINALS.items():
                    tvm.register_func(name, original, override=True)


def _handing_over(ours: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """What TVM calls instead of `original`: `ours`, of the run whose name is among the arguments, if one's is."""

    def call(*args: Any) -> Any:
        named = [_RUNS[argument] for argument in args if isinstance(argument, str) and argument in _RUNS]
        return ours(named[0], *args) if named else original(*args)

    return call
