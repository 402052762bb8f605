"""A database made fit for MetaSchedule's own reader, which gives up at the first bad line, and for appending."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.database import read_database_chunks, read_workloads
from tvm_gnn_cost.records.databases import DatabaseFiles, read_workload_lines
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.system.find_tvm import require_tvm

logger = logging.getLogger("tvm_gnn_cost")

_RECORDS_AT_A_TIME = 256
_UNUSED = "tvm_gnn_cost.unused_line"


def repair_database(path: str | os.PathLike[str]) -> int:
    """Make a database fit for TVM's own reader; returns the number of records that were moved out.

    Records that cannot be used (corrupt, truncated by a kill or a full disk, without a time, of a workload that cannot
    be read) go to `database_tuning_record.json.rejected`. Workloads that cannot be read, or that stand there twice, go
    to `database_workload.json.rejected`: an empty module takes their line, since records name workloads by line, and
    MetaSchedule numbers the next workload by how many different ones there are. A missing newline at the end is added.
    Each table is replaced atomically, and not at all when it is in order; at every moment both fit together.

    Does nothing where there is no database. Raises RecordError where it cannot be read or written, or another TVM
    wrote it.
    """
    files = DatabaseFiles.of(path)
    if not (files.workloads.exists() or files.records.exists()):
        return 0
    for table in (files.workloads, files.records):
        if table.suffix == ".gz":
            raise RecordError(f"{table} is compressed, and MetaSchedule cannot append to it: decompress it first")
    usable, twins = read_workloads(path), _twins(files)
    bad = {line for chunk in read_database_chunks(path, _RECORDS_AT_A_TIME) for line, _ in chunk.skipped}
    try:
        moved = _rewrite(files.records, lambda line, raw: None if line in bad else _renumbered(raw, twins))
        dropped = _rewrite(
            files.workloads, lambda line, raw: raw if line in usable and line not in twins else None, _placeholder
        )
    except OSError as error:
        raise RecordError(f"{os.fspath(path)} cannot be repaired: {error.strerror or error}") from error
    for count, what, table in ((moved, "records", files.records), (dropped, "workloads", files.workloads)):
        if count:
            logger.warning("%s: %d unusable %s moved to %s.rejected", table, count, what, table)
    return moved


def _twins(files: DatabaseFiles) -> dict[int, int]:
    """Lines of workloads that stand in the table before: line -> the first line of the same."""
    first: dict[str, int] = {}
    twins = {}
    for workload in read_workload_lines(files.workloads):
        if workload.problem is None and first.setdefault(workload.json[1], workload.line) != workload.line:
            twins[workload.line] = first[workload.json[1]]
    return twins


def _renumbered(raw: bytes, twins: dict[int, int]) -> bytes:
    """A record, of the first of workloads that are the same."""
    number, comma, rest = raw.partition(b",")
    line = int(number.strip().removeprefix(b"[")) + 1
    return b"[%d" % (twins[line] - 1) + comma + rest if line in twins else raw


def _rewrite(
    table: Path, keep: Callable[[int, bytes], bytes | None], instead: Callable[[int], bytes] | None = None
) -> int:
    """Replaces a table by what `keep` makes of its lines; those for which that is None go to `<table>.rejected`.

    Args:
        instead: what takes the place of such a line, from 1; None: nothing does.

    Returns: how many lines went there.
    """
    data = table.read_bytes()
    kept: list[bytes] = []
    rejected: list[bytes] = []
    for line, raw in enumerate(data.splitlines(), start=1):
        found = keep(line, raw) if raw.strip() else None
        if found is not None:
            kept.append(found)
            continue
        if raw.strip():
            rejected.append(raw)
        if instead is not None:
            kept.append(instead(line))
    content = b"".join(line + b"\n" for line in kept)
    if content == data:
        return 0
    if rejected:
        with open(f"{table}.rejected", "ab") as out:
            out.writelines(line + b"\n" for line in rejected)
    write_atomically(table, content)
    return len(rejected)


def _placeholder(line: int) -> bytes:
    """A workload that computes nothing, another one for each line."""
    module = require_tvm().ir.IRModule({}).with_attr(_UNUSED, line)
    return json.dumps(ms.database.database.Workload(module).as_json(), separators=(",", ":")).encode()
