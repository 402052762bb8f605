"""The features of MetaSchedule's own cost model, of measured candidates, and the way it learns from them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.pools import MeasuredCandidates
from tvm_gnn_cost.records.rows import Rows, kept_rows
from tvm_gnn_cost.system.find_tvm import require_tvm

logger = logging.getLogger(__name__)

EXTRACTOR = "per-store-feature"
"""MetaSchedule's default."""


def stock_rows(measured: MeasuredCandidates, cache: Path) -> Rows:
    """Stock's feature vectors, one for each store; none for a candidate of which it makes none.

    They take milliseconds a candidate, so they are kept in `cache` under the records' digest and what makes them.
    """
    makers = [measured.digest, str(require_tvm().__version__), EXTRACTOR]
    return kept_rows(cache, makers, lambda: _extract(measured))


def train_pack_sum(training: Sequence[Rows], labels: Sequence[NDArray[np.float64]], seed: int) -> Any:
    """An `xgboost.Booster` trained as MetaSchedule's XGBModel does: a record's score is the sum over its rows.

    Args:
        training: the records' rows, by task.
        labels: their throughputs (n,), normalised within the task.
        seed: of XGBoost.
    """
    model_class = ms.cost_model.XGBModel
    config = ms.cost_model.xgb_model.XGBConfig(seed=seed, nthread=1)
    model = model_class(config=config, verbose_eval=0)
    rows = [t.values[t.ptr[i] : t.ptr[i + 1]] for t in training for i in range(len(t))]
    kept = [i for i, values in enumerate(rows) if len(values)]  # as XGBModel.update does
    model._train(xs=[rows[i] for i in kept], ys=np.concatenate(labels)[kept])
    return model.booster


def _extract(measured: MeasuredCandidates) -> Rows:
    extractor = ms.FeatureExtractor.create(EXTRACTOR)
    context = ms.TuneContext(mod=measured.module, target=measured.target, num_threads=1)
    try:
        found = _features(extractor, context, measured.candidates)
    except Exception as error:  # one that does not lower fails all
        logger.info("%s: stock's features are computed one by one (%s)", measured.name, error)
        found = []
        for candidate in measured.candidates:
            try:
                found += _features(extractor, context, [candidate])
            except Exception:
                found.append(np.zeros((0, found[0].shape[1] if found else 0), np.float32))
    width = max(rows.shape[1] for rows in found)
    return Rows.of([rows if len(rows) else np.zeros((0, width), np.float32) for rows in found])


def _features(extractor: Any, context: Any, candidates: Sequence[Any]) -> list[NDArray[np.float32]]:
    return [array.numpy().astype(np.float32) for array in extractor.extract_from(context, candidates)]
