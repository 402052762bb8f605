"""Measured schedules as one file of stage graphs: what travels where the TVM that made them is not, or no TVM at all.

A database of MetaSchedule is in TVM's own JSON, which each release writes with other names. So one that is to be learnt
from elsewhere has `graphs.npz` beside its tables: numpy arrays and JSON, compressed; nothing in it is code.

| array                                   | holds                                                                  |
| --------------------------------------- | ---------------------------------------------------------------------- |
| `about`                                 | JSON, UTF-8: format, digest of the tables, schema, TVM, and the tasks   |
| `node_features`                         | float32 (F, num_nodes), the graphs end to end; turned, to compress well |
| `edge_index`                            | int32 (2, num_edges), counted in the edge's own graph                   |
| `edge_features`                         | float32 (G, num_edges)                                                  |
| `num_nodes`, `num_edges`                | int32 (n,) of each graph                                                |
| `readings`, `num_readings`              | float64 seconds, and int32 (n,) how many of each record; none: failed   |
| `used`                                  | int64 (n,): which of its task's records it is                           |
| `pool`                                  | int32 (n,): whose it is, an index into the tasks                        |
| `stock`, `num_stock`                    | float32 (H, m), int32 (n,): the scheduler's own features; may be absent |

The graphs are those of one schema of features (`graphs.schema`). When that changes, the tables are read again, by the
TVM that wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM, SCHEMA_VERSION
from tvm_gnn_cost.graphs.stage_graph import IntArray, StageGraphBatch
from tvm_gnn_cost.records.pool import Pool, RecordedPool
from tvm_gnn_cost.records.rows import Rows
from tvm_gnn_cost.records.task import StoredTask
from tvm_gnn_cost.system.files import parse_json, replacing

FORMAT = "tvm-gnn-cost measured graphs"
FORMAT_VERSION = 1

_ARRAYS: dict[str, type[np.generic]] = {
    "node_features": np.float32,
    "edge_index": np.int32,
    "edge_features": np.float32,
    "num_nodes": np.int32,
    "num_edges": np.int32,
    "readings": np.float64,
    "num_readings": np.int32,
    "used": np.int64,
    "pool": np.int32,
}
_STOCK: dict[str, type[np.generic]] = {"stock": np.float32, "num_stock": np.int32}


@dataclass(frozen=True)
class GraphFile:
    """What a file of graphs holds.

    Attributes:
        digest: of what the records were read from, see `DatabaseFiles.digest`.
        tvm: the release that made them.
        skipped: records that could not be used.
        pools: the records, task by task.
    """

    digest: str
    tvm: str
    skipped: int
    pools: tuple[RecordedPool, ...]


def write_graph_file(path: Path, content: GraphFile) -> None:
    """Replaces a file of graphs as a whole. Stock's features go along where all pools have them.

    Raises RecordError where it cannot be written, or where there are no records.
    """
    if not any(len(recorded.pool) for recorded in content.pools):
        raise RecordError(f"{path} is not written: there is no record whose stage graph can be read")
    recorded = [one for one in content.pools if len(one.pool)]
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "schema": SCHEMA_VERSION,
        "digest": content.digest,
        "tvm": content.tvm,
        "skipped": content.skipped,
        "pools": [_described(one) for one in recorded],
    }
    text = json.dumps(about, allow_nan=False).encode()
    try:
        with replacing(path) as out:
            arrays: dict[str, Any] = {"about": np.frombuffer(text, np.uint8), **_arrays(recorded)}
            np.savez_compressed(out, **arrays)
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error.strerror or error}") from error


def read_graph_file(path: Path) -> GraphFile:
    """What a file of graphs holds.

    Raises RecordError where it is missing, damaged or foreign, or its features are of another schema.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = parse_json(stored["about"].tobytes())
            _check_format(path, about)
            arrays = {name: _array(stored, name, dtype) for name, dtype in _ARRAYS.items()}
            if "stock" in stored:
                arrays |= {name: _array(stored, name, dtype) for name, dtype in _STOCK.items()}
        return GraphFile(
            str(about["digest"]), str(about["tvm"]), int(about["skipped"]), _recorded(about["pools"], arrays)
        )
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecordError:
        raise
    except Exception as error:  # whatever numpy and zipfile trip over in damaged files, of which there is no list
        raise RecordError(f"{path} is damaged, or no file of stage graphs: {error}") from error


def _check_format(path: Path, about: Any) -> None:
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("format_version") != FORMAT_VERSION:
        raise RecordError(f"{path} holds no stage graphs, or in another format")
    if about["schema"] != SCHEMA_VERSION:
        raise RecordError(
            f"{path} holds stage graphs with features of schema {about['schema']}, and this release has schema "
            f"{SCHEMA_VERSION}: they are made anew where TVM {about['tvm']} reads the tables beside it"
        )


