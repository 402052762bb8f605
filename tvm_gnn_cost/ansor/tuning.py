"""Tuning with the time accounted for: what `tvm-gnn-cost tune`, `compare` and the demo run.

A run measures with TVM's own TaskScheduler, builder and runner; around them this module

1. writes every measured batch to the log at once, so that Ctrl-C, a kill or a full disk loses no measurement;
2. splits wall-clock time into search, measure and train;
3. keeps a trace (latency of each trial, when it was measured), and tells an observer as it goes;
4. stops at the next safe point when asked to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.record_log import RecordLog, append_records, read_records, repair_log
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.tuning_run import PhaseTimes, Trial, TuneOptions, TuneProgress, TuneResult, weighted_latency
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.progress import Observer, unobserved

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel
    from tvm.auto_scheduler.search_policy import SearchPolicy

logger = logging.getLogger("tvm_gnn_cost")

_STOPPING = "stopping when the batch being measured is done; what is measured is kept"


def tune_tasks(
    tasks: Sequence[SearchTask],
    model: PythonBasedModel,
    log_file: str | os.PathLike[str],
    options: TuneOptions | None = None,
    *,
    weights: Sequence[float] | None = None,
    resume: bool = False,
    seed: int = 0,
    search_params: dict[str, Any] | None = None,
    observer: Observer[TuneProgress] = unobserved,
) -> TuneResult:
    """Tune tasks that share a cost model, writing every measurement to `log_file`.

    In the main thread Ctrl-C stops the run at the next safe point, and the result says `interrupted`; a second one also
    cuts the model's training or scoring short. What was measured is in the log.

    Args:
        tasks: auto_scheduler SearchTasks.
        model: any PythonBasedModel: a `GNNCostModel`, or TVM's `XGBModel`.
        log_file: the record log; a log that already holds something needs `resume=True`.
        options: the budget and how to measure.
        weights: how often each task occurs; None is once each.
        resume: go on from `log_file`: the model learns it, and what it measured is not measured again.
        seed: of the search policies.
        search_params: `SketchPolicy` parameters that differ from TVM's defaults.
        observer: told of every change of phase and every measured batch.

    Raises InvalidArgumentError for arguments that do not fit, RecordError for a log that cannot be read or written.
    """
    require_auto_scheduler()
    options = options or TuneOptions()
    tasks = list(tasks)
    if not tasks:
        raise InvalidArgumentError("tasks is empty; there is nothing to tune")
    weights = [1.0] * len(tasks) if weights is None else [float(w) for w in weights]
    if len(weights) != len(tasks):
        raise InvalidArgumentError(f"{len(weights)} weights for {len(tasks)} tasks")
    log = Path(log_file)
    has_log = log.exists() and log.stat().st_size > 0
    if has_log and not resume:
        raise InvalidArgumentError(f"log file {log} already holds records: resume from it, or name another")
    if has_log:
        repair_log(log)
        has_log = log.stat().st_size > 0

    interrupts = Interrupts(lambda: logger.warning(_STOPPING))
    run = _Run(tasks, weights, options, log, observer, interrupts)
    with contextlib.ExitStack() as stack:
        history = _history(run, log, stack) if has_log else None
        exhausted = False
        if run.remaining() > 0:
            stack.enter_context(interrupts)
            # A KeyboardInterrupt must not reach TVM's callbacks: its FFI swallows it, and goes on with what was never
            # computed.
            stack.enter_context(interrupts.held())
            with contextlib.suppress(_Stopped):
                _tune(run, tasks, weights, model, options, history, seed, search_params)
                exhausted = run.remaining() > 0
        return run.result(exhausted=exhausted)


def _tune(
    run: _Run,
    tasks: list[SearchTask],
    weights: list[float],
    model: PythonBasedModel,
    options: TuneOptions,
    history: str | None,
    seed: int,
    search_params: dict[str, Any] | None,
) -> None:
    auto_scheduler = require_auto_scheduler()
    from tvm_gnn_cost.ansor.policies import make_search_policies

    measure = options.measure
    remaining = run.remaining()
    tune_option = auto_scheduler.TuningOptions(
        # TaskScheduler refuses a budget below one trial for each task; `_budgeted` holds to the real one
        num_measure_trials=max(remaining, len(tasks)),
        num_measures_per_round=options.trials_per_round,
        builder=auto_scheduler.LocalBuilder(timeout=measure.build_timeout_s),
        runner=auto_scheduler.LocalRunner(
            timeout=measure.run_timeout_s,
            number=measure.number,
            repeat=measure.repeat,
            min_repeat_ms=measure.min_repeat_ms,
            cooldown_interval=measure.cooldown_s,
            enable_cpu_cache_flush=measure.flush_cache,
        ),
        measure_callbacks=[_batch_callback(run)],
        verbose=0,
    )
    policies = make_search_policies(
        tasks, _timed_model(model, run), load_log_file=history, params=search_params, seed=seed, verbose=0
    )
    # no callbacks: TaskScheduler's own print tables and leave a file in the working directory
    scheduler = auto_scheduler.TaskScheduler(tasks, weights, load_log_file=history, callbacks=[])
    scheduler.tune(tune_option, search_policy=[_budgeted(p, i, run) for i, p in enumerate(policies)])


def _history(run: _Run, log: Path, stack: contextlib.ExitStack) -> str | None:
    """Count what a log holds; the path of a log of the good records, as TVM's reader stops at a bad one."""
    records = read_records(log)
    run.preload(records)
    if not records.inputs:
        return None
    if not records.skipped:
        return str(log)
    copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-"))) / "records.json"
    append_records(copy, records.inputs, records.results)
    return str(copy)


