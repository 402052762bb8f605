"""What a trained network was trained on, how, and how well it ranks workloads that it never saw.

The card is a dictionary of JSON values. It travels in the checkpoint (`GNNCostModel.card`) and lies beside it as text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.learning.checkpoint import finite_config
from tvm_gnn_cost.records.store import GraphStore
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp
from tvm_gnn_cost.system.text_tables import markdown_table
from tvm_gnn_cost.training.held_out import TaskRanking
from tvm_gnn_cost.training.pretraining import Pretraining

CARD_VERSION = 2

NOTHING = "nothing"
"""What a training of a new network started from."""

_FLATTERY = " The weights were chosen by the pairwise accuracy on these very tasks, which flatters them a little."

SCORES = ("pairwise", "top1", "top5")
"""The figures of `TaskRanking`, in the order in which they are shown."""


def make_card(
    store: GraphStore,
    skipped: int,
    held_out: Sequence[bool],
    pretraining: Pretraining,
    rankings: Sequence[TaskRanking],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The card of a finished training.

    Args:
        store: all records, those of the held-out tasks included.
        skipped: records of the logs that could not be used.
        held_out: by task of the store.
        pretraining: the training.
        rankings: of the held-out tasks.
        settings: what was asked for, JSON values.
    """
    trainer, checks = pretraining.trainer, pretraining.checks
    latency = store.latency(np.arange(len(store)))
    return {
        "card_version": CARD_VERSION,
        "kind": "gpu" if store.tasks[0].is_gpu else "cpu",
        "schema_version": SCHEMA_VERSION,
        "network": {
            "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
            **finite_config(trainer.config),
        },
        "data": {
            "logs": [shard.log for shard in store.shards],
            "digest": store.digest,
            "records": len(store),
            "failed": int(np.isinf(latency).sum()),
            "skipped": skipped,
            "tasks": len(store.tasks),
            "workloads": len({task.workload for task in store.tasks}),
            "schedulers": _count(store, [task.scheduler for task in store.tasks]),
            "targets": _count(store, [task.target for task in store.tasks]),
            "operators": _count(store, [task.operator for task in store.tasks]),
        },
        "held_out": sorted({task.workload for task, held in zip(store.tasks, held_out, strict=True) if held}),
        "training": {
            **settings,
            **asdict(pretraining.options),
            "steps": pretraining.steps_,
            "seconds": round(pretraining.seconds_, 1),
            "stopped_by": pretraining.stopped_by,
            "guided": pretraining.is_guided,
            "checks": [asdict(check) for check in checks],
            "records_kept": len(trainer.replay),
        },
        "scores": summarise(rankings),
        "made": {
            "date": timestamp(),
            "machine": describe_machine(),
            "versions": describe_versions(),
        },
    }


def summarise(rankings: Sequence[TaskRanking]) -> dict[str, dict[str, Any]]:
    """Mean scores over tasks: of "all", and of each operator; null where no task has a number.

    Where the tasks are of several schedulers, of each of them too, and the operators of each apart.
    """
    schedulers = sorted({ranking.task.scheduler for ranking in rankings})
    whose: dict[str, list[TaskRanking]] = {}
    by_operator: dict[str, list[TaskRanking]] = {}
    for ranking in rankings:
        suffix = f" ({ranking.task.scheduler})" if len(schedulers) > 1 else ""
        whose.setdefault(f"all{suffix}", []).append(ranking)
        by_operator.setdefault(f"{ranking.task.operator}{suffix}", []).append(ranking)
    groups = {"all": list(rankings), **dict(sorted(whose.items())), **dict(sorted(by_operator.items()))}
    groups = groups if rankings else {}
    return {
        name: {
            "tasks": len(group),
            "records": sum(ranking.records for ranking in group),
            **{score: _mean(getattr(ranking, score) for ranking in group) for score in SCORES},
        }
        for name, group in groups.items()
    }


