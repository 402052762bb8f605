"""The package's own networks as evaluated methods: pre-trained on other tasks or cold, alone or averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.evaluation.methods import Estimate, Learner, Method
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.learning import Trainer, TrainerConfig
from tvm_gnn_cost.learning.sampling import task_weights
from tvm_gnn_cost.learning.starting import continue_trainer, load_trainer, new_trainer, save_trainer
from tvm_gnn_cost.records.task import task_workload
from tvm_gnn_cost.training.pretraining import KEPT_RECORDS, PretrainOptions
from tvm_gnn_cost.workloads import PREFIX


class NetworkMethod(Method):
    """A network, trained as `GNNCostModel` trains its own.

    Args:
        name: as on the command line.
        config: of the learner. Updates are bounded by steps alone, so that results do not depend on the clock.
        cold: it knows nothing of other tasks.
        members: so many networks of different seeds, whose scores are averaged.
        checkpoint: start from this one, instead of from networks trained on the training pools.
        device: as for `Trainer`.
        workload_of: what `Pool.workload` is for the workload key of a task that a checkpoint learnt.
    """

    suffix = ".ckpt"

    def __init__(
        self,
        name: str,
        config: TrainerConfig,
        *,
        cold: bool = False,
        members: int = 1,
        checkpoint: Path | None = None,
        device: str = "auto",
        workload_of: Callable[[str], str] = str,
    ) -> None:
        self.name = name
        self.config = replace(config, max_seconds_per_update=math.inf)
        self.members = 1 if checkpoint is not None else members
        self.checkpoint = checkpoint
        self.device = device
        self.workload_of = workload_of
        self.transfers = self.pretrained = not cold

    def options(self) -> dict[str, Any]:
        rest = {"pretrained": self.pretrained, "members": self.members, "own_records": self.config.own_records}
        return self.training_options() | rest

    def training_options(self) -> dict[str, Any]:
        config = asdict(self.config)
        del config["own_records"]  # they speak where something of the task is known
        return {"model": "network", "config": config, "kept": KEPT_RECORDS}

    def training_seeds(self, seed: int) -> list[int]:
        return [seed * self.members + member for member in range(self.members)]

    def known(self) -> tuple[set[str], set[str]]:
        return (set(), set()) if self.checkpoint is None else checkpoint_tasks(self.checkpoint, self.workload_of)

    def train(self, problems: Sequence[Problem], seed: int, path: Path) -> None:
        pools = [problem.pool for problem in problems]
        learning_rate = PretrainOptions().learning_rate
        trainer = self._trainer(replace(self.config, replay_size=KEPT_RECORDS, learning_rate=learning_rate), seed)
        trainer.fit(
            StageGraphBatch.concatenate([pool.graphs for pool in pools]),
            np.concatenate([pool.latency for pool in pools]),
            [pool.task for pool in pools for _ in range(len(pool))],
            np.concatenate([np.full(len(pool), pool.flop) for pool in pools]),
            dict(zip([pool.task for pool in pools], task_weights([pool.operator for pool in pools]), strict=True)),
        )
        trainer.config = self.config  # what it learns from now on is remembered in full
        path.parent.mkdir(parents=True, exist_ok=True)
        save_trainer(path, trainer)

    def start(self, trained: Sequence[Path], seed: int) -> Learner:
        if trained:
            return _NetworkLearner([self._load(path, seed) for path in trained], is_warm=True)
        return _NetworkLearner([self._trainer(self.config, s) for s in self.training_seeds(seed)], is_warm=False)

    def _trainer(self, config: TrainerConfig, seed: int) -> Trainer:
        return new_trainer(config, seed=seed, device=self.device)

    def _load(self, path: Path, seed: int) -> Trainer:
        bounds = ("max_steps_per_update", "max_seconds_per_update", "own_records")
        trainer, _ = continue_trainer(
            path, device=self.device, options={name: getattr(self.config, name) for name in bounds}
        )
        trainer.generator = np.random.default_rng(np.random.SeedSequence([trainer.seed, seed]))
        return trainer


class _NetworkLearner(Learner):
    def __init__(self, trainers: Sequence[Trainer], *, is_warm: bool) -> None:
        self._trainers = trainers
        self._is_warm = is_warm

    @property
    def is_warm(self) -> bool:
        return self._is_warm

    def learn(self, problem: Problem, records: IntArray) -> None:
        pool = problem.pool.select(records)
        for trainer in self._trainers:
            trainer.partial_fit(pool.graphs, pool.latency, pool.task, pool.flop)
        self._is_warm = self._is_warm or len(records) > 0

    def predict(self, problem: Problem, records: IntArray) -> Estimate:
        pool = problem.pool
        graphs = pool.graphs.select(records)
        predictions = [trainer.predict(graphs, pool.task, pool.flop) for trainer in self._trainers]
        # Networks predict octaves, so they are averaged in octaves.
        return Estimate(
            np.exp2(np.mean([np.log2(p.relative_throughput) for p in predictions], axis=0)),
            np.exp2(np.mean([np.log2(p.latency) for p in predictions], axis=0)),
        )


def checkpoint_tasks(path: Path, workload_of: Callable[[str], str] = str) -> tuple[set[str], set[str]]:
    """The workloads and the operators that a checkpoint's network learnt; those of networks' tasks have no operator.

    Args:
        workload_of: what `Pool.workload` is for the workload key of a task.

    Raises CheckpointError for a file that is no checkpoint.
    """
    trainer, _ = load_trainer(path, "cpu")
    workloads = {workload_of(task_workload(task)) for task in trainer.replay.tasks_}
    return workloads, {task_workload(workload).removeprefix(PREFIX) for workload in workloads}
