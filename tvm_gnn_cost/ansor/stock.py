"""Stock auto_scheduler's features of measured states, kept on disk, and the way its XGBModel learns from them.

It needs TVM to be imported.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.pools import MeasuredStates
from tvm_gnn_cost.ansor.states.reader import state_object
from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.rows import Rows, kept_rows
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm

_auto_scheduler = require_auto_scheduler()
feature = _auto_scheduler.feature
xgb_model = _auto_scheduler.cost_model.xgb_model


def stock_rows(measured: MeasuredStates, cache: Path) -> Rows:
    """Stock's feature vectors, one for each statement; one of zeros for a state that does not lower.

    None for a state at which TVM aborts: its feature.cc reads past the end of a vector for some GPU schedules of
    depthwise convolutions, which a build with checked containers does not survive. Hence the child processes.
    They take milliseconds a state, so they are kept in `cache` under the records' digest and what makes the features.
    """
    makers = [
        measured.digest,
        require_tvm().__version__,
        feature.DEFAULT_FEATURE_VEC_LEN,
        feature.DEFAULT_MAX_N_BUFS,
    ]

    def make() -> Rows:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            return Rows.of(_extract(measured.states, measured.task, Path(scratch) / "rows.npz"))

    return kept_rows(cache, makers, make)


def stock_verdicts(states: Sequence[Any], task: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bool (len(states),), twice: which states stock accepts, and at which it ends the process.

    Stock rejects what it cannot lower or verify by features of zeros.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows = _extract([state_object(state) for state in states], task, Path(scratch) / "rows.npz")
    return np.array([bool(r.any()) for r in rows], bool), np.array([not len(r) for r in rows], bool)


def train_pack_sum(training: Sequence[Rows], labels: Sequence[NDArray[np.float64]], seed: int, threads: int = 1) -> Any:
    """An `xgboost.Booster` trained as XGBModel.update does: a record's score is the sum over its rows.

    Args:
        training: the records' rows, by task.
        labels: their throughputs (n,), normalised within the task.
        seed: XGBModel takes 0 for none, so it is given one more.
        threads: of XGBoost; they do not change the result.
    """
    model = xgb_model.XGBModel(verbose_eval=False, seed=seed + 1)  # also imports xgboost into the module
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
    return xgb_model.xgb.train(
        model.xgb_params | {"nthread": threads},
        data,
        num_boost_round=10000,
        obj=xgb_model.pack_sum_square_error,
        callbacks=[stop],
    )


def _extract(states: Sequence[Any], task: Any, scratch: Path) -> list[NDArray[np.float32]]:
    """(rows, F) of each state; those that take their process down are found by halving."""
    child = multiprocessing.get_context("fork").Process(target=_extract_here, args=(states, task, scratch))
    child.start()
    child.join()
    if child.exitcode == 0:
        with np.load(scratch, allow_pickle=False) as stored:
            return np.split(stored["values"], stored["ptr"][1:-1])
    if child.exitcode is None or child.exitcode > 0:  # not a signal
        raise RecordError(f"stock's features of {task.workload_key} cannot be computed; the reason stands above")
    if len(states) == 1:
        return [np.zeros((0, feature.DEFAULT_FEATURE_VEC_LEN), np.float32)]
    half = len(states) // 2
    return _extract(states[:half], task, scratch) + _extract(states[half:], task, scratch)


def _extract_here(states: Sequence[Any], task: Any, scratch: Path) -> None:
    rows = Rows.of(list(feature.get_per_store_features_from_states(states, task)))
    np.savez(scratch, values=rows.values, ptr=rows.ptr)
