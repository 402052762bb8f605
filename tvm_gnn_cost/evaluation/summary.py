"""What an evaluation says: every figure with its spread over seeds, as plain data and JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.ansor.record_log import write_atomically
from tvm_gnn_cost.errors import EvaluationError
from tvm_gnn_cost.evaluation.calibration import Reliability, reliability
from tvm_gnn_cost.evaluation.error import improvement, noise_floors, prediction_error
from tvm_gnn_cost.evaluation.plan import HELD_OUT, REPLAY, UNSEEN, Cell
from tvm_gnn_cost.evaluation.ranking import HeldOut, Ranking
from tvm_gnn_cost.evaluation.replay import CHECKPOINTS, GOALS, best_after, trials_to
from tvm_gnn_cost.evaluation.results import Values, decode
from tvm_gnn_cost.evaluation.runner import Evaluation
from tvm_gnn_cost.evaluation.split import NOVELTIES
from tvm_gnn_cost.evaluation.subjects import Subject

SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """One number of a model.

    It is the mean over pools for each seed, and of these means the median and the range over seeds.

    Attributes:
        experiment: one of `plan.EXPERIMENTS`.
        setting: what it is measured on: "64 records learnt", "unseen operator", "32 trials", ...
        metric: what is measured.
        model: its name.
        median, low, high: over seeds.
        pools: that were averaged, the most of any seed.
        seeds: with a value.
    """

    experiment: str
    setting: str
    metric: str
    model: str
    median: float
    low: float
    high: float
    pools: int
    seeds: int


@dataclass(frozen=True)
class Duel:
    """How a model did in replays against the baseline, pool by pool.

    Attributes:
        model: its name.
        goal: share of the best throughput to be reached.
        wins, ties, losses: pools in which it needed fewer, as many, more trials than the baseline (mean over seeds).
        ratio: its trials over the baseline's, geometric mean over pools, median over seeds: below 1 is better.
        ratio_range: the least and the largest over seeds.
    """

    model: str
    goal: float
    wins: int
    ties: int
    losses: int
    ratio: float
    ratio_range: tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """All that a report shows.

    Attributes:
        figures: see `Figure`.
        duels: see `Duel`; none without a baseline.
        baseline: the model that others are compared with: `xgboost`, or the first one.
        search_curves: of each model, for each seed, the mean over pools of the best relative throughput after 1, 2, ...
            trials, as long as any replay lasted.
        learning_curves: of each model, for each number of training workloads, pairwise accuracy on unseen tasks for
            each seed.
        reliability: of each model, for each seed, on the schedules after the fewest learnt records.
        skipped: what could not be done, in words.
    """

    figures: tuple[Figure, ...]
    duels: tuple[Duel, ...]
    baseline: str
    search_curves: Mapping[str, Sequence[Sequence[float]]]
    learning_curves: Mapping[str, Mapping[int, Sequence[float]]]
    reliability: Mapping[str, Sequence[Reliability]]
    skipped: tuple[str, ...]

    def of(self, experiment: str) -> list[Figure]:
        return [figure for figure in self.figures if figure.experiment == experiment]

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Writes everything as JSON, with `about` (machine, options ...) before it. Raises EvaluationError."""
        data = {"schema": SCHEMA, **about, **asdict(self)}
        try:
            write_atomically(path, json.dumps(_finite(data), indent=1, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise EvaluationError(f"the summary cannot be written to {path}: {error.strerror or error}") from error


Samples = dict[tuple[str, str, str], list[tuple[str, int, float]]]
"""(experiment, setting, metric) -> (model, seed, value of one pool)."""


def summarise(
    evaluation: Evaluation, subjects: Sequence[Subject], models: Sequence[str], experiments: Sequence[str]
) -> Summary:
    """The figures of an evaluation, of these models (in their order) and experiments."""
    baseline = "xgboost" if "xgboost" in models else models[0]
    cells = [(cell, evaluation.values[cell.key]) for cell in evaluation.plan.cells]
    held_out = [(cell, [decode(v) for v in values["held_out"]]) for cell, values in cells if cell.kind == HELD_OUT]
    unseen = [(cell, decode(values["held_out"][0])) for cell, values in cells if cell.kind == UNSEEN]
    replays = [(cell, values) for cell, values in cells if cell.kind == REPLAY]
    samples: Samples = {}
    if "ranking" in experiments:
        _rank(samples, held_out)
    if "unseen" in experiments:
        _rank_unseen(samples, unseen)
    if "replay" in experiments:
        _replay(samples, replays)
    if "error" in experiments:
        _errors(samples, held_out, baseline)
    if "curve" in experiments:
        _curve(samples, unseen)
    figures = [figure for key, values in samples.items() for model in models for figure in _figures(key, model, values)]
    reliabilities: dict[str, list[Reliability]] = {}
    if "error" in experiments:
        figures += _noise(held_out, subjects)
    if "calibration" in experiments:
        reliabilities = _reliabilities(held_out, models)
        figures += _calibration_errors(reliabilities, held_out)
    return Summary(
        tuple(figures),
        tuple(_duels(replays, models, baseline)),
        baseline,
        _search_curves(replays, models),
        _learning_curves(unseen, models) if "curve" in experiments else {},
        reliabilities,
        evaluation.plan.skipped,
    )


def spread(by_seed: Mapping[int, Sequence[float]]) -> tuple[float, float, float, int, int] | None:
    """(median, low, high) over seeds of the means of each, the most values of a seed, and the seeds; nan is left out.

    None where no seed has a value.
    """
    known = {seed: [v for v in values if math.isfinite(v)] for seed, values in by_seed.items()}
    means = [statistics.fmean(values) for values in known.values() if values]
    if not means:
        return None
    return statistics.median(means), min(means), max(means), max(map(len, known.values())), len(means)


def _figures(key: tuple[str, str, str], model: str, values: Iterable[tuple[str, int, float]]) -> list[Figure]:
    by_seed: dict[int, list[float]] = {}
    for name, seed, value in values:
        if name == model:
            by_seed.setdefault(seed, []).append(value)
    found = spread(by_seed)
    return [] if found is None else [_figure(key, model, found)]


def _figure(key: tuple[str, str, str], model: str, found: tuple[float, float, float, int, int]) -> Figure:
    experiment, setting, metric = key
    median, low, high, pools, seeds = found
    return Figure(experiment, setting, metric, model, median, low, high, pools, seeds)


def _add(samples: Samples, key: tuple[str, str, str], cell: Cell, value: float) -> None:
    samples.setdefault(key, []).append((cell.model, cell.seed, value))


def _add_ranking(samples: Samples, experiment: str, setting: str, cell: Cell, held_out: HeldOut) -> None:
    ranking = Ranking.of(held_out.scores, held_out.latency)
    if ranking is not None:
        for field, value in zip(fields(ranking), astuple(ranking), strict=True):
            _add(samples, (experiment, setting, field.name), cell, value)


def _rank(samples: Samples, held_out: Sequence[tuple[Cell, list[HeldOut]]]) -> None:
    for cell, parts in sorted(held_out, key=lambda item: item[0].sizes):
        for part in parts:
            _add_ranking(samples, "ranking", f"{part.learnt} records learnt", cell, part)


def _rank_unseen(samples: Samples, unseen: Sequence[tuple[Cell, HeldOut]]) -> None:
    whole = [(cell, part) for cell, part in unseen if cell.whole]
    if len({cell.novelty for cell, _ in whole}) > 1:
        for cell, part in whole:
            _add_ranking(samples, "unseen", "all", cell, part)
    for cell, part in sorted(whole, key=lambda item: NOVELTIES.index(item[0].novelty)):
        _add_ranking(samples, "unseen", cell.novelty, cell, part)


def _curve(samples: Samples, unseen: Sequence[tuple[Cell, HeldOut]]) -> None:
    for workloads, cell, part in _by_training_size(unseen):
        _add_ranking(samples, "curve", f"{workloads} workloads", cell, part)


def _replay(samples: Samples, replays: Sequence[tuple[Cell, Values]]) -> None:
    for cell, values in replays:
        relative = values["relative"]
        for trials in CHECKPOINTS:
            _add(samples, ("replay", f"{trials} trials", "best"), cell, best_after(relative, trials, values["records"]))
        for goal in GOALS:
            _add(samples, ("replay", f"to {goal:.0%}", "trials"), cell, _trials(values, goal))


def _trials(values: Values, goal: float) -> float:
    """Trials to the goal; where a replay ended before, all of its trials: a lower bound."""
    return float(trials_to(values["relative"], goal) or len(values["relative"]))


def _errors(samples: Samples, held_out: Sequence[tuple[Cell, list[HeldOut]]], baseline: str) -> None:
    errors: dict[tuple[str, int, int], dict[int, float]] = {}
    for cell, parts in sorted(held_out, key=lambda item: item[0].sizes):
        for part in parts:
            error = prediction_error(part)
            _add(samples, ("error", f"{part.learnt} records learnt", "error"), cell, error)
            errors.setdefault((cell.model, cell.seed, part.learnt), {})[cell.subject] = error
    for (model, seed, learnt), of_pool in errors.items():
        base = errors.get((baseline, seed, learnt), {})
        both = [i for i in of_pool if i in base and math.isfinite(of_pool[i]) and math.isfinite(base[i])]
        if both and model != baseline:
            ours, theirs = (statistics.fmean(of[i] for i in both) for of in (of_pool, base))
            key = ("error", f"{learnt} records learnt", "improvement")
            samples.setdefault(key, []).append((model, seed, improvement(theirs, ours)))


def _noise(held_out: Sequence[tuple[Cell, list[HeldOut]]], subjects: Sequence[Subject]) -> list[Figure]:
    """The noise floor of the pools whose errors are reported, from each source, as figures of a model "noise"."""
    figures = []
    floors = [floor for i in sorted({cell.subject for cell, _ in held_out}) for floor in noise_floors(subjects[i])]
    for source in dict.fromkeys(floor.source for floor in floors):
        chosen = [floor for floor in floors if floor.source == source]
        for metric in ("error", "ceiling"):
            found = spread({0: [getattr(floor, metric) for floor in chosen]})
            if found is not None:
                figures.append(_figure(("error", source, metric), "noise", found))
    return figures


def _reliabilities(
    held_out: Sequence[tuple[Cell, list[HeldOut]]], models: Sequence[str]
) -> dict[str, list[Reliability]]:
    found: dict[str, list[Reliability]] = {}
    for model in models:
        by_seed: dict[int, list[HeldOut]] = {}
        for cell, parts in held_out:
            if cell.model == model:
                by_seed.setdefault(cell.seed, []).append(parts[0])
        known = [r for r in map(reliability, by_seed.values()) if r is not None]
        if known:
            found[model] = known
    return found


def _calibration_errors(
    reliabilities: Mapping[str, Sequence[Reliability]], held_out: Sequence[tuple[Cell, list[HeldOut]]]
) -> list[Figure]:
    pools = len({cell.subject for cell, _ in held_out})
    figures = []
    for model, of_seed in reliabilities.items():
        errors = [r.expected_error for r in of_seed]
        median, low, high = statistics.median(errors), min(errors), max(errors)
        figures.append(
            Figure("calibration", "relative throughput", "expected error", model, median, low, high, pools, len(errors))
        )
    return figures


def _duels(replays: Sequence[tuple[Cell, Values]], models: Sequence[str], baseline: str) -> list[Duel]:
    duels = []
    for goal in GOALS:
        trials: dict[str, dict[tuple[int, int], float]] = {}
        for cell, values in replays:
            trials.setdefault(cell.model, {})[cell.subject, cell.seed] = _trials(values, goal)
        base = trials.get(baseline, {})
        for model in models:
            both = sorted(trials.get(model, {}).keys() & base.keys())
            if both and model != baseline:
                duels.append(_duel(model, goal, {k: trials[model][k] for k in both}, {k: base[k] for k in both}))
    return duels


def _duel(
    model: str, goal: float, ours: Mapping[tuple[int, int], float], theirs: Mapping[tuple[int, int], float]
) -> Duel:
    """Both: (pool, seed) -> trials."""
    by_pool: dict[int, list[float]] = {}
    by_seed: dict[int, list[float]] = {}
    for (pool, seed), trials in ours.items():
        by_pool.setdefault(pool, []).append(trials - theirs[pool, seed])
        by_seed.setdefault(seed, []).append(math.log(trials / theirs[pool, seed]))
    differences = [sum(values) for values in by_pool.values()]
    ratios = [math.exp(statistics.fmean(values)) for values in by_seed.values()]
    return Duel(
        model,
        goal,
        sum(d < 0 for d in differences),
        sum(d == 0 for d in differences),
        sum(d > 0 for d in differences),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
    )


def _search_curves(replays: Sequence[tuple[Cell, Values]], models: Sequence[str]) -> dict[str, list[list[float]]]:
    longest = max((len(values["relative"]) for _, values in replays), default=0)
    found: dict[str, list[list[float]]] = {}
    for model in models:
        by_seed: dict[int, list[np.ndarray[Any, Any]]] = {}
        for cell, values in replays:
            if cell.model == model:
                best = np.maximum.accumulate(values["relative"])
                best = np.concatenate([best, np.full(longest - len(best), best[-1])])
                by_seed.setdefault(cell.seed, []).append(best)
        if by_seed:
            found[model] = [np.mean(curves, axis=0).tolist() for curves in by_seed.values()]
    return found


def _learning_curves(
    unseen: Sequence[tuple[Cell, HeldOut]], models: Sequence[str]
) -> dict[str, dict[int, list[float]]]:
    values: dict[tuple[str, int, int], list[float]] = {}
    for workloads, cell, part in _by_training_size(unseen):
        ranking = Ranking.of(part.scores, part.latency)
        if ranking is not None:
            values.setdefault((cell.model, workloads, cell.seed), []).append(ranking.pairwise)
    found: dict[str, dict[int, list[float]]] = {}
    for (name, workloads, _), accuracies in values.items():
        found.setdefault(name, {}).setdefault(workloads, []).append(statistics.fmean(accuracies))
    return {model: found[model] for model in models if model in found}


def _by_training_size(unseen: Sequence[tuple[Cell, HeldOut]]) -> list[tuple[int, Cell, HeldOut]]:
    """With the number of workloads learnt, ascending; whole training sets, of one fold a little larger than of another,
    count as the largest of them. Models that learnt none, and checkpoints, are left out; without smaller training sets
    there is nothing to compare, and nothing is returned.
    """
    if all(cell.whole for cell, _ in unseen):
        return []
    largest = max((cell.workloads for cell, _ in unseen if cell.whole), default=0)
    sized = [(largest if cell.whole else cell.workloads, cell, part) for cell, part in unseen if cell.workloads]
    return sorted(sized, key=lambda item: item[0])


def _finite(value: Any) -> Any:
    """JSON values, with null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
