"""What an evaluation consists of: preparations (what methods learn beforehand) and runs (one method, seed and problem).

A run's key is a digest of all that decides its result: the method's options, the records, what was learnt beforehand,
the features' schema. Two experiments that need the same run share it, and a rerun finds what is already known.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.system.files import file_digest

RESULTS_VERSION = 1
"""Changes with the meaning of results, so that those of another one are not taken for these."""

HELD_OUT, UNSEEN, REPLAY = "held-out", "unseen", "replay"
"""Kinds of runs: records of a known task, of an unseen task, and a search."""


@dataclass(frozen=True)
class Preparation:
    """What a method learns beforehand: the pools of these problems, into this file."""

    method: str
    seed: int
    problems: tuple[int, ...]
    path: Path


@dataclass(frozen=True)
class Run:
    """One method, one seed, one problem.

    Attributes:
        key: tells it from every other, see the module.
        kind: HELD_OUT, UNSEEN or REPLAY.
        method, seed, fold: names.
        problem: the index of the one that is tested.
        trained: files of what was learnt beforehand.
        sizes: of HELD_OUT: numbers of learnt records.
        novelty: of UNSEEN: what the pool is to what was learnt, see `split.novelty`; else "".
        workloads: learnt beforehand; 0: none, or those of a checkpoint.
        whole: whether all training pools of the fold were learnt, not a part of them (a learning curve).
    """

    key: str
    kind: str
    method: str
    seed: int
    fold: str
    problem: int
    trained: tuple[Path, ...] = ()
    sizes: tuple[int, ...] = ()
    novelty: str = ""
    workloads: int = 0
    whole: bool = True


@dataclass(frozen=True)
class Plan:
    """Preparations and runs, and in words what was asked for and cannot be done."""

    preparations: tuple[Preparation, ...]
    runs: tuple[Run, ...]
    skipped: tuple[str, ...]


def digest(*parts: Any) -> str:
    """Of JSON values; it changes with the meaning of results and of features."""
    text = json.dumps([RESULTS_VERSION, SCHEMA_VERSION, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def checkpoint_digest(path: Path) -> str:
    """Of a checkpoint's content. Raises InvalidArgumentError where it cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise InvalidArgumentError(f"checkpoint {path} cannot be read: {error.strerror or error}") from error
