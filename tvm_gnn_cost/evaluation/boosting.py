"""Gradient-boosted trees as evaluated methods: stock's XGBModel, and plain XGBoost on features of stage graphs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError
from tvm_gnn_cost.evaluation.methods import Estimate, Learner, Method
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.graphs.schema import NODE_FEATURES
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.records.rows import Rows
from tvm_gnn_cost.system.files import write_atomically

# A column that is read as a feature: what this baseline learns from, not a way to ask about the schedule.
_IS_HEAVIEST = [feature.name for feature in NODE_FEATURES].index("is_heaviest")

Part = tuple[Problem, IntArray]
"""Some records of a pool."""

StockTraining = Callable[[Sequence[Rows], Sequence[NDArray[np.float64]], int], Any]
StockScoring = Callable[[Any, Rows], NDArray[np.float64]]


class BoostedMethod(Method):
    """Trees that are trained anew on all records so far, as XGBModel does.

    Of a task that it learns records of it knows these alone. Unseen tasks are ranked by trees trained on the training
    pools.
    """

    transfers = True
    pretrained = False
    suffix = ".ubj"

    @abstractmethod
    def fit(self, parts: Sequence[Part], seed: int) -> Any:
        """An `xgboost.Booster` trained on normalised throughput; each part has a measured record."""

    @abstractmethod
    def score(self, booster: Any, problem: Problem, records: IntArray) -> NDArray[np.float64]:
        """Predicted normalised throughput of the records, float64 (m,)."""

    def train(self, problems: Sequence[Problem], seed: int, path: Path) -> None:
        booster = self.fit([(problem, np.arange(len(problem))) for problem in problems], seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, bytes(booster.save_raw("ubj")))

    def start(self, trained: Sequence[Path], seed: int) -> Learner:
        return _BoostedLearner(self, seed, _load(trained[0]) if trained else None)


class StockMethod(BoostedMethod):
    """Stock's XGBModel: its features, its way of learning, its parameters.

    Only its warm-up differs, in its favour: XGBModel explores at random until it has more than 100 records, this one
    until it has any.

    Args:
        train: (rows of the records by task, their normalised throughputs, seed) -> an `xgboost.Booster`, learnt as
            stock learns. Like `score` it is a function of a module: methods are passed to other processes.
        score: (booster, rows of n records) -> float64 (n,).
    """

    name = "xgboost"

    def __init__(self, train: StockTraining, score: StockScoring) -> None:
        self._train, self._score = train, score

    def options(self) -> dict[str, Any]:
        return {"model": self.name}

    def fit(self, parts: Sequence[Part], seed: int) -> Any:
        rows = [_stock(problem).select(records) for problem, records in parts]
        return self._train(rows, [_throughput(part) for part in parts], seed)

    def score(self, booster: Any, problem: Problem, records: IntArray) -> NDArray[np.float64]:
        return self._score(booster, _stock(problem).select(records))


class NodeMethod(BoostedMethod):
    """Plain XGBoost on the node features of stage graphs: their maxima, and those of the heaviest stage."""

    name = "xgboost-ours"
    parameters = {"max_depth": 8, "eta": 0.1, "min_child_weight": 0, "verbosity": 0, "nthread": 1}
    rounds = 150

    def options(self) -> dict[str, Any]:
        return {"model": self.name, "parameters": self.parameters, "rounds": self.rounds}

    def fit(self, parts: Sequence[Part], seed: int) -> Any:
        import xgboost

        features = np.concatenate([node_summary(problem.pool.graphs.select(records)) for problem, records in parts])
        data = xgboost.DMatrix(features, np.concatenate([_throughput(part) for part in parts]))
        return xgboost.train(self.parameters | {"seed": seed}, data, num_boost_round=self.rounds)

    def score(self, booster: Any, problem: Problem, records: IntArray) -> NDArray[np.float64]:
        import xgboost

        scores = booster.predict(xgboost.DMatrix(node_summary(problem.pool.graphs.select(records))))
        return np.asarray(scores, dtype=np.float64)


def node_summary(graphs: StageGraphBatch) -> NDArray[np.float32]:
    """(n, 2 * NODE_DIM): of each graph the maximum of every node feature, and those of its heaviest stage."""
    begins, ends = graphs.node_ptr[:-1], graphs.node_ptr[1:]
    is_heaviest = graphs.node_features[:, _IS_HEAVIEST]
    heaviest = [int(b + np.argmax(is_heaviest[b:e])) for b, e in zip(begins, ends, strict=True)]
    maxima = Rows(graphs.node_features, graphs.node_ptr).pooled("max")
    return np.concatenate([maxima, graphs.node_features[heaviest]], axis=1)


class _BoostedLearner(Learner):
    def __init__(self, method: BoostedMethod, seed: int, booster: Any) -> None:
        self._method, self._seed, self._booster = method, seed, booster
        self._records = np.zeros(0, dtype=np.int64)
        self._slowest = self._best = np.nan

    @property
    def is_warm(self) -> bool:
        return self._booster is not None

    def learn(self, problem: Problem, records: IntArray) -> None:
        self._records = np.concatenate([self._records, records])
        latency = problem.pool.latency[self._records]
        measured = latency[np.isfinite(latency)]
        if len(measured):
            self._best, self._slowest = float(measured.min()), float(measured.max())
            self._booster = self._method.fit([(problem, self._records)], self._seed)

    def predict(self, problem: Problem, records: IntArray) -> Estimate:
        if self._booster is None:
            return Estimate(np.zeros(len(records)), np.full(len(records), np.nan))
        scores = self._method.score(self._booster, problem, records)
        # Scores are throughputs relative to the best. Squared error lets them fall to 0 and below, which would be an
        # endless latency: nothing is predicted slower than the slowest record known.
        return Estimate(scores, self._best / np.maximum(scores, self._best / self._slowest))


def _throughput(part: Part) -> NDArray[np.float64]:
    """Throughput of the records over that of the fastest among them; 0 for failed ones."""
    problem, records = part
    latency = problem.pool.latency[records]
    return np.where(np.isfinite(latency), latency.min() / latency, 0.0)


def _stock(problem: Problem) -> Rows:
    if problem.stock is None:
        raise InvalidArgumentError(
            f"{problem.pool.name} was read without stock's features, which model {StockMethod.name} needs"
        )
    return problem.stock


def _load(path: Path) -> Any:
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(path.read_bytes()))
    except (OSError, xgboost.core.XGBoostError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); delete it, and it is trained again") from error
    return booster