def _array(stored: Mapping[str, NDArray[Any]], name: str, dtype: type[np.generic]) -> NDArray[Any]:
    array = stored[name]
    if array.dtype != dtype:
        raise ValueError(f"{name} is of {array.dtype}")
    return array


def _described(recorded: RecordedPool) -> dict[str, Any]:
    return {
        "name": recorded.pool.name,
        "task": asdict(recorded.pool.stored_task),
        "digest": recorded.digest,
        "workload_key": recorded.workload_key,
    }


def _arrays(recorded: Sequence[RecordedPool]) -> dict[str, NDArray[Any]]:
    graphs = StageGraphBatch.concatenate([one.pool.graphs for one in recorded])
    readings = [reading for one in recorded for reading in one.pool.readings]
    own_edges = graphs.edge_index - np.repeat(graphs.node_ptr[:-1], np.diff(graphs.edge_ptr))
    arrays: dict[str, NDArray[Any]] = {
        "node_features": np.ascontiguousarray(graphs.node_features.T),
        "edge_index": own_edges,
        "edge_features": np.ascontiguousarray(graphs.edge_features.T),
        "num_nodes": np.diff(graphs.node_ptr),
        "num_edges": np.diff(graphs.edge_ptr),
        "readings": np.concatenate([np.zeros(0), *readings]),
        "num_readings": np.array([len(reading) for reading in readings]),
        "used": np.concatenate([one.used for one in recorded]),
        "pool": np.repeat(np.arange(len(recorded)), [len(one.pool) for one in recorded]),
    }
    rows = [one.stock for one in recorded if one.stock is not None]
    types = dict(_ARRAYS)
    if len(rows) == len(recorded):
        arrays["stock"] = np.ascontiguousarray(np.concatenate([one.values for one in rows]).T)
        arrays["num_stock"] = np.concatenate([np.diff(one.ptr) for one in rows])
        types |= _STOCK
    return {name: array.astype(types[name]) for name, array in arrays.items()}


def _recorded(described: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> tuple[RecordedPool, ...]:
    graphs, readings, stock = _graphs(arrays), _readings(arrays), _stock(arrays)
    found = []
    for index, about in enumerate(described):
        ids = np.flatnonzero(arrays["pool"] == index)
        task, taken = StoredTask(**about["task"]), tuple(readings[i] for i in ids)
        latency = np.array([reading.min() if len(reading) else np.inf for reading in taken])
        pool = Pool(
            str(about["name"]), graphs.select(ids), latency, task.key, float(task.flop), task.workload, task.operator,
            task.target, taken, task.is_gpu, task.scheduler,
        )  # fmt: skip
        rows = None if stock is None else stock.select(ids)
        found.append(RecordedPool(pool, arrays["used"][ids], rows, str(about["digest"]), str(about["workload_key"])))
    return tuple(found)


def _graphs(arrays: Mapping[str, NDArray[Any]]) -> StageGraphBatch:
    node_ptr, edge_ptr = _pointers(arrays["num_nodes"]), _pointers(arrays["num_edges"])
    nodes, edges, index = arrays["node_features"], arrays["edge_features"], arrays["edge_index"]
    if nodes.shape != (NODE_DIM, node_ptr[-1]) or edges.shape != (EDGE_DIM, edge_ptr[-1]):
        raise ValueError(f"the features are {nodes.shape} and {edges.shape}")
    sizes = np.repeat(arrays["num_nodes"], arrays["num_edges"])
    if index.shape != (2, edge_ptr[-1]) or (index < 0).any() or (index >= sizes).any():
        raise ValueError("edges lead to nodes that are not there")
    if not (len(arrays["num_nodes"]) == len(arrays["num_edges"]) == len(arrays["pool"]) == len(arrays["used"])):
        raise ValueError("the arrays are of different lengths")
    own = index.astype(np.int64) + np.repeat(node_ptr[:-1], np.diff(edge_ptr))
    return StageGraphBatch(np.ascontiguousarray(nodes.T), own, np.ascontiguousarray(edges.T), node_ptr, edge_ptr)


def _readings(arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float64]]:
    values, ends = arrays["readings"], _pointers(arrays["num_readings"])
    if len(values) != ends[-1] or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("the readings are no positive numbers")
    return np.split(values, ends[1:-1])


def _stock(arrays: Mapping[str, NDArray[Any]]) -> Rows | None:
    if "stock" not in arrays:
        return None
    return Rows(np.ascontiguousarray(arrays["stock"].T), _pointers(arrays["num_stock"]))


def _pointers(counts: NDArray[Any]) -> IntArray:
    if (counts < 0).any():
        raise ValueError("negative counts")
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
