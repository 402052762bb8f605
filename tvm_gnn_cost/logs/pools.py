"""Record logs of either scheduler as an evaluation reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tvm_gnn_cost.logs.shards import scheduler_of
from tvm_gnn_cost.records.pool import RecordedPool
from tvm_gnn_cost.records.task import META_SCHEDULE
from tvm_gnn_cost.workloads import canonical_key, key_of_log


def read_recorded(path: Path, stock_cache: Path | None = None) -> Iterator[RecordedPool]:
    """The tasks of a log of either scheduler, see `ansor.recorded_pools` and `meta_schedule.recorded_pools`.

    Args:
        path: of the log.
        stock_cache: where the features of the scheduler's own cost model are kept; None: they are not computed.

    Raises RecordError for a path that is no record log, TVMNotAvailableError for one that needs a TVM that is not
    installed.
    """
    if scheduler_of(path) == META_SCHEDULE:
        from tvm_gnn_cost.meta_schedule.recorded_pools import read_recorded as read_database

        return read_database(path, stock_cache)
    from tvm_gnn_cost.ansor.recorded_pools import read_recorded as read_log

    return read_log(path, stock_cache)


def workload_of(name: str) -> str:
    """The workload that a name means, as in `Pool.workload`: TVM's key, or what `collect` calls a log.

    Of the package's own workloads, default arguments may be left out; a name of another one is returned as it is, and
    so is every name where no TVM is installed.
    """
    try:
        return key_of_log(name) or canonical_key(name)
    except ImportError:  # TVMNotAvailableError is one
        return name
