"""The one interface of all methods (cost models) that are evaluated.

A `Method` says what a cost model is, can learn the pools of other tasks into a file, and starts a `Learner` from such
files: a copy that works on one problem, learns some of its records and scores others. Methods are passed to other
processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.graphs.stage_graph import IntArray


@dataclass(frozen=True)
class Estimate:
    """What a method says of n records.

    Attributes:
        scores: float64 (n,), predicted throughput relative to the task's best known: higher is better.
        latency: float64 (n,), predicted seconds; nan where the method predicts none.
    """

    scores: NDArray[np.float64]
    latency: NDArray[np.float64]


class Learner(ABC):
    """A method at work on one problem; called by `held_out` and `search_replay`."""

    @property
    @abstractmethod
    def is_warm(self) -> bool:
        """Whether scores come from something learnt; else the search explores at random."""

    @abstractmethod
    def learn(self, problem: Problem, records: IntArray) -> None:
        """Learns from records of the pool, int64 (m,), that it has not learnt before; failed ones are among them."""

    @abstractmethod
    def predict(self, problem: Problem, records: IntArray) -> Estimate:
        """What it says of the records, int64 (m,)."""


class Method(ABC):
    """What a cost model is, and where it starts.

    Attributes:
        name: as on the command line.
        transfers: whether, having learnt other tasks, it ranks a task of which it knows no record.
        pretrained: whether it starts from other tasks also where it learns records of the task itself.
        checkpoint: a trained model that is given; None: it is trained on the training pools.
        suffix: of the files that it is kept in.
    """

    name: str
    transfers: bool
    pretrained: bool
    checkpoint: Path | None = None
    suffix: str = ""

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """What decides how it learns, as JSON values: two methods with the same options are the same."""

    def training_options(self) -> dict[str, Any]:
        """That part of the options that decides what `train` makes."""
        return self.options()

    def training_seeds(self, seed: int) -> list[int]:
        """The seeds of the trained models that it starts from; none for a method that learns nothing beforehand."""
        return [seed]

    def known(self) -> tuple[set[str], set[str]]:
        """The workloads and the operators that `checkpoint` has learnt, as in `Pool`."""
        return set(), set()

    def train(self, problems: Sequence[Problem], seed: int, path: Path) -> None:
        """Learns all records of these problems and writes what it learnt, atomically."""
        raise NotImplementedError(f"{self.name} learns nothing beforehand")

    @abstractmethod
    def start(self, trained: Sequence[Path], seed: int) -> Learner:
        """A copy for one problem, from files that `train` wrote (or `checkpoint`); from none of them it is cold."""


class RandomMethod(Method):
    """Scores at random: what a search without a model reaches."""

    name = "random"
    transfers = True
    pretrained = False

    def options(self) -> dict[str, Any]:
        return {"model": self.name}

    def training_seeds(self, seed: int) -> list[int]:
        return []

    def start(self, trained: Sequence[Path], seed: int) -> Learner:
        return _RandomLearner(seed)


class _RandomLearner(Learner):
    def __init__(self, seed: int) -> None:
        self._seed = seed

    @property
    def is_warm(self) -> bool:
        return False

    def learn(self, problem: Problem, records: IntArray) -> None:
        pass

    def predict(self, problem: Problem, records: IntArray) -> Estimate:
        scores = problem.generator(self._seed, "random").uniform(size=len(problem))[records]
        return Estimate(scores, np.full(len(records), np.nan))