def card_text(card: Mapping[str, Any], path: Path) -> str:
    """The card as Markdown; `path` is the checkpoint's."""
    data, training, made = card["data"], card["training"], card["made"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    duration = f"{training['epochs']} epochs" if training["minutes"] is None else f"{training['minutes']:g} minutes"
    lines = [
        f"# {path.name}",
        "",
        f"A network for {card['kind'].upper()} targets, to start tuning from:",
        "",
        "```python",
        f'model = GNNCostModel(pretrained="{path.name}")',
        "```",
        "",
        "## Data",
        "",
        f"{data['records']:,} records ({data['failed']:,} of them failed measurements) of {data['tasks']} tasks, "
        f"{data['workloads']} workloads, from {len(data['logs'])} logs; {data['skipped']:,} more could not be used. "
        f"SHA-256 of the logs' digests: `{data['digest']}`.",
        "",
        *_counts("scheduler", data["schedulers"]),
        "",
        *_counts("target", data["targets"]),
        "",
        *_counts("operator", data["operators"]),
        "",
        "## Workloads that it never saw",
        "",
        *_scores(card),
        "",
        "## Training",
        "",
        f"* Started from: {training['started_from']}.",
        f"* Asked for {duration}, seed {training['seed']}, learning rate {training['learning_rate']:g}; "
        f"ended by {training['stopped_by']} after {training['steps']:,} steps in {training['seconds']:.0f} s on "
        f"{training['device']}.",
        f"* Network: {', '.join(f'{name} {value}' for name, value in card['network'].items())}; "
        f"feature schema {card['schema_version']}.",
        *_trial_cost(training.get("trial_cost_octaves"), training.get("failures_told_apart")),
        f"* {training['records_kept']:,} records travel with it, so that tuning does not make it forget them.",
        f"* Made {made['date']} on {made['machine']['cpu']}, {made['machine']['cores']} cores; {versions}.",
        "",
        "## Limits",
        "",
        *_limits(card),
        "",
    ]
    return "\n".join(lines)


def _scores(card: Mapping[str, Any]) -> list[str]:
    if not card["scores"]:
        return ["None were held out: how well it ranks them was not measured."]
    rows = [
        (name, str(row["tasks"]), f"{row['records']:,}", *(show_score(row[score]) for score in SCORES))
        for name, row in card["scores"].items()
    ]
    return [
        f"Means over the tasks of {len(card['held_out'])} workloads that were held out, before any record of theirs is "
        "learnt. Pairwise: share of pairs of schedules in the right order (0.5 is chance). Top-k: latency of the best "
        "schedule over the best among the k that score highest (1 is perfect)."
        + (_FLATTERY if card["training"]["guided"] else ""),
        "",
        *markdown_table(("operator", "tasks", "records", "pairwise", "top-1", "top-5"), rows),
    ]


def _trial_cost(octaves: float | None, told_apart: float | None) -> list[str]:
    lines = []
    if octaves is not None:
        factor = 2.0**octaves
        lines.append(f"* The seconds of a trial on held-out workloads: off by a factor of {factor:.2f} in the median.")
    if told_apart is not None:
        lines.append(
            f"* Of pairs of a held-out schedule that failed and one that ran, in {told_apart:.0%} the first was given "
            "the larger chance to fail."
        )
    return lines


def _limits(card: Mapping[str, Any]) -> list[str]:
    targets = ", ".join(f"`{target}`" for target in card["data"]["targets"])
    limits = [f"* It knows {targets}; on another processor it is a starting point that measurements correct."]
    if card["training"]["started_from"] != NOTHING:
        limits.append("* What the network that it started from had learnt is not part of the data above.")
    if card["training"]["stopped_by"] == "minutes":
        limits.append("* Bounded by minutes: made again, it will differ.")
    return limits


def _counts(heading: str, counts: Mapping[str, Sequence[int]]) -> list[str]:
    """Tasks and records by name."""
    rows = [(name, str(tasks), f"{records:,}") for name, (tasks, records) in counts.items()]
    return markdown_table((heading, "tasks", "records"), rows)


def _count(store: GraphStore, names: Sequence[str]) -> dict[str, list[int]]:
    """[tasks, records] by name, given each task's."""
    records = np.bincount(store.task_index, minlength=len(store.tasks))
    tasks = Counter(names)
    return {
        name: [tasks[name], int(sum(n for n, other in zip(records, names, strict=True) if other == name))]
        for name in sorted(tasks)
    }


def show_score(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def _mean(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else None
