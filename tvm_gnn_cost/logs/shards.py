"""Record logs of either scheduler, mixed as they come, as stage graphs on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tvm_gnn_cost.records.databases import is_database
from tvm_gnn_cost.records.log_shards import LogReader, ReadProgress
from tvm_gnn_cost.records.log_shards import read_logs as read_with
from tvm_gnn_cost.records.shards import Shard
from tvm_gnn_cost.records.task import ANSOR, META_SCHEDULE
from tvm_gnn_cost.system.progress import Observer, unobserved


def scheduler_of(log: Path) -> str:
    """Whose log it is, by the names of its files."""
    return META_SCHEDULE if is_database(log) else ANSOR


def read_logs(
    logs: Sequence[Path],
    folder: Path,
    definitions: Sequence[Path] = (),
    observer: Observer[ReadProgress] = unobserved,
) -> list[Shard]:
    """The stage graphs of record logs, see `records.log_shards.read_logs`.

    Args:
        definitions: Python files that register auto_scheduler's workloads; they are executed. A database of
            MetaSchedule needs none: it holds what is computed.

    Raises also WorkloadError for definitions, TVMNotAvailableError for logs that need a TVM that is not installed.
    """
    readers: dict[str, LogReader] = {}

    def reader_of(log: Path) -> LogReader:
        scheduler = scheduler_of(log)
        if scheduler not in readers:
            readers[scheduler] = _reader(scheduler, definitions)
        return readers[scheduler]

    return read_with(logs, folder, reader_of, observer)


def _reader(scheduler: str, definitions: Sequence[Path]) -> LogReader:
    if scheduler == META_SCHEDULE:
        from tvm_gnn_cost.meta_schedule.log_shards import DatabaseLogs

        return DatabaseLogs()
    from tvm_gnn_cost.ansor.log_shards import AnsorLogs

    return AnsorLogs(definitions)
