"""The tables of a database as stage graphs; it needs the TVM that wrote them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.graphs.source import StageGraphSource
from tvm_gnn_cost.meta_schedule.database import read_database
from tvm_gnn_cost.meta_schedule.pools import MeasuredCandidates, candidates_by_task, read_candidates
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.meta_schedule.workload_names import WorkloadNames
from tvm_gnn_cost.records.databases import DatabaseFiles
from tvm_gnn_cost.records.graph_file import GraphFile
from tvm_gnn_cost.records.measured import MeasuredGraphs
from tvm_gnn_cost.records.pool import RecordedPool
from tvm_gnn_cost.system.find_tvm import require_tvm


def graphs_of_tables(path: Path, stock_cache: Path | None) -> GraphFile:
    """All records of a database as stage graphs. Raises what `read_database` raises.

    Args:
        path: its folder, or its table of records.
        stock_cache: where stock's features are kept; None: they are not computed.
    """
    digest = DatabaseFiles.of(path).digest()  # before: what is appended meanwhile is not in it
    found = read_database(path)
    pools, skipped = [], len(found.skipped)
    for measured in candidates_by_task(path, found, WorkloadNames(path)):
        recorded = _recorded(measured, stock_cache)
        skipped += len(measured) - len(recorded.pool)
        if len(recorded.pool):
            pools.append(recorded)
    return GraphFile(digest, str(require_tvm().__version__), skipped, tuple(pools))


def read_graphs(
    path: Path, source_of: Callable[[Any, Any], StageGraphSource] = make_source
) -> Iterator[tuple[StageGraphSource, MeasuredGraphs, int]]:
    """What a cost model learns from a database: for each task its source, its graphs with latencies (failures among
    them), and how many of its records cannot be read. Raises what `read_database` raises.

    Args:
        path: its folder, or its table of records.
        source_of: the source of a module and a target, such as the one that a cost model has already.
    """
    for measured in read_candidates(path):
        source = source_of(measured.module, measured.target)
        built = source.build(measured.candidates)
        latency = list(measured.latency[built.readable])
        graphs = MeasuredGraphs.of_task(built.graphs, latency, source.key, source.flop)
        yield source, graphs, len(measured) - len(latency)


def _recorded(measured: MeasuredCandidates, stock_cache: Path | None) -> RecordedPool:
    pool, readable = measured.pool()
    used, rows = np.flatnonzero(readable), None
    if stock_cache is not None:
        from tvm_gnn_cost.meta_schedule.stock_features import stock_rows

        rows = stock_rows(measured, stock_cache).select(used)
    key = pool.workload if measured.known is None else measured.known.workload_key
    return RecordedPool(pool, used, rows, measured.digest, key)
