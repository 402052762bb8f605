"""What MetaSchedule's own tuning leaves in a database, and what its cost model saw meanwhile. Builds and runs are stood
in for: every third candidate does not build, every fourth of the others fails to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import TARGET, matmul
from numpy.typing import NDArray
from tvm.target import Target

from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.meta_schedule.api import derived_object, ms
from tvm_gnn_cost.meta_schedule.database import read_database
from tvm_gnn_cost.meta_schedule.database_graphs import read_graphs
from tvm_gnn_cost.meta_schedule.recorded_pools import keep_graphs, read_pools
from tvm_gnn_cost.meta_schedule.source import make_source

TRIALS = 16


@derived_object
class Builder(ms.builder.PyBuilder):  # type: ignore[misc]
    def build(self, build_inputs: Sequence[Any]) -> list[Any]:
        return [
            ms.builder.BuilderResult(None, "it does not build")
            if i % 3 == 2
            else ms.builder.BuilderResult(f"artifact_{i}", None)
            for i in range(len(build_inputs))
        ]


@derived_object
class Future(ms.runner.PyRunnerFuture):  # type: ignore[misc]
    def __init__(self, number: int) -> None:
        self.number = number

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        if self.number % 4 == 3:
            return ms.runner.RunnerResult(None, "it does not run")
        return ms.runner.RunnerResult([2e-3 / (self.number + 1), 1e-3 / (self.number + 1)], None)


@derived_object
class Runner(ms.runner.PyRunner):  # type: ignore[misc]
    def run(self, runner_inputs: Sequence[Any]) -> list[Any]:
        return [Future(i) for i in range(len(runner_inputs))]


@derived_object
class Watcher(ms.cost_model.PyCostModel):  # type: ignore[misc]
    """Scores at random, and keeps what it is shown."""

    def __init__(self) -> None:
        self.scored: list[StageGraphBatch] = []
        self.learnt: list[StageGraphBatch] = []
        self.failed: list[bool] = []

    def load(self, path: str) -> None: ...
    def save(self, path: str) -> None: ...

    def predict(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]:
        self.scored.append(make_source(context.mod, context.target).build(candidates).graphs)
        return np.random.default_rng(len(self.scored)).uniform(size=len(candidates))

    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        self.learnt.append(make_source(context.mod, context.target).build(candidates).graphs)
        self.failed += [not result.run_secs for result in results]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watcher]:
    folder, watcher = tmp_path_factory.mktemp("tuned") / "matmul", Watcher()
    search = ms.search_strategy.EvolutionarySearch(
        population_size=32, init_min_unmeasured=8, genetic_num_iters=1, max_fail_count=5
    )
    ms.tune_tir(
        matmul(64),
        Target(TARGET),
        str(folder),
        max_trials_global=TRIALS,
        num_trials_per_iter=TRIALS // 2,
        builder=Builder(),
        runner=Runner(),
        cost_model=watcher,
        measure_callbacks=[ms.measure_callback.AddToDatabase(), ms.measure_callback.UpdateCostModel()],
        strategy=search,
        num_tuning_cores=1,
        seed=1,
    )
    return folder, watcher


def test_every_trial_is_there_failures_among_them(tuned: tuple[Path, Watcher]) -> None:
    found = read_database(tuned[0])
    latency = np.array([record.latency for record in found.records])
    assert len(found) >= TRIALS - 2 and not found.skipped
    assert np.isinf(latency).sum() >= TRIALS // 3
    assert [len(record.readings) for record in found.records] == [0 if np.isinf(v) else 2 for v in latency]


def test_graphs_are_to_the_bit_what_the_model_scored_and_learnt(tuned: tuple[Path, Watcher]) -> None:
    folder, watcher = tuned
    ((_, measured, unreadable),) = read_graphs(folder)
    assert unreadable == 0
    found = graphs_of(measured.graphs)
    scored = {graph for batch in watcher.scored for graph in graphs_of(batch)}
    assert set(found) <= scored
    # MetaSchedule tells its model nothing of what did not build.
    learnt = [graph for batch in watcher.learnt for graph in graphs_of(batch)]
    assert 0 < len(learnt) < len(found)
    assert learnt == [graph for graph in found if graph in set(learnt)]
    keep_graphs(folder)
    ((recorded,), digest) = (read_pools(folder).pools, read_pools(folder).digest)
    assert graphs_of(recorded.pool.graphs) == found and digest


def graphs_of(batch: StageGraphBatch) -> list[bytes]:
    """The bytes of each graph."""
    found = []
    for i in range(len(batch)):
        one = batch.slice(i, i + 1)
        found.append(
            b"".join(np.ascontiguousarray(a).tobytes() for a in (one.node_features, one.edge_index, one.edge_features))
        )
    return found
