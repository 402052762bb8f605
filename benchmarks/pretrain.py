"""Trains the network that ships for CPU targets, and says how well such a network ranks operators it never saw.

    python benchmarks/pretrain.py --output tvm_gnn_cost/pretrained/cpu.ckpt

1. Cross-validation: the pools are split into folds by operator; for each fold a network learns from the others and
   ranks the held-out pools, before any of their records and after 64 of them. XGBoost on the same node features, summed
   over the graph, trained on the same pools, stands beside it.
2. A network learns from all pools and is written, with a thin sample of their records for replay.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost.cost_model import GNNCostModel
from tvm_gnn_cost.learning import Trainer, TrainerConfig, load_checkpoint, pairwise_accuracy, top_k_score
from tvm_gnn_cost.learning.checkpoint import save_checkpoint
from tvm_gnn_cost.pools import Pool, read_pools
from tvm_gnn_cost.stage_graph.graph import StageGraphBatch
from tvm_gnn_cost.stage_graph.schema import EDGE_DIM, NODE_DIM, SCHEMA_VERSION

CPU_POOLS = Path(__file__).with_name("data") / "emeraldrapids"

KEPT_RECORDS = 2000
"""Records of the pools that the checkpoint carries, so that tuning a new task does not forget them."""

NEW_RECORDS = 64
"""Records of a held-out pool that are learnt before the rest is ranked."""

Scores = tuple[float, float, float]


def train(pools: Sequence[Pool], seed: int, epochs: int) -> Trainer:
    """A network that learnt from the pools."""
    config = TrainerConfig(fit_epochs=epochs, replay_size=KEPT_RECORDS)
    trainer = Trainer(config, node_dim=NODE_DIM, edge_dim=EDGE_DIM, seed=seed, device="auto")
    trainer.fit(
        StageGraphBatch.concatenate([p.graphs for p in pools]),
        np.concatenate([p.latency for p in pools]),
        [p.task for p in pools for _ in p.latency],
        np.concatenate([np.full(len(p.latency), p.flop) for p in pools]),
    )
    return trainer


def ranking(scores: NDArray[np.floating], latency: NDArray[np.float64]) -> Scores:
    """Pairwise accuracy, top-1 and top-5 score."""
    return pairwise_accuracy(scores, latency), top_k_score(scores, latency, 1), top_k_score(scores, latency, 5)


def after_new_records(trainer: Trainer, pool: Pool, seed: int) -> Scores:
    """Ranking of a pool's other records after NEW_RECORDS of them were learnt, by a copy of the network."""
    order = np.random.default_rng(seed).permutation(len(pool.latency))
    new, rest = order[:NEW_RECORDS], order[NEW_RECORDS:]
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "copy", trainer)
        copy, _ = load_checkpoint(Path(folder) / "copy")
    copy.partial_fit(pool.graphs.select(new), pool.latency[new], pool.task, pool.flop)
    return ranking(copy.predict(pool.graphs.select(rest), pool.task).relative_throughput, pool.latency[rest])


def summed_features(pools: Sequence[Pool]) -> NDArray[np.float64]:
    """(records, NODE_DIM): the node features of each graph, summed."""
    rows = []
    for pool in pools:
        sums = np.zeros((len(pool.latency), NODE_DIM))
        np.add.at(sums, pool.graphs.node_graph, pool.graphs.node_features)
        rows.append(sums)
    return np.concatenate(rows)


def xgboost_ranking(training: Sequence[Pool], held_out: Sequence[Pool], seed: int) -> list[Scores]:
    """Ranking of held-out pools by XGBoost trained on normalised throughput."""
    labels = [np.where(np.isfinite(p.latency), p.latency.min() / p.latency, 0.0) for p in training]
    parameters = {"max_depth": 8, "eta": 0.1, "min_child_weight": 0, "verbosity": 0, "seed": seed}
    booster = xgboost.train(
        parameters, xgboost.DMatrix(summed_features(training), np.concatenate(labels)), num_boost_round=300
    )
    return [ranking(booster.predict(xgboost.DMatrix(summed_features([p]))), p.latency) for p in held_out]


def cross_validate(
    pools: Sequence[Pool], folds: int, seed: int, epochs: int, console: Console
) -> dict[str, list[float]]:
    """Means over held-out pools of (pairwise accuracy, top-1, top-5), by method."""
    operators = np.random.default_rng(seed).permutation(sorted({p.operator for p in pools}))
    found: dict[str, list[Scores]] = {"network, no records": [], "network, 64 records": [], "XGBoost, no records": []}
    for fold in range(folds):
        held = set(operators[fold::folds])
        training = [p for p in pools if p.operator not in held]
        held_out = [p for p in pools if p.operator in held and len(p.latency) >= NEW_RECORDS + 32]
        trainer = train(training, seed, epochs)
        for pool in held_out:
            scores = trainer.predict(pool.graphs, pool.task, pool.flop).relative_throughput
            found["network, no records"].append(ranking(scores, pool.latency))
            found["network, 64 records"].append(after_new_records(trainer, pool, seed))
        found["XGBoost, no records"] += xgboost_ranking(training, held_out, seed)
        console.print(f"fold {fold + 1} of {folds}: {len(training)} pools learnt, {len(held_out)} ranked")
    return {name: np.nanmean(np.array(rows), axis=0).tolist() for name, rows in found.items()}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where to write the checkpoint; none: cross-validate only")
    parser.add_argument("--folds", type=int, default=5, help="folds of operators, 0 to skip (default 5)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the records (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="where to write the figures as JSON")
    options = parser.parse_args(argv)
    console = Console()
    pools = list(read_pools([CPU_POOLS]))
    console.print(f"{len(pools)} pools, {sum(len(p.latency) for p in pools)} records")
    if options.folds:
        results = cross_validate(pools, options.folds, options.seed, options.epochs, console)
        table = Table("operators never seen", "pairwise accuracy", "top-1", "top-5")
        for name, values in results.items():
            table.add_row(name, *(f"{v:.3f}" for v in values))
        console.print(table)
        if options.results:
            options.results.write_text(json.dumps(results, indent=1) + "\n")
    if options.output:
        model = GNNCostModel(pretrained=None, seed=options.seed)
        trainer = train(pools, options.seed, options.epochs)
        trainer.config = replace(trainer.config, replay_size=TrainerConfig().replay_size)
        model.adopt(trainer)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        model.save(options.output)
        console.print(f"{options.output}: {options.output.stat().st_size / 2**20:.1f} MiB, schema {SCHEMA_VERSION}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
