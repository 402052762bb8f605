"""Record logs of auto_scheduler as stage graphs on disk: what `records.log_shards` asks of a scheduler."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tvm_gnn_cost.ansor.pools import states_by_task
from tvm_gnn_cost.ansor.record_log import read_record_chunks
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.records.log_shards import RECORDS_AT_A_TIME, LogChunk, fill_from_chunks
from tvm_gnn_cost.records.saved_tasks import saved_tasks_digest
from tvm_gnn_cost.records.shards import ShardSource, ShardWriter
from tvm_gnn_cost.system.files import file_digest
from tvm_gnn_cost.workloads import run_definitions


class AnsorLogs:
    """Reads the logs of auto_scheduler.

    Args:
        definitions: Python files that register workloads; they are executed. Raises WorkloadError for a bad one.
    """

    def __init__(self, definitions: Sequence[Path] = ()) -> None:
        register_all()
        self._registered = hashlib.sha256()
        for path in definitions:
            run_definitions(path)
            self._registered.update(path.read_bytes())

    def source(self, log: Path) -> ShardSource:
        try:
            digest = file_digest(log)
        except OSError as error:
            raise RecordError(f"record log {log} cannot be read: {error.strerror or error}") from error
        known = self._registered.copy()
        known.update(saved_tasks_digest(log).encode())
        return ShardSource(digest, SCHEMA_VERSION, known.hexdigest())

    def fill(self, writer: ShardWriter, log: Path, observe: Callable[[int], None]) -> None:
        chunks = read_record_chunks(log, RECORDS_AT_A_TIME, rebuild=True)
        parts = (LogChunk(c.skipped, (measured.pool() for measured in states_by_task(log, c))) for c in chunks)
        fill_from_chunks(writer, log, parts, observe)
