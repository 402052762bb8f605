"""Record logs as stage graphs on disk, for training: read once, kept, and read again when something has changed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_gnn_cost.ansor.pools import states_by_task
from tvm_gnn_cost.ansor.record_log import read_record_chunks
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM, SCHEMA_VERSION
from tvm_gnn_cost.records.log_lines import describe_skipped
from tvm_gnn_cost.records.logs import log_stem
from tvm_gnn_cost.records.saved_tasks import saved_tasks_digest
from tvm_gnn_cost.records.shards import Shard, ShardSource, ShardWriter, open_shard, write_shard
from tvm_gnn_cost.records.task import StoredTask
from tvm_gnn_cost.system.files import file_digest
from tvm_gnn_cost.system.progress import Observer, Progress, unobserved
from tvm_gnn_cost.workloads import run_definitions

logger = logging.getLogger(__name__)

RECORDS_AT_A_TIME = 512
"""Records of a log that are in memory as TVM's objects."""


@dataclass(frozen=True, kw_only=True)
class ReadProgress(Progress):
    """Where the reading of logs stands: the phase is "read", `done` of `total` logs are read, `note` is at hand.

    Attributes:
        records: usable ones so far.
    """

    records: int


def read_logs(
    logs: Sequence[Path],
    folder: Path,
    definitions: Sequence[Path] = (),
    observer: Observer[ReadProgress] = unobserved,
) -> list[Shard]:
    """The stage graphs of record logs, by name of log. What `folder` already holds is not read again.

    Records that cannot be used are counted and reported in the log, with file and line.

    Args:
        logs: record logs, see `records.logs.find_logs`. Of those with the same content one is taken.
        folder: where the graphs are kept.
        definitions: Python files that register workloads; they are executed.
        observer: called after every few hundred records. What it raises ends the reading; nothing is left half done.

    Raises RecordError for a log that cannot be read, or graphs that cannot be written; WorkloadError for definitions.
    """
    register_all()
    registered = hashlib.sha256()
    for path in definitions:
        run_definitions(path)
        registered.update(path.read_bytes())
    shards: dict[str, Shard] = {}
    records = 0
    for number, log in enumerate(logs):

        def observe(count: int, number: int = number, log: Path = log, before: int = records) -> None:
            observer(ReadProgress(phase="read", done=number, total=len(logs), note=log.name, records=before + count))

        digest = _digest(log)
        if digest in shards:
            logger.warning("%s holds the same as %s, and is left out", log, shards[digest].log)
            continue
        observe(0)
        known = registered.copy()
        known.update(saved_tasks_digest(log).encode())
        source = ShardSource(digest, SCHEMA_VERSION, known.hexdigest())
        shards[digest] = _shard(log, folder, source, observe)
        records += len(shards[digest])
    observer(ReadProgress(phase="read", done=len(logs), total=len(logs), records=records))
    return sorted(shards.values(), key=lambda shard: (shard.log, shard.source.digest))


def _shard(log: Path, folder: Path, source: ShardSource, observe: Callable[[int], None]) -> Shard:
    """The shard of a log: the one that is there, or a new one."""
    path = folder / f"{log_stem(log)}-{source.digest[:16]}"
    if path.exists():
        try:
            return open_shard(path, source)
        except RecordError as error:
            logger.info("%s; %s is read again", error, log)
    try:
        with write_shard(path, source, "/".join(log.parts[-2:]), NODE_DIM, EDGE_DIM) as writer:
            _fill(writer, log, observe)
    except OSError as error:
        raise RecordError(f"the stage graphs of {log} cannot be written to {folder}: {error}") from error
    return open_shard(path, source)


def _fill(writer: ShardWriter, log: Path, observe: Callable[[int], None]) -> None:
    """Reads a log, some records at a time, and reports what could not be used."""
    skipped: list[tuple[int, str]] = []
    used = 0
    for chunk in read_record_chunks(log, RECORDS_AT_A_TIME, rebuild=True):
        skipped += chunk.skipped
        for measured in states_by_task(log, chunk):
            pool, readable = measured.pool()
            writer.skipped += int((~readable).sum())
            if len(pool):
                is_gpu = hardware_of(measured.task).is_gpu
                task = StoredTask(pool.task, pool.flop, pool.workload, pool.operator, pool.target, is_gpu)
                writer.add(task, pool.graphs, pool.latency)
                used += len(pool)
        observe(used)
    writer.skipped += len(skipped)
    if skipped:
        logger.warning("%s", describe_skipped(log, skipped, used))


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise RecordError(f"record log {path} cannot be read: {error.strerror or error}") from error
