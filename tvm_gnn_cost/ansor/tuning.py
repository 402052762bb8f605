"""Tuning with the time accounted for: what `tvm-gnn-cost tune`, `compare` and the demo run.

A run is TVM's own TaskScheduler, measuring with processes that live as long as the run does; around it this module

1. writes every measured batch to the log at once, so that Ctrl-C, a kill or a full disk loses no measurement;
2. splits wall-clock time into search, measure and train;
3. keeps a trace (latency of each trial, when it was measured), and tells an observer as it goes;
4. stops at the next safe point when asked to, or when its time is up;
5. leaves a task that has had its trials, or no better schedule for a long time.

A task that is in the list twice is tuned once, with the sum of the weights.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.history import History
from tvm_gnn_cost.ansor.record_log import read_records, repair_log
from tvm_gnn_cost.ansor.runners import Measuring, open_measuring
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.guided_policy import Guidance
from tvm_gnn_cost.ansor.task_store import keep_tasks
from tvm_gnn_cost.ansor.tuning_hooks import (
    batch_callback,
    batch_measure,
    budgeted,
    make_scheduler,
    search_by_gain,
    timed_model,
)
from tvm_gnn_cost.ansor.tuning_run import AnsorRun
from tvm_gnn_cost.errors import InvalidArgumentError, MeasurementError
from tvm_gnn_cost.measuring.gain import makes_promises
from tvm_gnn_cost.measuring.task_books import checked_weights
from tvm_gnn_cost.measuring.tuning_run import STOPPING, Stopped, unheard
from tvm_gnn_cost.records.saved_tasks import tasks_path
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.locks import only_writer
from tvm_gnn_cost.system.progress import Observer, unobserved

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel

    from tvm_gnn_cost.ansor.policies import SearchCallbacks

logger = logging.getLogger("tvm_gnn_cost")


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
    init_search_callbacks: SearchCallbacks | None = None,
    observer: Observer[TuneProgress] = unobserved,
    on_round: Callable[[TuneResult], object] = unheard,
    source: str = "",
    database: str | os.PathLike[str] | None = None,
    local_search: bool = True,
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
        resume: go on from `log_file`: the model learns it, and what it measured of these tasks is not measured again.
            Records of other tasks count for nothing else: those of another target or hardware are among them.
        seed: of the search policies.
        search_params: `SketchPolicy` parameters that differ from TVM's defaults.
        init_search_callbacks: see `make_search_policies`.
        observer: told of every change of phase and every measured batch.
        on_round: told what the run did until then, each time that the model has learnt a round.
        source: what the tasks come from, such as a network: kept beside the log, see `records.saved_tasks`.
        database: a folder of schedules that the searches begin from, and that what is measured is added to; see
            `make_search_policies`.
        local_search: whether the neighbours of the best schedules are tried; see `make_search_policies`.

    Raises InvalidArgumentError for arguments that do not fit, RecordError for a log that cannot be read or written or a
    database that cannot be used, BusyError where another process writes to the log, MeasurementError where
    `options.measure.tracker` has no server that fits, or none that answers any more.
    """
    require_auto_scheduler()
    options = options or TuneOptions()
    tasks = list(tasks)
    weights = checked_weights(len(tasks), weights)
    log = Path(log_file)
    with only_writer(log):
        has_log = log.exists() and log.stat().st_size > 0
        if has_log and not resume:
            raise InvalidArgumentError(f"log file {log} already holds records: resume from it, or name another")
        if has_log:
            repair_log(log)
        keep_tasks(tasks_path(log), tasks, weights, source, resumed=has_log)
        schedules = None if database is None else ScheduleDatabase(database)

        interrupts = Interrupts(lambda: logger.warning(STOPPING))
        run = AnsorRun(tasks, weights, options, log, observer, interrupts, schedules, on_round)
        if has_log:
            _preload(run, log)
        if not run.remaining():
            return run.result()
        # A KeyboardInterrupt must not reach TVM's callbacks: its FFI swallows it, and goes on with what was never
        # computed.
        targets = [task.target for task in run.tasks]
        with interrupts, interrupts.held(), open_measuring(options.measure, targets, run.is_stopping) as measuring:
            try:
                _tune(
                    run,
                    tasks,
                    model,
                    options,
                    measuring,
                    seed,
                    search_params,
                    init_search_callbacks,
                    Guidance(schedules, local_search, batch_measure(run, measuring)),
                )
            except Stopped:
                pass
            except MeasurementError as error:
                raise MeasurementError(f"{error}. What was measured is in {log}; go on with `resume`") from error
            return run.result()


def _preload(run: AnsorRun, log: Path) -> None:
    """Count what a log holds."""
    history = History.of(run.tasks, read_records(log))
    history.report(log)
    run.preload(history)


def _tune(
    run: AnsorRun,
    tasks: list[SearchTask],
    model: PythonBasedModel,
    options: TuneOptions,
    measuring: Measuring,
    seed: int,
    search_params: dict[str, Any] | None,
    init_search_callbacks: SearchCallbacks | None,
    guidance: Guidance,
) -> None:
    auto_scheduler = require_auto_scheduler()
    from tvm_gnn_cost.ansor.policies import policies_of

    tune_option = auto_scheduler.TuningOptions(
        # TaskScheduler refuses a budget below one trial for each task; `budgeted` holds to the real one
        num_measure_trials=max(run.remaining(), len(run.tasks)),
        num_measures_per_round=options.trials_per_round,
        builder=measuring.builder,
        runner=measuring.runner,
        measure_callbacks=[batch_callback(run, measuring)],
        verbose=0,
    )
    timed = timed_model(model, run)
    if run.history is not None:
        run.history.teach(timed)
    policies = policies_of(
        tasks,
        timed,
        run.history,
        params=search_params,
        seed=seed,
        verbose=0,
        init_search_callbacks=init_search_callbacks,
        guidance=guidance,
    )
    searched = [budgeted(policies[first], i, run) for i, first in enumerate(run.distinct.first)]
    if makes_promises(model):
        search_by_gain(run, searched, tune_option)
    else:
        make_scheduler(run).tune(tune_option, search_policy=searched)
