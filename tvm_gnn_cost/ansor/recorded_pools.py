"""Record logs of auto_scheduler as an evaluation reads them; all of it needs TVM when it is called."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tvm_gnn_cost.ansor.pools import MeasuredStates, read_states
from tvm_gnn_cost.records.pool import RecordedPool

logger = logging.getLogger(__name__)


def read_recorded(path: Path, stock_cache: Path | None = None) -> Iterator[RecordedPool]:
    """The tasks of a log.

    Args:
        path: of the log.
        stock_cache: where stock's features are kept; None: they are not computed. Where they are, records at which
            stock ends the process count for no method.

    A task without a measured record is reported in the log and left out. Raises RecordError for a path that is no
    record log.
    """
    for measured in read_states([path]):
        if np.isfinite(measured.latency).any():
            yield _recorded(measured, stock_cache)
        else:
            logger.warning("%s: %s holds no measured record and is left out", path, measured.name)


def _recorded(measured: MeasuredStates, stock_cache: Path | None) -> RecordedPool:
    pool, readable = measured.pool()
    used, rows = np.flatnonzero(readable), None
    if stock_cache is not None:
        from tvm_gnn_cost.ansor.stock import stock_rows

        all_rows = stock_rows(measured, stock_cache)
        known = np.diff(all_rows.ptr)[used] > 0
        if not known.all():
            pool, used = pool.select(np.flatnonzero(known)), used[known]
        rows = all_rows.select(used)
    return RecordedPool(pool, used, rows, measured.digest, measured.task.workload_key)
