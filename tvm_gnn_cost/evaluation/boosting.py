"""Gradient-boosted trees as evaluated methods: stock's XGBModel, and plain XGBoost on features of stage graphs."""

from __future__ import annotations

import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
from tvm_gnn_cost.system.files import replacing, write_atomically

# A column that is read as a feature: what this baseline learns from, not a way to ask about the schedule.
_IS_HEAVIEST = [feature.name for feature in NODE_FEATURES].index("is_heaviest")

STOCK = "xgboost"
"""What stock's model is called on the command line; with `-warmup`, it explores at random first, as XGBModel does."""
WARM_UP = 100
"""Records that XGBModel, of either scheduler, waits for."""

Part = tuple[Problem, IntArray]
"""Some records of a pool."""

StockTraining = Callable[[str, Sequence[Rows], Sequence[NDArray[np.float64]], int], Any]


class BoostedMethod(Method):
    """Trees that are trained anew on all records so far, as XGBModel does.

    Of a task that it learns records of it knows these alone. Unseen tasks are ranked by trees trained on the training
    pools.
    """

    transfers = True
    pretrained = False
    suffix = ".ubj"
    warm_up = 0

    def by_scheduler(self, parts: Sequence[Part]) -> Mapping[str, Sequence[Part]]:
        """The parts that are learnt together, by the scheduler whose schedules are then ranked; "": any."""
        return {"": parts}

    @abstractmethod
    def fit(self, parts: Sequence[Part], seed: int) -> Any:
        """An `xgboost.Booster` trained on normalised throughput; each part has a measured record."""

    @abstractmethod
    def score(self, booster: Any, problem: Problem, records: IntArray) -> NDArray[np.float64]:
        """Predicted normalised throughput of the records, float64 (m,)."""

    def train(self, problems: Sequence[Problem], seed: int, path: Path) -> None:
        parts = self.by_scheduler([(problem, np.arange(len(problem))) for problem in problems])
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(path, {name: self.fit(own, seed) for name, own in parts.items()})

    def start(self, trained: Sequence[Path], seed: int) -> Learner:
        return _BoostedLearner(self, seed, _load(trained[0]) if trained else {})


class StockMethod(BoostedMethod):
    """Stock's XGBModel: its features, its way of learning, its parameters. Each scheduler has its own, with features of
    its own, so what is learnt of one scheduler's pools ranks that scheduler's schedules alone.

    Without `warm_up` it differs in stock's favour: XGBModel explores at random until it knows 100 records, this one
    until it knows any.

    Args:
        train: (scheduler, rows of the records by task, their normalised throughputs, seed) -> an `xgboost.Booster`,
            learnt as the scheduler's stock learns. It is a function of a module: methods are passed to other processes.
        warm_up: records of a task that it knows before it ranks by them.
    """

    def __init__(self, train: StockTraining, warm_up: int = 0) -> None:
        self._train, self.warm_up = train, warm_up
        self.name = f"{STOCK}-warmup" if warm_up else STOCK

    def options(self) -> dict[str, Any]:
        return {"model": STOCK} | ({"warm_up": self.warm_up} if self.warm_up else {})

    def training_options(self) -> dict[str, Any]:
        return {"model": STOCK}

    def by_scheduler(self, parts: Sequence[Part]) -> Mapping[str, Sequence[Part]]:
        grouped: dict[str, list[Part]] = {}
        for part in parts:
            grouped.setdefault(part[0].pool.scheduler, []).append(part)
        return grouped

    def fit(self, parts: Sequence[Part], seed: int) -> Any:
        rows = [_stock(problem).select(records) for problem, records in parts]
        return self._train(parts[0][0].pool.scheduler, rows, [_throughput(part) for part in parts], seed)

    def score(self, booster: Any, problem: Problem, records: IntArray) -> NDArray[np.float64]:
        return pack_sum_scores(booster, _stock(problem).select(records))


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
    def __init__(self, method: BoostedMethod, seed: int, boosters: Mapping[str, Any]) -> None:
        self._method, self._seed, self._boosters = method, seed, boosters
        self._records = np.zeros(0, dtype=np.int64)
        self._slowest = self._best = np.nan

    @property
    def is_warm(self) -> bool:
        return bool(self._boosters)

    def learn(self, problem: Problem, records: IntArray) -> None:
        self._records = np.concatenate([self._records, records])
        latency = problem.pool.latency[self._records]
        measured = latency[np.isfinite(latency)]
        if len(measured):
            self._best, self._slowest = float(measured.min()), float(measured.max())
        if len(measured) and len(self._records) >= self._method.warm_up:
            self._boosters = {"": self._method.fit([(problem, self._records)], self._seed)}

    def predict(self, problem: Problem, records: IntArray) -> Estimate:
        booster = self._boosters.get(problem.pool.scheduler, self._boosters.get(""))
        if booster is None:
            return Estimate(np.zeros(len(records)), np.full(len(records), np.nan))
        scores = self._method.score(booster, problem, records)
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
        raise InvalidArgumentError(f"{problem.pool.name} was read without stock's features, which model {STOCK} needs")
    return problem.stock


def pack_sum_scores(booster: Any, rows: Rows) -> NDArray[np.float64]:
    """Scores (n,) of records as stock's XGBModel, of either scheduler, adds them up: the sums over their rows."""
    import xgboost

    raw = booster.predict(xgboost.DMatrix(rows.values))
    scores = np.zeros(len(rows))
    np.add.at(scores, np.repeat(np.arange(len(rows)), np.diff(rows.ptr)), raw)
    return scores


def _save(path: Path, boosters: Mapping[str, Any]) -> None:
    """One model as XGBoost writes it; several as a zip of those, by scheduler."""
    written = {name: bytes(booster.save_raw("ubj")) for name, booster in boosters.items()}
    if len(written) == 1:
        write_atomically(path, next(iter(written.values())))
        return
    with replacing(path) as out, zipfile.ZipFile(out, "w") as archive:
        for name, data in written.items():
            archive.writestr(name, data)


def _load(path: Path) -> dict[str, Any]:
    import xgboost

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                written = {name: archive.read(name) for name in archive.namelist()}
        else:
            written = {"": path.read_bytes()}
        boosters = {name: xgboost.Booster() for name in written}
        for name, data in written.items():
            boosters[name].load_model(bytearray(data))
    except (OSError, zipfile.BadZipFile, zlib.error, xgboost.core.XGBoostError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); delete it, and it is trained again") from error
    return boosters
