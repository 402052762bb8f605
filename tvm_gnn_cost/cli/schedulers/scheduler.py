"""What the commands need of a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tvm_gnn_cost.cli.network_options import NetworkChoice
from tvm_gnn_cost.cli.problem import Problem
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.progress import Observer

if TYPE_CHECKING:
    from tvm_gnn_cost.collection.wing import Wing
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView


class Scheduler(Protocol):
    """One of TVM's schedulers: its tasks, its models, its runs. Making one loads no TVM."""

    name: str
    """As `--scheduler` has it."""
    log_option: str
    """The option that names where measurements go."""

    def operator_problem(self, words: Sequence[str], target: str, folder: Path | None) -> Problem:
        """A WORKLOAD with its ARGUMENTs. Raises WorkloadError."""
        ...

    def network_problem(self, choice: NetworkChoice, target: str) -> Problem:
        """All tasks of a network. Raises WorkloadError."""
        ...

    def log_path(self, stem: str) -> Path:
        """Where measurements of this name go."""
        ...

    def gnn_model(self, seed: int, pretrained: str | None, device: str, cost_aware: bool = True) -> Any:
        """This package's cost model."""
        ...

    def stock_model(self, seed: int, num_tasks: int, per_round: int) -> Any:
        """TVM's own, just as its tuner makes it."""
        ...

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
        """One tuning run.

        `population` None is the model's own, else TVM's; `database` is a folder of schedules, where the log is none;
        `on_round` is told what the run did until then, each time that the model has learnt a round.
        """
        ...

    def untuned_latency(self, problem: Problem) -> float | None:
        """A network's latency before tuning in seconds; None for a workload, and where it cannot be timed here."""
        ...

    def settings(self, problem: Problem) -> dict[str, Any]:
        """What runs must have in common to be compared, besides what the options say."""
        ...

    def wing(self) -> Wing:
        """What collecting pools needs."""
        ...

    def recorded_view(self, path: str, line: int | None, task: str | None, model: Any) -> ScheduleView:
        """A record of a log: of that line, or the fastest of a task. Raises RecordError."""
        ...

    def best_views(self, path: str, model: Any) -> list[ScheduleView]:
        """The fastest record of each task of a log, those that can be read. Raises RecordError for no log."""
        ...

    def sampled_view(self, words: Sequence[str], target: str, seed: int, model: Any) -> ScheduleView:
        """A schedule that is sampled for a WORKLOAD. Raises WorkloadError, InvalidArgumentError."""
        ...
