"""Do stage graphs carry the information? XGBoost on their features against XGBoost on stock's, on the same records.

    python benchmarks/ablation.py --results cpu.json
    python benchmarks/ablation.py --gpu-records FOLDER --results gpu.json

Methods: stock's features learnt in stock's own way ("stock, pack-sum"), and features that are pooled over the
statements, nodes or edges of a schedule (summed, or their maxima) and learnt by one plain XGBoost, whatever they come
from. Sums mix the stages of long chains; maxima hold for operators that were never seen, too.

1. Schedules held out: of each task 64 records are learnt and the others ranked.
2. Workloads held out, operators held out: folds of tasks are ranked by what was learnt from the other folds.
3. Devices held out (GPU): all tasks of a device are ranked by what was learnt on another.

Labels are throughputs normalised within a task, 0 for a failed record; failed records are learnt and not ranked.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost
from gpu_records import gpu_logs, read_gpu_states
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from tvm_gnn_cost.ansor.pools import MeasuredStates, read_states
from tvm_gnn_cost.ansor.stock import stock_rows, train_pack_sum
from tvm_gnn_cost.evaluation.boosting import NodeMethod, pack_sum_scores
from tvm_gnn_cost.evaluation.held_out import Ranking
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.learning.metrics import MIN_RANKED
from tvm_gnn_cost.records.logs import find_logs
from tvm_gnn_cost.records.rows import Rows

CPU_POOLS = Path(__file__).with_name("data") / "emeraldrapids"
CACHE = Path(__file__).parent.parent / "runs" / "stock_features"

LEARNT_RECORDS = 64
"""Records of a task that are learnt before its others are ranked."""

PLAIN, ROUNDS = NodeMethod.parameters, NodeMethod.rounds
"""As the evaluation's `xgboost-ours` learns."""

Scores = NDArray[np.floating]
Figures = tuple[float, float, float]
"""Pairwise accuracy, top-1 score, top-5 score."""


@dataclass(frozen=True)
class Task:
    """The records of one task: features by source ("stock", "nodes", "edges"), latency (n,) in seconds, inf: failed."""

    name: str
    operator: str
    device: str
    rows: dict[str, Rows]
    latency: NDArray[np.float64]

    def select(self, records: NDArray[np.integer] | NDArray[np.bool_]) -> Task:
        """The task with some of its records."""
        rows = {source: r.select(records) for source, r in self.rows.items()}
        return Task(self.name, self.operator, self.device, rows, self.latency[records])

    def labels(self) -> NDArray[np.float64]:
        """(n,): throughput over the best among these records."""
        return np.where(np.isfinite(self.latency), self.latency.min() / self.latency, 0.0)


@dataclass(frozen=True)
class Method:
    """Learns tasks and scores others. `sources` are pairs (features, pooling); "pack-sum" stands alone."""

    sources: tuple[tuple[str, str], ...]

    def scores(self, training: Sequence[Task], ranked: Sequence[Task], seed: int, threads: int) -> list[Scores]:
        """Scores (n,) of each ranked task, higher is better."""
        training = [t for t in training if np.isfinite(t.latency).any()]
        labels = [t.labels() for t in training]
        source, pooling = self.sources[0]
        if pooling == "pack-sum":
            learner = train_pack_sum([t.rows[source] for t in training], labels, seed, threads)
            return [pack_sum_scores(learner, t.rows[source]) for t in ranked]
        data = xgboost.DMatrix(np.concatenate([self._matrix(t) for t in training]), np.concatenate(labels))
        booster = xgboost.train(PLAIN | {"seed": seed, "nthread": threads}, data, num_boost_round=ROUNDS)
        return [booster.predict(xgboost.DMatrix(self._matrix(t))) for t in ranked]

    def _matrix(self, task: Task) -> NDArray[np.float32]:
        return np.concatenate([task.rows[source].pooled(how) for source, how in self.sources], axis=1)


METHODS = {
    "stock, pack-sum": Method((("stock", "pack-sum"),)),
    "stock, summed": Method((("stock", "sum"),)),
    "stock, max": Method((("stock", "max"),)),
    "nodes": Method((("nodes", "sum"),)),
    "nodes + edges": Method((("nodes", "sum"), ("edges", "sum"))),
    "nodes, max": Method((("nodes", "max"),)),
    "nodes, pack-sum": Method((("nodes", "pack-sum"),)),
    "nodes, mean": Method((("nodes", "mean"),)),
    "nodes, sum + max": Method((("nodes", "sum"), ("nodes", "max"))),
    "stock, sum + max": Method((("stock", "sum"), ("stock", "max"))),
    "stock + nodes": Method((("stock", "sum"), ("nodes", "sum"))),
}
DEFAULT_METHODS = tuple(METHODS)[:6]


