"""Databases of MetaSchedule as pools of stage graphs, with or without the TVM that wrote them.

Two files say the same: the tables, which need the TVM that wrote them, and `graphs.npz`, which needs none. The graphs
are taken where they are those of the tables as they are now, else the tables are read.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tvm_gnn_cost.errors import RecordError, TVMNotAvailableError
from tvm_gnn_cost.records.databases import DatabaseFiles
from tvm_gnn_cost.records.graph_file import GraphFile, read_graph_file, write_graph_file
from tvm_gnn_cost.records.pool import RecordedPool

logger = logging.getLogger("tvm_gnn_cost")


def read_recorded(path: Path, stock_cache: Path | None = None) -> Iterator[RecordedPool]:
    """The tasks of a database.

    Args:
        path: its folder, or its table of records.
        stock_cache: where features of stock's own cost model are kept; None: they are not computed. A file of graphs
            may have them.

    A task without a measured record is reported in the log and left out. Raises RecordError for a path that is no
    database, or for one that cannot be read here.
    """
    for recorded in read_pools(path, stock_cache).pools:
        if np.isfinite(recorded.pool.latency).any():
            yield recorded
        else:
            logger.warning("%s: %s holds no measured record and is left out", path, recorded.pool.name)


def read_pools(path: Path, stock_cache: Path | None = None) -> GraphFile:
    """All tasks of a database, see `read_recorded`; from its file of graphs, or from its tables."""
    files = DatabaseFiles.of(path)
    kept, problem = _kept(files)
    is_current = kept is not None and _is_current(kept, files)
    if kept is not None and is_current and (stock_cache is None or _has_stock(kept)):
        return kept
    if not files.has_tables:
        if kept is not None:
            return kept  # without stock's features: what asks for them says so
        raise problem or RecordError(f"{path} is no database: neither tables nor stage graphs are there")
    try:
        return _from_tables(path, stock_cache)
    except (RecordError, TVMNotAvailableError) as error:
        if kept is None:
            raise RecordError(f"{error}{f' ({problem})' if problem else ''}") from error
        if not is_current:
            logger.warning(
                "%s holds the records of an earlier state of the tables beside it, which cannot be read here (%s): "
                "the records since then are left out",
                files.graphs, error,
            )  # fmt: skip
        return kept


def keep_graphs(path: Path, *, with_stock: bool = False) -> Path:
    """Writes the stage graphs of a database beside its tables, for where this TVM is not; returns the file.

    Args:
        path: its folder, or its table of records.
        with_stock: stock's features go along, so that stock's own cost model can be evaluated there.

    Raises what `read_database` raises, and RecordError where nothing can be read or written.
    """
    files = DatabaseFiles.of(path)
    with tempfile.TemporaryDirectory() as scratch:
        content = _from_tables(path, Path(scratch) if with_stock else None)
    write_graph_file(files.graphs, content)
    return files.graphs


def has_current_graphs(path: Path, *, with_stock: bool = False) -> bool:
    """Whether the file of graphs is that of the tables as they are, and has stock's features if asked for."""
    files = DatabaseFiles.of(path)
    kept, _ = _kept(files)
    return kept is not None and _is_current(kept, files) and (not with_stock or _has_stock(kept))


def _kept(files: DatabaseFiles) -> tuple[GraphFile | None, RecordError | None]:
    """The file of graphs, or why it cannot be used; neither where there is none."""
    if not files.graphs.is_file():
        return None, None
    try:
        return read_graph_file(files.graphs), None
    except RecordError as error:
        return None, error


def _is_current(kept: GraphFile, files: DatabaseFiles) -> bool:
    return not files.has_tables or kept.digest == files.digest()


def _has_stock(kept: GraphFile) -> bool:
    return all(recorded.stock is not None for recorded in kept.pools)


def _from_tables(path: Path, stock_cache: Path | None) -> GraphFile:
    from tvm_gnn_cost.meta_schedule.database_graphs import graphs_of_tables

    return graphs_of_tables(path, stock_cache)
