"""Databases of MetaSchedule as stage graphs on disk: what `records.log_shards` asks of a scheduler.

Without the TVM that wrote a database, its file of graphs is read.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from tvm_gnn_cost.errors import RecordError, TVMNotAvailableError
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.meta_schedule.recorded_pools import has_current_graphs, read_pools
from tvm_gnn_cost.records.databases import DatabaseFiles
from tvm_gnn_cost.records.graph_file import read_graph_file
from tvm_gnn_cost.records.log_shards import RECORDS_AT_A_TIME, LogChunk, fill_from_chunks
from tvm_gnn_cost.records.shards import ShardSource, ShardWriter
from tvm_gnn_cost.system.files import file_digest
from tvm_gnn_cost.system.find_tvm import require_tvm

logger = logging.getLogger("tvm_gnn_cost")


class DatabaseLogs:
    """Reads databases."""

    def source(self, log: Path) -> ShardSource:
        files, made_with = DatabaseFiles.of(log), hashlib.sha256()
        for beside in (files.names, files.graphs):
            if beside.is_file():
                made_with.update(file_digest(beside).encode())
        if not has_current_graphs(log):  # another TVM may read what this one cannot
            made_with.update(_tvm_here().encode())
        digest = files.digest() or read_graph_file(files.graphs).digest
        return ShardSource(digest, SCHEMA_VERSION, made_with.hexdigest())

    def fill(self, writer: ShardWriter, log: Path, observe: Callable[[int], None]) -> None:
        if not has_current_graphs(log):
            try:
                _fill_from_tables(writer, log, observe)
                return
            except (RecordError, TVMNotAvailableError) as error:
                logger.debug("the tables of %s cannot be read: %s", log, error)
        kept = read_pools(log)  # says what is wrong, where there is no way
        for recorded in kept.pools:
            writer.add(recorded.pool.stored_task, recorded.pool.graphs, recorded.pool.latency)
        writer.skipped += kept.skipped
        observe(sum(len(recorded.pool) for recorded in kept.pools))


def _fill_from_tables(writer: ShardWriter, log: Path, observe: Callable[[int], None]) -> None:
    """Reads the tables, some records at a time."""
    from tvm_gnn_cost.meta_schedule.database import read_database_chunks
    from tvm_gnn_cost.meta_schedule.pools import candidates_by_task
    from tvm_gnn_cost.meta_schedule.workload_names import WorkloadNames

    names = WorkloadNames(log)
    chunks = read_database_chunks(log, RECORDS_AT_A_TIME)
    parts = (LogChunk(c.skipped, (measured.pool() for measured in candidates_by_task(log, c, names))) for c in chunks)
    fill_from_chunks(writer, log, parts, observe)


def _tvm_here() -> str:
    """The release that is installed; "" for none."""
    try:
        return str(require_tvm().__version__)
    except TVMNotAvailableError:
        return ""