def make_task(measured: MeasuredStates, cache: Path) -> Task:
    """Both kinds of features of the states that both can read: no record counts for one side only."""
    pool, readable = measured.pool()
    graphs = pool.graphs
    rows = {
        "stock": stock_rows(measured, cache).select(readable),
        "nodes": Rows(graphs.node_features, graphs.node_ptr),
        "edges": Rows(graphs.edge_features, graphs.edge_ptr),
    }
    task = Task(pool.name, pool.operator, device_of(pool.target), rows, pool.latency)
    return task.select(np.diff(rows["stock"].ptr) > 0)


def device_of(target: str) -> str:
    """The processor that a target names, "znver4" or "sm_70"; else its kind, "llvm"."""
    named = re.search(r" -(?:mcpu|arch)=(\S+)", target)
    return named[1] if named else target.split()[0]


def figures(task: Task, scores: Scores) -> Figures:
    """How well the measured records are ranked; NaN where they are too few."""
    ranking = Ranking.of(scores, task.latency)
    return (float("nan"),) * 3 if ranking is None else (ranking.pairwise, ranking.top1, ranking.top5)


def rank_held_out_schedules(method: Method, tasks: Sequence[Task], seed: int, threads: int) -> list[Figures]:
    """By task: its records after LEARNT_RECORDS of them, chosen by the seed, were learnt."""
    found = []
    for task in tasks:
        order = np.random.default_rng(seed).permutation(len(task.latency))
        learnt, rest = task.select(order[:LEARNT_RECORDS]), task.select(order[LEARNT_RECORDS:])
        if np.isfinite(rest.latency).sum() < MIN_RANKED or not np.isfinite(learnt.latency).any():
            found.append((float("nan"),) * 3)
        else:
            found.append(figures(rest, method.scores([learnt], [rest], seed, threads)[0]))
    return found


def score_held_out_tasks(
    method: Method, tasks: Sequence[Task], group: Callable[[Task], str], folds: int, seed: int, threads: int
) -> list[Scores]:
    """By task, (n,): scores learnt from the tasks of other folds; tasks of one group are in the same fold."""
    groups = np.random.default_rng(seed).permutation(sorted({group(t) for t in tasks}))
    scores: dict[int, Scores] = {}
    for fold in range(min(folds, len(groups))):
        held = set(groups[fold::folds])
        ranked = [i for i, t in enumerate(tasks) if group(t) in held]
        training = [t for t in tasks if group(t) not in held]
        found = method.scores(training, [tasks[i] for i in ranked], seed, threads)
        scores.update(zip(ranked, found, strict=True))
    return [scores[i] for i in range(len(tasks))]


Ranker = Callable[[Method, Sequence[Task], int, int], list[Figures]]


def held_out_ranker(group: Callable[[Task], str], folds: int) -> Ranker:
    """Ranks the tasks of each fold by what was learnt from the others."""

    def rank(method: Method, tasks: Sequence[Task], seed: int, threads: int) -> list[Figures]:
        scores = score_held_out_tasks(method, tasks, group, folds, seed, threads)
        return [figures(t, s) for t, s in zip(tasks, scores, strict=True)]

    return rank


def device_ranker(learnt: str) -> Ranker:
    """Ranks the tasks of other devices; NaN for those of the learnt one."""

    def rank(method: Method, tasks: Sequence[Task], seed: int, threads: int) -> list[Figures]:
        ranked = [i for i, t in enumerate(tasks) if t.device != learnt]
        scores = method.scores([t for t in tasks if t.device == learnt], [tasks[i] for i in ranked], seed, threads)
        found: list[Figures] = [(float("nan"),) * 3] * len(tasks)
        for i, s in zip(ranked, scores, strict=True):
            found[i] = figures(tasks[i], s)
        return found

    return rank