class _Stopped(Exception):
    """Raised inside TVM's callbacks to leave a run at a safe point. TVM's FFI drops what is no `Exception`."""


class _Run:
    """The state of one run: its clock, its trace and its log."""

    def __init__(
        self,
        tasks: list[SearchTask],
        weights: list[float],
        options: TuneOptions,
        log: Path,
        observer: Observer[TuneProgress],
        interrupts: Interrupts,
    ) -> None:
        self.trials: list[Trial] = []
        self.resumed = 0
        self._interrupts = interrupts
        self._index = {task.workload_key: i for i, task in enumerate(tasks)}
        self._flops = tuple(float(task.compute_dag.flop_ct) for task in tasks)
        self._weights = weights
        self._best: list[float | None] = [None] * len(tasks)
        self._options = options
        self._log = log
        self._observer = observer
        self._task = 0
        self._phase = "search"
        self._seconds = {"search": 0.0, "measure": 0.0, "train": 0.0}
        self._score_s = 0.0
        self._failed = 0
        self._start = self._mark = self._model_end = time.perf_counter()
        self._start_wall = time.time()

    def preload(self, records: RecordLog) -> None:
        """Count the measurements of these tasks that a log holds."""
        for inp, res in zip(records.inputs, records.results, strict=True):
            task = self._index.get(inp.task.workload_key)
            if task is not None:
                self.resumed += 1
                self._improve(task, measured_latency(res))

    def remaining(self) -> int:
        """Trials left in the budget."""
        return max(self._options.trials - self.resumed - len(self.trials), 0)

    def begin(self, phase: str, at: float | None = None) -> None:
        """Close the present phase and open another, now or `at` a time of `perf_counter`."""
        now = time.perf_counter() if at is None else at
        self._seconds[self._phase] += now - self._mark
        self._mark = now
        self._phase = phase
        self._notify()

    def select(self, task: int) -> None:
        """A round of one task begins."""
        self._task = task
        self.check_stop()
        self.begin("search")

    def check_stop(self) -> None:
        if self._interrupts.requested:
            raise _Stopped

    @contextlib.contextmanager
    def in_model(self, phase: str) -> Iterator[None]:
        """Around a call of the model, the only place that a second Ctrl-C may cut short."""
        self.check_stop()
        if self._phase != phase:
            self.begin(phase)
        begin = time.perf_counter()
        try:
            with self._interrupts.yielding():
                yield
        except KeyboardInterrupt:
            raise _Stopped from None
        self._model_end = time.perf_counter()
        if phase == "search":
            self._score_s += self._model_end - begin
        self.check_stop()

    def measured(self, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        """Take in a measured batch. What failed while stopping is dropped: Ctrl-C also reached the worker."""
        if self._interrupts.requested:
            kept = [(i, r) for i, r in zip(inputs, results, strict=True) if int(r.error_no) == 0]
            inputs, results = [i for i, _ in kept], [r for _, r in kept]
        if self._phase == "search":  # the candidates were chosen when the model had scored the last of them
            self.begin("measure", at=max(self._model_end, self._mark))
        append_records(self._log, inputs, results)
        elapsed = time.perf_counter() - self._start
        for inp, res in zip(inputs, results, strict=True):
            task = self._index.get(str(inp.task.workload_key), self._task)
            latency = measured_latency(res)
            self._improve(task, latency)
            self._failed += latency is None
            at = min(max(float(res.timestamp) - self._start_wall, 0.0), elapsed)
            self.trials.append(Trial(task, latency, at, int(res.error_no)))
        self.begin("measure")
        self.check_stop()

    def result(self, *, exhausted: bool) -> TuneResult:
        self.begin(self._phase)
        seconds = self._seconds
        return TuneResult(
            trials=tuple(self.trials),
            times=PhaseTimes(
                seconds["search"],
                seconds["measure"],
                seconds["train"],
                self._score_s,
                time.perf_counter() - self._start,
            ),
            best_latency_s=tuple(self._best),
            weights=tuple(self._weights),
            flops=self._flops,
            resumed=self.resumed,
            interrupted=self._interrupts.requested,
            exhausted=exhausted,
            log_file=str(self._log),
        )

    def _improve(self, task: int, latency: float | None) -> None:
        best = self._best[task]
        if latency is not None and (best is None or latency < best):
            self._best[task] = latency

    def _notify(self) -> None:
        self._observer(
            TuneProgress(
                phase=self._phase,
                done=self.resumed + len(self.trials),
                total=self._options.trials,
                failed=self._failed,
                latency_s=weighted_latency(self._best, self._weights),
                elapsed_s=time.perf_counter() - self._start,
                task=self._task,
            )
        )


def _timed_model(model: PythonBasedModel, run: _Run) -> PythonBasedModel:
    """`model` behind a stopwatch: the same scores and updates."""
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel as Base

    class TimedModel(Base):  # type: ignore[misc, valid-type]
        search_params = getattr(model, "search_params", {})

        def update(self, inputs: Any, results: Any) -> None:
            with run.in_model("train"):
                model.update(inputs, results)

        def predict(self, task: Any, states: Any) -> Any:
            with run.in_model("search"):
                scores = model.predict(task, states)
            return scores

        def predict_stages(self, task: Any, states: Any) -> Any:
            with run.in_model("search"):
                scores = model.predict_stages(task, states)
            return scores

        def update_from_file(self, file_name: str, n_lines: int | None = None) -> None:
            with run.in_model("train"):
                model.update_from_file(file_name, n_lines)

        def save(self, file_name: str) -> None:
            model.save(file_name)

        def load(self, file_name: str) -> None:
            model.load(file_name)

    return TimedModel()


def _budgeted(policy: SearchPolicy, task: int, run: _Run) -> SearchPolicy:
    """`policy`, measuring no more than the run's budget: TaskScheduler alone rounds it up to whole rounds."""
    from tvm.auto_scheduler.search_policy import SearchPolicy as Base

    class Budgeted(Base):  # type: ignore[misc, valid-type]
        # A SearchPolicy only because TaskScheduler asks for one; it calls nothing but this method.
        def continue_search_one_round(self, num_measure: int, measurer: Any) -> tuple[Any, Any]:
            run.select(task)
            budget = min(num_measure, run.remaining())
            if budget == 0:
                return [], []
            inputs, results = policy.continue_search_one_round(budget, measurer)
            run.begin("search")
            return inputs, results

    return Budgeted()


def _batch_callback(run: _Run) -> Any:
    from tvm.auto_scheduler.measure import PythonBasedMeasureCallback

    class BatchCallback(PythonBasedMeasureCallback):  # type: ignore[misc]
        def callback(self, policy: Any, inputs: Any, results: Any) -> None:
            run.measured(list(inputs), list(results))

    return BatchCallback()
