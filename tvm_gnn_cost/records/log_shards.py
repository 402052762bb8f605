"""Record logs as stage graphs on disk, for training: read once, kept, and read again when something has changed.

What a log holds is its scheduler's affair: a `LogReader` of its wing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM
from tvm_gnn_cost.records.log_lines import describe_skipped
from tvm_gnn_cost.records.logs import log_stem
from tvm_gnn_cost.records.pool import Pool
from tvm_gnn_cost.records.shards import Shard, ShardSource, ShardWriter, open_shard, write_shard
from tvm_gnn_cost.system.progress import Observer, Progress, unobserved

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


class LogReader(Protocol):
    """What reads the logs of one scheduler."""

    def source(self, log: Path) -> ShardSource:
        """What the graphs of a log depend on. Raises RecordError for one that cannot be read."""

    def fill(self, writer: ShardWriter, log: Path, observe: Callable[[int], None]) -> None:
        """Writes the graphs of a log, and reports what could not be used; `observe` is told how many there are."""


class LogChunk(NamedTuple):
    """Some records of a log: those that were left out, as (line, reason), and the others by task, as stage graphs, with
    bool (n,): which of the task's n records those are."""

    skipped: list[tuple[int, str]]
    pools: Iterable[tuple[Pool, NDArray[np.bool_]]]


def fill_from_chunks(
    writer: ShardWriter, log: Path, chunks: Iterable[LogChunk], observe: Callable[[int], None]
) -> None:
    """Writes the graphs of a log that is read some records at a time, and reports what could not be used."""
    skipped: list[tuple[int, str]] = []
    used = 0
    for chunk in chunks:
        skipped += chunk.skipped
        for pool, readable in chunk.pools:
            writer.skipped += int((~readable).sum())
            if len(pool):
                writer.add(pool.stored_task, pool.graphs, pool.latency, pool.seconds)
                used += len(pool)
        observe(used)
    writer.skipped += len(skipped)
    if skipped:
        logger.warning("%s", describe_skipped(log, skipped, used))


def read_logs(
    logs: Sequence[Path],
    folder: Path,
    reader_of: Callable[[Path], LogReader],
    observer: Observer[ReadProgress] = unobserved,
) -> list[Shard]:
    """The stage graphs of record logs, by name of log. What `folder` already holds is not read again.

    Records that cannot be used are counted and reported in the log, with file and line.

    Args:
        logs: record logs, see `records.logs.find_logs`. Of those with the same content one is taken.
        folder: where the graphs are kept.
        reader_of: the reader of a log.
        observer: called after every few hundred records. What it raises ends the reading; nothing is left half done.

    Raises RecordError for a log that cannot be read, or graphs that cannot be written.
    """
    shards: dict[str, Shard] = {}
    records = 0
    for number, log in enumerate(logs):

        def observe(count: int, number: int = number, log: Path = log, before: int = records) -> None:
            observer(ReadProgress(phase="read", done=number, total=len(logs), note=log.name, records=before + count))

        reader = reader_of(log)
        source = reader.source(log)
        if source.digest in shards:
            logger.warning("%s holds the same as %s, and is left out", log, shards[source.digest].log)
            continue
        observe(0)
        shards[source.digest] = _shard(log, folder, source, reader, observe)
        records += len(shards[source.digest])
    observer(ReadProgress(phase="read", done=len(logs), total=len(logs), records=records))
    return sorted(shards.values(), key=lambda shard: (shard.log, shard.source.digest))


def _shard(log: Path, folder: Path, source: ShardSource, reader: LogReader, observe: Callable[[int], None]) -> Shard:
    """The shard of a log: the one that is there, or a new one."""
    path = folder / f"{log_stem(log)}-{source.digest[:16]}"
    if path.exists():
        try:
            return open_shard(path, source)
        except RecordError as error:
            logger.info("%s; %s is read again", error, log)
    try:
        with write_shard(path, source, "/".join(log.parts[-2:]), NODE_DIM, EDGE_DIM) as writer:
            reader.fill(writer, log, observe)
    except OSError as error:
        raise RecordError(f"the stage graphs of {log} cannot be written to {folder}: {error}") from error
    return open_shard(path, source)
