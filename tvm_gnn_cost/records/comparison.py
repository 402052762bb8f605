"""What a comparison of cost models found, as plain data: runs, their curves, a summary, and JSON.

Neither TVM nor torch is needed to read, summarise or plot one.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.tuning_run import Forecast, PhaseTimes, Trial, TuneResult, weighted_latency
from tvm_gnn_cost.system.files import read_json, write_atomically

SCHEMA = 1
RESULT_FILE = "comparison.json"
"""In the folder of a comparison."""

_FORMER_NAMES = {"xgb": "xgboost"}
"""Of models, in comparisons that an earlier release wrote."""


@dataclass(frozen=True)
class Run:
    """One tuning run of one model with one seed.

    Attributes:
        model: the model's name, as on the command line.
        seed: the seed of model and search.
        started: when, in ISO 8601 with the time zone.
        trials: in the order of measurement.
        times: where the time went, in seconds.
        weights: how often each task occurs.
        flops: each task's floating-point operations.
        log_file: the run's record log.
        exhausted: whether the search ran out of schedules before its budget.
        forecasts: what was expected of further trials after each round.
        left: why each task was left before the budget was used, "" where it was not; () where that is not known.
        resumed: trials of the log that are not among these.
        finished: whether it has ended.
    """

    model: str
    seed: int
    started: str
    trials: tuple[Trial, ...]
    times: PhaseTimes
    weights: tuple[float, ...]
    flops: tuple[float, ...]
    log_file: str
    exhausted: bool = False
    forecasts: tuple[Forecast, ...] = ()
    left: tuple[str, ...] = ()
    resumed: int = 0
    finished: bool = True

    @classmethod
    def from_result(cls, model: str, seed: int, started: str, result: TuneResult, finished: bool = True) -> Run:
        return cls(
            model,
            seed,
            started,
            result.trials,
            result.times,
            result.weights,
            result.flops,
            result.log_file,
            result.exhausted,
            result.forecasts,
            result.left,
            result.resumed,
            finished,
        )

    def after(self, earlier: Run) -> Run:
        """The run with what an earlier one measured of the same tasks into the same log, as if it had never stopped."""
        count, seconds = len(earlier.trials), earlier.times.total_s
        times = {name: value + getattr(earlier.times, name) for name, value in asdict(self.times).items()}
        return replace(
            self,
            started=earlier.started,
            trials=(*earlier.trials, *(replace(t, elapsed_s=t.elapsed_s + seconds) for t in self.trials)),
            times=PhaseTimes(**times),
            forecasts=(*earlier.forecasts, *(replace(f, trials=f.trials + count) for f in self.forecasts)),
            resumed=max(self.resumed - count, 0),
        )

    def task_bests(self) -> list[float | None]:
        """The best latency of each task in seconds; None where nothing has run."""
        best: list[float | None] = [None] * len(self.weights)
        for trial in self.trials:
            known = best[trial.task]
            if trial.latency_s is not None and (known is None or trial.latency_s < known):
                best[trial.task] = trial.latency_s
        return best

    def curve(self) -> list[tuple[int, float, float]]:
        """(trials, seconds, best latency in seconds so far) at each improvement, once every task has a latency."""
        best: list[float | None] = [None] * len(self.weights)
        points: list[tuple[int, float, float]] = []
        for count, trial in enumerate(self.trials, start=1):
            known = best[trial.task]
            if trial.latency_s is None or (known is not None and trial.latency_s >= known):
                continue
            best[trial.task] = trial.latency_s
            total = weighted_latency(best, self.weights)
            if total is not None:
                points.append((count, trial.elapsed_s, total))
        return points

    @property
    def best_latency_s(self) -> float | None:
        """The (weighted) best latency in seconds; None where a task has none."""
        curve = self.curve()
        return curve[-1][2] if curve else None

    @property
    def total_flops(self) -> float:
        return sum(f * w for f, w in zip(self.flops, self.weights, strict=True))

    @property
    def failed(self) -> int:
        return sum(trial.latency_s is None for trial in self.trials)

    def reaches(self, latency_s: float) -> tuple[int, float] | None:
        """(trials, seconds) at which the run is first as fast as `latency_s`; None if it never is."""
        return next(((count, seconds) for count, seconds, latency in self.curve() if latency <= latency_s), None)


@dataclass(frozen=True)
class Summary:
    """One model over its seeds; medians, with the smallest and largest best latency.

    Attributes:
        latency_s: best latency in seconds; None if no run has one.
        latency_range_s: the best and the worst seed.
        gflops: billions of floating-point operations a second at the median latency.
        trials_to_best, seconds_to_best: until the run's own best was measured.
        search_s, measure_s, train_s, total_s: where the time went.
    """

    model: str
    runs: int
    latency_s: float | None
    latency_range_s: tuple[float, float] | None
    gflops: float | None
    trials_to_best: float | None
    seconds_to_best: float | None
    search_s: float
    measure_s: float
    train_s: float
    total_s: float
    failed: int


@dataclass(frozen=True)
class Comparison:
    """Runs of several models on one workload and one machine.

    Attributes:
        workload: a label, such as `conv2d_nhwc 1 56 56 64 64 3 1 1`.
        settings: what must be equal for runs to be compared: target, trials, how to measure, model options.
        machine: CPU, cores, memory and system.
        versions: of the packages that matter.
        runs: in the order in which they ran.
        tasks: what each is called; () in comparisons of earlier releases.
        untuned_s: a network's latency before tuning in seconds, where it is known.
    """

    workload: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    created: str
    runs: tuple[Run, ...] = field(default_factory=tuple)
    tasks: tuple[str, ...] = ()
    untuned_s: float | None = None

    def with_run(self, run: Run) -> Comparison:
        """The comparison with one more run, in place of an earlier one of that model and seed."""
        kept = tuple(r for r in self.runs if (r.model, r.seed) != (run.model, run.seed))
        return replace(self, runs=(*kept, run))

    def has(self, model: str, seed: int) -> bool:
        return any((run.model, run.seed) == (model, seed) for run in self.runs)

    def models(self) -> list[str]:
        """The models' names in order of first appearance."""
        return list(dict.fromkeys(run.model for run in self.runs))

    def of(self, model: str) -> list[Run]:
        return [run for run in self.runs if run.model == model]

    def summaries(self) -> list[Summary]:
        """One summary a model."""
        return [_summarise(model, self.of(model)) for model in self.models()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically. Raises RecordError where that fails; an earlier file then stays as it was."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)
        try:
            write_atomically(Path(path), text.encode() + b"\n")
        except OSError as error:
            raise RecordError(f"the comparison cannot be written to {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Comparison:
        """Read what `save` wrote. Raises RecordError for a file that is missing, damaged or of another schema."""
        data = read_json(path, "comparison", RecordError)
        schema = data.pop("schema", None) if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise RecordError(f"{path} is not a comparison of schema {SCHEMA} (found {schema!r})")
        try:
            runs = tuple(_run_from_json(run) for run in data.pop("runs"))
            return cls(runs=runs, **data | {"tasks": tuple(data.get("tasks", ()))})
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"comparison {path} is damaged: {error}") from error


def speed_up(runs: Sequence[Run], baseline: Sequence[Run]) -> tuple[float, float] | None:
    """How much sooner `runs` reach the final latency that `baseline` reaches with the same seed, in the median.

    Returns (ratio of trials, ratio of seconds), baseline over ours, larger is better; None unless every paired run
    gets there.
    """
    seeds = {run.seed: run for run in baseline}
    ratios = []
    for run in runs:
        other = seeds.get(run.seed)
        goal = other.best_latency_s if other else None
        if other is None or goal is None:
            continue
        ours, theirs = run.reaches(goal), other.reaches(goal)
        if ours is None or theirs is None:
            return None
        ratios.append((theirs[0] / ours[0], theirs[1] / max(ours[1], 1e-9)))
    if not ratios:
        return None
    return statistics.median(r[0] for r in ratios), statistics.median(r[1] for r in ratios)


def _summarise(model: str, runs: Sequence[Run]) -> Summary:
    curves = [curve for curve in (run.curve() for run in runs) if curve]
    latencies = [curve[-1][2] for curve in curves]
    latency = statistics.median(latencies) if latencies else None
    return Summary(
        model=model,
        runs=len(runs),
        latency_s=latency,
        latency_range_s=(min(latencies), max(latencies)) if latencies else None,
        gflops=runs[0].total_flops / latency / 1e9 if latency else None,
        trials_to_best=statistics.median(curve[-1][0] for curve in curves) if curves else None,
        seconds_to_best=statistics.median(curve[-1][1] for curve in curves) if curves else None,
        search_s=statistics.median(run.times.search_s for run in runs),
        measure_s=statistics.median(run.times.measure_s for run in runs),
        train_s=statistics.median(run.times.train_s for run in runs),
        total_s=statistics.median(run.times.total_s for run in runs),
        failed=sum(run.failed for run in runs),
    )


def _run_from_json(data: dict[str, Any]) -> Run:
    return Run(
        **data
        | {
            "model": _FORMER_NAMES.get(data["model"], data["model"]),
            "trials": tuple(Trial(**trial) for trial in data["trials"]),
            "times": PhaseTimes(**data["times"]),
            "weights": tuple(data["weights"]),
            "flops": tuple(data["flops"]),
            "left": tuple(data.get("left", ())),
            "forecasts": tuple(Forecast(**forecast) for forecast in data.get("forecasts", ())),
        }
    )
