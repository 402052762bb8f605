"""MetaSchedule behind the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.cli.network_options import NetworkChoice
from tvm_gnn_cost.cli.problem import Problem, TaskFacts, parse_argument, workload_label
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.find_tvm import has_auto_scheduler, require_meta_schedule
from tvm_gnn_cost.system.progress import Observer

if TYPE_CHECKING:
    from tvm_gnn_cost.collection.wing import Wing
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView
    from tvm_gnn_cost.meta_schedule.tasks import TuningTask


class MetaSchedule:
    """See `Scheduler`."""

    name = "metaschedule"
    log_option = "--database"

    def operator_problem(self, words: Sequence[str], target: str, folder: Path | None) -> Problem:
        task = _task(words, target, folder)
        return Problem(workload_label(words, task.workload_key), [task], [1.0], [_facts(task)])

    def network_problem(self, choice: NetworkChoice, target: str) -> Problem:
        require_meta_schedule()
        from tvm_gnn_cost.meta_schedule.networks import network_tasks
        from tvm_gnn_cost.workloads import parse_target

        parsed, network = parse_target(target), choice.load()
        tasks, weights = network_tasks(network, parsed)
        return Problem(choice.label, tasks, weights, [_facts(task) for task in tasks], network)

    def log_path(self, stem: str) -> Path:
        return Path(stem)

    def gnn_model(self, seed: int, pretrained: str | None, device: str, cost_aware: bool = True) -> Any:
        require_meta_schedule()
        from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel

        return GNNCostModel(pretrained=pretrained, seed=seed, device=device, cost_aware=cost_aware)

    def stock_model(self, seed: int, num_tasks: int, per_round: int) -> Any:
        from tvm_gnn_cost.meta_schedule.stock import xgb_model

        return xgb_model()  # as `ms.tune_tir` makes it, whatever is tuned; it takes no seed

    def tune(
        self,
        problem: Problem,
        model: Any,
        log: Path,
        options: TuneOptions,
        *,
        seed: int,
        population: int | None,
        resume: bool = False,
        database: str | None = None,
        observer: Observer[TuneProgress],
        on_round: Callable[[TuneResult], object],
    ) -> TuneResult:
        from tvm_gnn_cost.meta_schedule.tuning import POPULATION, tune_modules

        return tune_modules(
            problem.tasks,
            model,
            log,
            options,
            weights=problem.weights,
            resume=resume,
            seed=seed,
            population=population or POPULATION,
            observer=observer,
            on_round=on_round,
            source=problem.label,
        )

    def untuned_latency(self, problem: Problem) -> float | None:
        if problem.network is None or not has_auto_scheduler():  # networks are Relay programs
            return None
        from tvm_gnn_cost.ansor.untuned import untuned_latency

        return untuned_latency(problem.network, problem.tasks[0].target)

    def settings(self, problem: Problem) -> dict[str, Any]:
        return {"scheduler": self.name}

    def wing(self) -> Wing:
        from tvm_gnn_cost.collection.meta_schedule import TIRWing

        return TIRWing()

    def recorded_view(self, path: str, line: int | None, task: str | None, model: Any) -> ScheduleView:
        from tvm_gnn_cost.cli.schedulers.database_records import recorded_view

        return recorded_view(path, line, task, model)

    def best_views(self, path: str, model: Any) -> list[ScheduleView]:
        from tvm_gnn_cost.cli.schedulers.database_records import best_views

        return best_views(path, model)

    def sampled_view(self, words: Sequence[str], target: str, seed: int, model: Any) -> ScheduleView:
        task = _task(words, target, None)
        from tvm_gnn_cost.meta_schedule.inspection import inspect_candidate, sample_candidate

        candidate = sample_candidate(task, seed, model)
        notes = [str(task.target), f"sampled with seed {seed}, not measured"]
        title = workload_label(words, task.workload_key)
        return inspect_candidate(task.mod, task.target, candidate, model, title=title, notes=notes)


def _task(words: Sequence[str], target: str, folder: Path | None) -> TuningTask:
    require_meta_schedule()
    from tvm_gnn_cost.meta_schedule.tasks import make_task

    return make_task(words[0], [parse_argument(text) for text in words[1:]], target, folder)


def _facts(task: TuningTask) -> TaskFacts:
    return TaskFacts(task.name, task.flop, str(task.target), task.workload_key)
