"""Stock auto_scheduler's features of measured states, kept on disk, and the way its XGBModel learns from them."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from pools import MeasuredStates
from tvm.auto_scheduler import feature
from tvm.auto_scheduler.cost_model import xgb_model

from tvm_gnn_cost.stage_graph.reader import state_object


@dataclass(frozen=True)
class Rows:
    """Feature vectors of n records: values float32 (m, F), ptr int64 (n + 1,); record i owns rows ptr[i]:ptr[i + 1].

    A row is a statement, a node or an edge. A record may own none.
    """

    values: NDArray[np.float32]
    ptr: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def select(self, records: NDArray[np.integer] | NDArray[np.bool_]) -> Rows:
        """The rows of some records, by index or mask; there may be none."""
        chosen = np.arange(len(self))[records]
        values = [self.values[self.ptr[i] : self.ptr[i + 1]] for i in chosen]
        lengths = self.ptr[chosen + 1] - self.ptr[chosen]
        return Rows(
            np.concatenate([self.values[:0], *values]), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        )

    def pooled(self, how: str) -> NDArray[np.float32]:
        """(n, F): sum, mean or max over each record's rows; 0 where it owns none."""
        out = np.zeros((len(self), self.values.shape[1]), np.float32)
        owners = np.repeat(np.arange(len(self)), np.diff(self.ptr))
        if how == "max":  # no feature is negative
            np.maximum.at(out, owners, self.values)
            return out
        np.add.at(out, owners, self.values)
        return out / np.maximum(1, np.diff(self.ptr))[:, None].astype(np.float32) if how == "mean" else out

    @staticmethod
    def of(records: Sequence[NDArray[np.floating]]) -> Rows:
        """From one array (rows, F) a record; at least one record."""
        values = np.concatenate([np.asarray(r, np.float32) for r in records])
        return Rows(values, np.cumsum([0, *(len(r) for r in records)]).astype(np.int64))


def stock_rows(measured: MeasuredStates, cache: Path) -> Rows:
    """Stock's feature vectors, one for each statement; one of zeros for a state that does not lower.

    None for a state at which TVM aborts: its feature.cc reads past the end of a vector for some GPU schedules of
    depthwise convolutions, which a build with checked containers does not survive. Hence the child processes.
    They take milliseconds a state, so they are kept in `cache` under the records' digest and what makes the features.
    """
    makers = [measured.digest, tvm.__version__, feature.DEFAULT_FEATURE_VEC_LEN, feature.DEFAULT_MAX_N_BUFS]
    path = cache / f"{hashlib.sha256(json.dumps(makers).encode()).hexdigest()[:24]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return Rows(stored["values"], stored["ptr"])
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        rows = Rows.of(_extract(measured.states, measured.task, Path(scratch) / "rows.npz"))
    unfinished = path.with_suffix(".part")
    with open(unfinished, "wb") as out:
        np.savez_compressed(out, values=rows.values, ptr=rows.ptr)
    unfinished.replace(path)
    return rows


def _extract(states: Sequence[Any], task: Any, scratch: Path) -> list[NDArray[np.float32]]:
    """(rows, F) of each state; those that take their process down are found by halving."""
    child = multiprocessing.get_context("fork").Process(target=_extract_here, args=(states, task, scratch))
    child.start()
    child.join()
    if child.exitcode == 0:
        with np.load(scratch, allow_pickle=False) as stored:
            return np.split(stored["values"], stored["ptr"][1:-1])
    if child.exitcode is None or child.exitcode > 0:  # not a signal
        raise RuntimeError(f"features of {task.workload_key} failed; the reason stands above")
    if len(states) == 1:
        return [np.zeros((0, feature.DEFAULT_FEATURE_VEC_LEN), np.float32)]
    half = len(states) // 2
    return _extract(states[:half], task, scratch) + _extract(states[half:], task, scratch)


def _extract_here(states: Sequence[Any], task: Any, scratch: Path) -> None:
    rows = Rows.of(list(feature.get_per_store_features_from_states(states, task)))
    np.savez(scratch, values=rows.values, ptr=rows.ptr)


def stock_verdicts(states: Sequence[Any], task: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bool (len(states),), twice: which states stock accepts, and at which it ends the process.

    Stock rejects what it cannot lower or verify by features of zeros.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows = _extract([state_object(state) for state in states], task, Path(scratch) / "rows.npz")
    return np.array([bool(r.any()) for r in rows], bool), np.array([not len(r) for r in rows], bool)


def pack_sum_scores(
    training: Sequence[Rows], labels: Sequence[NDArray[np.float64]], ranked: Sequence[Rows], seed: int, threads: int
) -> list[NDArray[np.float64]]:
    """Scores (n,) of each of `ranked`, learnt as XGBModel.update does: a record's score is the sum over its rows.

    Args:
        training: the records' rows, by task.
        labels: their throughputs (n,), normalised within the task.
    """
    model = xgb_model.XGBModel(verbose_eval=False, seed=seed)  # also imports xgboost into the module
    records = np.empty(sum(len(t) for t in training), dtype=object)
    records[:] = [t.values[t.ptr[i] : t.ptr[i + 1]] for t in training for i in range(len(t))]
    tasks = np.repeat(np.arange(len(training)), [len(t) for t in training])
    throughput = np.concatenate(labels)
    data = xgb_model.pack_sum_xgbmatrix(records, throughput, tasks, throughput)
    stop = xgb_model.CustomCallback(
        stopping_rounds=50,
        metric="tr-p-rmse",
        fevals=[xgb_model.pack_sum_rmse, xgb_model.pack_sum_average_peak_score(model.plan_size)],
        evals=[(data, "tr")],
        maximize=False,
        verbose_eval=False,
    )
    booster = xgb_model.xgb.train(
        model.xgb_params | {"nthread": threads},
        data,
        num_boost_round=10000,
        obj=xgb_model.pack_sum_square_error,
        callbacks=[stop],
    )
    scores = []
    for rows in ranked:
        raw = booster.predict(xgb_model.xgb.DMatrix(rows.values))
        scores.append(np.bincount(np.repeat(np.arange(len(rows)), np.diff(rows.ptr)), raw, minlength=len(rows)))
    return scores