@dataclass(frozen=True)
class Outcome:
    """What the methods reached in one experiment: by method, float64 (seeds, tasks, 3) of `Figures`."""

    title: str
    tasks: Sequence[Task]
    values: dict[str, NDArray[np.float64]]

    def table(self) -> Table:
        """Means over seeds and tasks, their spreads, and the difference to the first method, paired by task."""
        ranked = int(np.isfinite(next(iter(self.values.values()))[0, :, 0]).sum())
        first = next(iter(self.values))
        table = Table(title=f"{self.title} ({ranked} tasks)", title_justify="left")
        columns = (
            "pairwise",
            "sd over tasks",
            "sd over seeds",
            "top-1",
            "top-5",
            f"pairwise over {first}",
            "tasks won",
        )
        for column in ("method", *columns):
            table.add_column(column, justify="left" if column == "method" else "right")
        base = self.by_task(first)
        for name, values in self.values.items():
            accuracy = self.by_task(name)
            gain = (accuracy - base)[np.isfinite(accuracy)]
            seeds = np.nanmean(values[:, :, 0], axis=1)
            over = f"{gain.mean():+.3f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.3f}" if len(gain) > 1 else ""
            table.add_row(
                name,
                f"{np.nanmean(accuracy):.3f}",
                f"{np.nanstd(accuracy):.3f}",
                f"{seeds.std(ddof=1):.3f}" if len(seeds) > 1 else "",
                *(f"{np.nanmean(values[:, :, k]):.3f}" for k in (1, 2)),
                "" if name == first else over,
                "" if name == first else f"{(gain > 0).sum()} of {len(gain)}",
            )
        return table

    def operator_table(self) -> Table:
        """Pairwise accuracy by operator."""
        table = Table("operator", *self.values, title=f"{self.title}: pairwise by operator", title_justify="left")
        keys = [f"{t.device} {t.operator}" for t in self.tasks]
        by_method = {name: self.by_task(name) for name in self.values}
        for key in sorted(set(keys)):
            chosen = np.array([k == key for k in keys])
            rows = [values[chosen] for values in by_method.values()]
            if np.isfinite(rows[0]).any():
                table.add_row(key, *(f"{np.nanmean(row):.3f}" for row in rows))
        return table

    def by_task(self, method: str) -> NDArray[np.float64]:
        """(tasks,): pairwise accuracy, the mean over seeds; NaN where the task was not ranked."""
        return self.values[method][:, :, 0].mean(axis=0)

    def as_json(self) -> dict[str, object]:
        """Everything, by task; null for what was not ranked."""
        figures = {
            name: [[[round(x, 5) if np.isfinite(x) else None for x in f] for f in seed] for seed in values.tolist()]
            for name, values in self.values.items()
        }
        return {"title": self.title, "tasks": [f"{t.device} {t.name}" for t in self.tasks], "figures": figures}


def run_experiment(
    title: str, rank: Ranker, methods: Sequence[str], tasks: Sequence[Task], seeds: int, threads: int, console: Console
) -> Outcome:
    """Every method under every seed."""
    values: dict[str, list[list[Figures]]] = {name: [] for name in methods}
    with Progress(console=console) as progress:
        bar = progress.add_task(title, total=seeds * len(methods))
        for name in methods:
            for seed in range(seeds):
                values[name].append(rank(METHODS[name], tasks, seed, threads))
                progress.advance(bar)
    outcome = Outcome(title, tasks, {name: np.array(found, np.float64) for name, found in values.items()})
    console.print(outcome.table(), outcome.operator_table())
    return outcome


def experiments(tasks: Sequence[Task], folds: int) -> Iterable[tuple[str, Ranker, Sequence[Task]]]:
    """(title, ranker, tasks) of each."""
    devices = sorted({t.device for t in tasks})
    for device in devices:
        chosen = [t for t in tasks if t.device == device]
        yield f"{device}: schedules held out", rank_held_out_schedules, chosen
        yield f"{device}: workloads held out", held_out_ranker(lambda t: t.name, folds), chosen
        yield f"{device}: operators held out", held_out_ranker(lambda t: t.operator, folds), chosen
    if len(devices) > 1:
        for device in devices:
            yield f"learnt on {device}, other devices ranked", device_ranker(device), tasks


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=Path, default=CPU_POOLS, help="folder of CPU pools (default: those in data/)")
    parser.add_argument("--gpu-records", type=Path, help="folder of GPU records, instead of the CPU pools")
    parser.add_argument("--tasks", type=int, default=40, help="GPU tasks, evenly taken (default 40)")
    parser.add_argument("--records", type=int, default=150, help="records of a GPU task, evenly taken (default 150)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=DEFAULT_METHODS, metavar="METHOD")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3, help="splits of a task's schedules (default 3)")
    parser.add_argument("--fold-seeds", type=int, default=1, help="splits of the tasks into folds (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="of XGBoost (default 1); they do not change the figures")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where stock's features are kept")
    parser.add_argument("--results", type=Path, help="where to write the figures as JSON")
    options = parser.parse_args(argv)
    if options.folds < 2 or options.seeds < 1 or options.fold_seeds < 1:
        parser.error("at least two folds and one seed are needed")
    console = Console(width=140)
    if options.gpu_records:
        total = len(gpu_logs(options.gpu_records, options.tasks))
        source = read_gpu_states(options.gpu_records, options.tasks, options.records)
    else:
        total, source = len(find_logs([options.pools])), read_states([options.pools])
    tasks = [make_task(m, options.cache) for m in track(source, "records", total, console=console)]
    tasks = [t for t in tasks if len(t.latency)]
    console.print(f"{len(tasks)} tasks, {sum(len(t.latency) for t in tasks)} records, schema {SCHEMA_VERSION}")
    outcomes = []
    for title, rank, chosen in experiments(tasks, options.folds):
        seeds = options.seeds if rank is rank_held_out_schedules else options.fold_seeds
        outcomes.append(run_experiment(title, rank, options.methods, chosen, seeds, options.threads, console))
        if options.results:
            found = {"schema": SCHEMA_VERSION, "experiments": [o.as_json() for o in outcomes]}
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
