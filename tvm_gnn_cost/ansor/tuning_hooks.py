"""What a `AnsorRun` puts between TVM's task scheduler and its parts: the model, the policies, the measurements."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.runners import Measuring
from tvm_gnn_cost.ansor.schedules.seeding import Measure
from tvm_gnn_cost.ansor.tuning_run import AnsorRun
from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.measuring.gain import is_warm, makes_promises
from tvm_gnn_cost.records.tuning_run import NOTHING_LEFT, SEARCH_FAILS
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask, TaskScheduler
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel
    from tvm.auto_scheduler.search_policy import SearchPolicy

logger = logging.getLogger("tvm_gnn_cost")


def timed_model(model: PythonBasedModel, run: AnsorRun) -> PythonBasedModel:
    """`model` behind a stopwatch: the same scores and updates."""
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel as Base

    def scored(task: SearchTask, states: Sequence[Any]) -> list[float]:
        return [float(score) for score in model.predict(task, states)]

    class TimedModel(Base):  # type: ignore[misc, valid-type]
        search_params = getattr(model, "search_params", {})

        def update(self, inputs: Any, results: Any) -> None:
            with run.in_model("train"):
                states = [inp.state for inp in inputs]
                promised = scored(inputs[0].task, states) if states and run.has_begun and is_warm(model) else None
                model.update(inputs, results)
                if states:
                    latencies = [measured_latency(result) for result in results]
                    rescore = partial(scored, inputs[0].task) if is_warm(model) else None
                    run.learnt(states, latencies, str, promised, rescore)

        def predict(self, task: Any, states: Any) -> Any:
            with run.in_model("search"):
                scores = model.predict(task, states)
            if is_warm(model):
                run.scored(states, scores)
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

    if makes_promises(model):
        TimedModel.is_warm = property(lambda self: model.is_warm)
    return TimedModel()


def budgeted(policy: SearchPolicy, task: int, run: AnsorRun) -> SearchPolicy:
    """`policy`, measuring no more than the run allows: TaskScheduler alone rounds budgets up to whole rounds.

    TaskScheduler leaves a task for good when its first round brings nothing that runs, and a round may be a single
    trial; so the first round goes on until something runs, or the run has seen enough fail.

    A task at which TVM's search itself fails is left, and the others go on: of some long chains of stages it makes
    sketches that it cannot sample (`InitFillTileSize`: a split of a loop whose extent it does not know).
    """
    from tvm import TVMError
    from tvm.auto_scheduler.search_policy import SearchPolicy as Base

    class Budgeted(Base):  # type: ignore[misc, valid-type]
        # A SearchPolicy only because TaskScheduler asks for one; it calls nothing but this method.
        def continue_search_one_round(self, num_measure: int, measurer: Any) -> tuple[Any, Any]:
            run.select(task)
            inputs: list[Any] = []
            results: list[Any] = []
            while (budget := min(num_measure, run.allowance(task))) > 0:
                try:
                    chosen, measured = policy.continue_search_one_round(budget, measurer)
                    why = NOTHING_LEFT
                except TVMError as error:
                    name = run.tasks[task].desc or run.tasks[task].workload_key
                    logger.warning(
                        "%s is left: TVM's search of it fails, whatever the model: %s", name, last_line(error)
                    )
                    chosen, measured, why = [], [], SEARCH_FAILS
                run.begin("search")
                inputs += list(chosen)
                results += list(measured)
                if not len(chosen):
                    run.leave(task, why)
                if run.best_s(task) is not None:
                    break
            return inputs, results

    return Budgeted()


def search_by_gain(run: AnsorRun, policies: Sequence[SearchPolicy], options: Any) -> None:
    """What TaskScheduler does, but each round is of the task from which most is expected (`TuningRun.choose`).

    Args:
        run: its distinct tasks.
        policies: of these.
        options: TuningOptions.
    """
    from tvm.auto_scheduler.measure import ProgramMeasurer

    measurer = ProgramMeasurer(options.builder, options.runner, options.measure_callbacks, options.verbose)
    while alive := [task for task in range(len(policies)) if run.allowance(task) > 0]:
        task = run.choose(alive)
        policies[task].continue_search_one_round(run.round_size(task), measurer)


def make_scheduler(run: AnsorRun) -> TaskScheduler:
    """TVM's TaskScheduler of the run's tasks, with what their own records in the log say of them.

    TVM's own reading of a log takes what other targets measured for the tasks' own, and fails at a bad line.
    """
    auto_scheduler = require_auto_scheduler()
    history = run.history

    class Scheduler(auto_scheduler.TaskScheduler):  # type: ignore[misc, name-defined]
        def _restore_status(self, log_file: str, num_measures_per_round: int) -> None:
            for i, results in enumerate(history.results if history is not None else ()):
                cost, best_at = _best_mean(results)
                if cost is not None:  # else its first round is still to come
                    self.best_costs[i] = cost
                    self.task_cts[i] = int(len(results) / num_measures_per_round + 0.5)
                    self.task_best_cts[i] = int(best_at / num_measures_per_round + 0.5)
                self.task_costs_history[i].append(self.best_costs[i])
            self.cur_score = self._compute_score(self.best_costs)

    # no callbacks: TaskScheduler's own print tables and leave a file in the working directory
    return Scheduler(run.tasks, run.weights, load_log_file="known" if history is not None else None, callbacks=[])


def batch_callback(run: AnsorRun, measuring: Measuring) -> Any:
    """The measure callback that hands to the run what was measured of every batch."""
    from tvm.auto_scheduler.measure import PythonBasedMeasureCallback

    class BatchCallback(PythonBasedMeasureCallback):  # type: ignore[misc]
        def callback(self, policy: Any, inputs: Any, results: Any) -> None:
            run.take(*measuring.measured(inputs, results))
            measuring.check()

    return BatchCallback()


def batch_measure(run: AnsorRun, measuring: Measuring) -> Measure:
    """What measures schedules that no search has chosen: batch after batch, each told to the run."""

    def measure(inputs: list[Any], _: Any) -> list[Any]:
        results: list[Any] = []
        for begin in range(0, len(inputs), measuring.batch):
            batch = inputs[begin : begin + measuring.batch]
            found = measuring.runner.run(batch, measuring.builder.build(batch, verbose=0), verbose=0)
            results += found
            run.take(*measuring.measured(batch, found))
            measuring.check()
        return results

    return measure


def _best_mean(results: Sequence[Any]) -> tuple[float | None, int]:
    """The least mean cost in seconds, which TaskScheduler goes by, and after how many records it came."""
    from tvm.auto_scheduler.utils import array_mean

    best, at = None, 0
    for number, result in enumerate(results, 1):
        if int(result.error_no) == 0:
            cost = float(array_mean(result.costs))
            if best is None or cost < best:
                best, at = cost, number
    return best, at
