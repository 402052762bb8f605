"""auto_scheduler behind the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.cli.network_options import NetworkChoice
from tvm_gnn_cost.cli.problem import Problem, TaskFacts, parse_argument, workload_label
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.progress import Observer

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask

    from tvm_gnn_cost.collection.wing import Wing
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView


class Ansor:
    """See `Scheduler`."""

    name = "ansor"
    log_option = "--log-file"

    def operator_problem(self, words: Sequence[str], target: str, folder: Path | None) -> Problem:
        from tvm_gnn_cost.ansor.tasks import make_task

        require_auto_scheduler()
        task = make_task(words[0], [parse_argument(text) for text in words[1:]], target, folder=folder)
        return Problem(workload_label(words, str(task.workload_key)), [task], [1.0], [_facts(task)])

    def network_problem(self, choice: NetworkChoice, target: str) -> Problem:
        from tvm_gnn_cost.ansor.networks import network_tasks
        from tvm_gnn_cost.workloads import parse_target

        require_auto_scheduler()
        parsed, network = parse_target(target), choice.load()
        tasks, weights = network_tasks(network, parsed)
        return Problem(choice.label, tasks, [float(w) for w in weights], [_facts(task) for task in tasks], network)

    def log_path(self, stem: str) -> Path:
        return Path(f"{stem}.json")

    def gnn_model(self, seed: int, pretrained: str | None, device: str, cost_aware: bool = True) -> Any:
        from tvm_gnn_cost.ansor.cost_model import GNNCostModel

        return GNNCostModel(pretrained=pretrained, seed=seed, device=device, cost_aware=cost_aware)

    def stock_model(self, seed: int, num_tasks: int, per_round: int) -> Any:
        from tvm.auto_scheduler import XGBModel

        # XGBModel takes 0 for "no seed"; it prints at every training unless verbose_eval is 0
        return XGBModel(verbose_eval=0, num_warmup_sample=num_tasks * per_round, seed=seed + 1)

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
        from tvm_gnn_cost.ansor.tuning import tune_tasks

        search = None
        if population is not None:
            search = {"evolutionary_search_population": population, "sample_init_min_population": min(50, population)}
        return tune_tasks(
            problem.tasks,
            model,
            log,
            options,
            weights=problem.weights,
            resume=resume,
            seed=seed,
            search_params=search,
            observer=observer,
            on_round=on_round,
            source=problem.label,
            database=database,
        )

    def untuned_latency(self, problem: Problem) -> float | None:
        from tvm_gnn_cost.ansor.untuned import untuned_latency

        return None if problem.network is None else untuned_latency(problem.network, problem.tasks[0].target)

    def settings(self, problem: Problem) -> dict[str, Any]:
        from tvm_gnn_cost.ansor.task_identity import identity_of

        return {"hardware": list(identity_of(problem.tasks[0]).hardware)}

    def wing(self) -> Wing:
        from tvm_gnn_cost.collection.ansor import AnsorWing

        return AnsorWing()

    def recorded_view(self, path: str, line: int | None, task: str | None, model: Any) -> ScheduleView:
        from tvm_gnn_cost.cli.schedulers.ansor_records import recorded_view

        return recorded_view(path, line, task, model)

    def best_views(self, path: str, model: Any) -> list[ScheduleView]:
        from tvm_gnn_cost.cli.schedulers.ansor_records import best_views

        return best_views(path, model)

    def sampled_view(self, words: Sequence[str], target: str, seed: int, model: Any) -> ScheduleView:
        from tvm_gnn_cost.ansor.hardware_params import hardware_params_or_assumed
        from tvm_gnn_cost.ansor.inspection import inspect_state, sample_state
        from tvm_gnn_cost.ansor.tasks import make_task
        from tvm_gnn_cost.workloads import parse_target

        parsed = parse_target(target)
        params = hardware_params_or_assumed(parsed)
        task = make_task(words[0], [parse_argument(text) for text in words[1:]], parsed, params)
        notes = [str(task.target), f"sampled with seed {seed}, not measured"]
        label = workload_label(words, str(task.workload_key))
        return inspect_state(task, sample_state(task, seed, model), model, title=label, notes=notes)


def _facts(task: SearchTask) -> TaskFacts:
    from tvm_gnn_cost.ansor.states.work import count_flop

    return TaskFacts(str(task.desc), count_flop(task.compute_dag), str(task.target), str(task.workload_key))
