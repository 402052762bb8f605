"""Carries out a plan: preparations first, then runs; what is known is not done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_gnn_cost.evaluation.held_out import rank_held_out, rank_unseen
from tvm_gnn_cost.evaluation.jobs import run_jobs
from tvm_gnn_cost.evaluation.methods import Method
from tvm_gnn_cost.evaluation.options import EvaluationOptions
from tvm_gnn_cost.evaluation.plan import make_plan
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.results import ResultsFile, Values, encode
from tvm_gnn_cost.evaluation.runs import HELD_OUT, REPLAY, Plan, Preparation, Run
from tvm_gnn_cost.evaluation.search_replay import ReplayOptions, relative_throughput, replay, thin
from tvm_gnn_cost.evaluation.split import Fold
from tvm_gnn_cost.system.locks import only_writer
from tvm_gnn_cost.system.progress import Observer, Progress, unobserved

RESULTS_FILE = "results.jsonl"
MODELS_FOLDER = "models"


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that was carried out.

    Attributes:
        plan: what it consisted of.
        values: what each run found, by its key.
    """

    plan: Plan
    values: Mapping[str, Values]


def evaluate(
    problems: Sequence[Problem],
    folds: Sequence[Fold],
    methods: Mapping[str, Method],
    options: EvaluationOptions,
    folder: Path,
    observer: Observer[Progress] = unobserved,
) -> Evaluation:
    """Trains what has to be trained and computes all runs.

    Each result is in `folder`/results.jsonl, each trained method in `folder`/models as soon as it is known; the same
    call, after an interruption or with further methods or seeds, does what is missing. Results do not depend on the
    number of jobs.

    The observer is told, in the phases "learn" and "test", how many are done and which was done last; it may raise
    KeyboardInterrupt, nothing else. Raises InvalidArgumentError where nothing can be done, EvaluationError where the
    folder cannot be used, BusyError where another process evaluates into it.
    """

    def tell(phase: str, done: int, total: int, note: str) -> None:
        observer(Progress(phase=phase, done=done, total=total, note=note))

    with suppress(OSError):  # the results say what is wrong with it
        folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder / RESULTS_FILE):
        plan = make_plan(problems, folds, methods, options, folder / MODELS_FOLDER)
        results = ResultsFile(folder / RESULTS_FILE)
        executor = Executor(problems, methods, options.replay)
        todo = [run for run in plan.runs if run.key not in results.values]
        needed = {path for run in todo for path in run.trained}
        lacking = [one for one in plan.preparations if one.path in needed and not one.path.exists()]
        tell("learn", 0, len(lacking), "")
        with closing(run_jobs(executor.prepare, lacking, options.jobs)) as trained:
            for done, (one, _) in enumerate(trained, start=1):
                tell("learn", done, len(lacking), f"{one.method}, {len(one.problems)} pools, seed {one.seed}")
        tell("test", len(plan.runs) - len(todo), len(plan.runs), "")
        with closing(run_jobs(executor.run, todo, options.jobs)) as tested:
            for done, (run, values) in enumerate(tested, start=len(plan.runs) - len(todo) + 1):
                results.add(run.key, _about(run, problems[run.problem]), values)
                tell("test", done, len(plan.runs), f"{run.method}, {problems[run.problem].pool.name}, seed {run.seed}")
        return Evaluation(plan, {run.key: results.values[run.key] for run in plan.runs})


class Executor:
    """The problems and the methods: what preparations and runs are computed from, here or in another process."""

    def __init__(
        self, problems: Sequence[Problem], methods: Mapping[str, Method], replay_options: ReplayOptions
    ) -> None:
        self.problems, self.methods, self.replay_options = problems, methods, replay_options

    def prepare(self, preparation: Preparation) -> None:
        """Writes the preparation's file."""
        learnt = [self.problems[i] for i in preparation.problems]
        self.methods[preparation.method].train(learnt, preparation.seed, preparation.path)

    def run(self, run: Run) -> dict[str, Any]:
        """What a run finds, as JSON values.

        Of REPLAY: "relative", the throughput of each trial relative to the best of the pool, and "records", how many
        the thinned pool holds. Of the other kinds: "held_out", a list of `results.encode`.
        """
        problem = self.problems[run.problem]
        learner = self.methods[run.method].start(run.trained, run.seed)
        if run.kind == REPLAY:
            records = thin(problem.pool.latency, problem.generator(run.seed, "thin"))
            order = problem.generator(run.seed, "order").permutation(records)
            picked = replay(learner, problem, records, order, self.replay_options)
            relative = relative_throughput(problem.pool.latency[picked], problem.best)
            return {"records": len(records), "relative": [float(f"{value:.9g}") for value in relative]}
        order = problem.generator(run.seed, "order").permutation(len(problem))
        if run.kind == HELD_OUT:
            return {"held_out": [encode(h) for h in rank_held_out(learner, problem, run.sizes, order)]}
        return {"held_out": [encode(rank_unseen(learner, problem, order))]}


def _about(run: Run, problem: Problem) -> dict[str, Any]:
    """For a reader of the file; "model" is its word for a method."""
    return {
        "kind": run.kind,
        "model": run.method,
        "seed": run.seed,
        "fold": run.fold,
        "pool": problem.pool.name,
        "scheduler": problem.pool.scheduler,
        "target": problem.pool.target,
        "workloads": run.workloads,
    }
