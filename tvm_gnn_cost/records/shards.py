"""One record log as stage graphs on disk: arrays that are mapped into memory, and JSON. Nothing in it is code.

A shard is a folder:

| file                | holds                                                                                   |
| ------------------- | --------------------------------------------------------------------------------------- |
| `shard.json`        | format, what it was made from, the tasks, and length and CRC-32 of each array            |
| `node_features.npy` | float32 (num_nodes, F), the n graphs end to end                                         |
| `edge_index.npy`    | int32 (num_edges, 2): producer and consumer, counted in the edge's own graph            |
| `edge_features.npy` | float32 (num_edges, G)                                                                  |
| `node_ptr.npy`      | int64 (n + 1,): graph i owns nodes node_ptr[i]:node_ptr[i + 1]                           |
| `edge_ptr.npy`      | int64 (n + 1,)                                                                          |
| `latency.npy`       | float64 (n,) seconds; inf: failed                                                       |
| `seconds.npy`       | float64 (n,): what building and measuring took; nan: not known                          |
| `task.npy`          | int32 (n,): index of the task                                                           |

It is written under another name, chunk by chunk, and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.graphs.stage_graph import FloatArray, IntArray, StageGraphBatch
from tvm_gnn_cost.records.task import StoredTask
from tvm_gnn_cost.system.files import parse_json, replacing_folder

FORMAT = "tvm-gnn-cost graphs"
FORMAT_VERSION = 3
_MANIFEST = "shard.json"
_DTYPES: dict[str, type[np.generic]] = {
    "node_features": np.float32,
    "edge_index": np.int32,
    "edge_features": np.float32,
    "node_ptr": np.int64,
    "edge_ptr": np.int64,
    "latency": np.float64,
    "seconds": np.float64,
    "task": np.int32,
}


@dataclass(frozen=True)
class ShardSource:
    """What a shard is made from; one made from something else is outdated.

    Attributes:
        digest: of the log.
        schema: version of the features.
        definitions: digest of the files that registered workloads, and of the tasks kept beside the log.
    """

    digest: str
    schema: int
    definitions: str


class GraphArrays(NamedTuple):
    """The large arrays of a shard, mapped into memory: see the module."""

    node_features: FloatArray
    edge_index: NDArray[np.int32]
    edge_features: FloatArray


@dataclass(frozen=True)
class Shard:
    """A shard that was found in order. Its large arrays stay on disk.

    Attributes:
        path: the folder.
        log: the name of the log.
        source: what it was made from.
        skipped: records of the log that could not be used.
        tasks: those of its records.
        node_ptr, edge_ptr: int64 (n + 1,).
        latency: float64 (n,) seconds; inf: failed.
        seconds: float64 (n,), what building and measuring took; nan: not known.
        task: int32 (n,), index into `tasks`.
    """

    path: Path
    log: str
    source: ShardSource
    skipped: int
    tasks: tuple[StoredTask, ...]
    node_ptr: IntArray
    edge_ptr: IntArray
    latency: NDArray[np.float64]
    seconds: NDArray[np.float64]
    task: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.latency)

    def map_graphs(self) -> GraphArrays:
        """Opens the large arrays; they take files and addresses, not memory."""
        return GraphArrays(*(_map(self.path, name) for name in GraphArrays._fields))


@contextlib.contextmanager
def write_shard(path: Path, source: ShardSource, log: str, node_dim: int, edge_dim: int) -> Iterator[ShardWriter]:
    """Writes a shard chunk by chunk: it is there as a whole after the block, or, after an error, not.

    Args:
        path: the folder; what is there is replaced at the end.
        source: what it is made from.
        log: the name of the log.
        node_dim, edge_dim: F and G.

    Raises OSError where it cannot be written.
    """
    with replacing_folder(path) as folder:
        writer = ShardWriter(folder, node_dim, edge_dim)
        try:
            yield writer
        finally:
            arrays = writer.close()
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "source": asdict(source),
            "log": log,
            "skipped": writer.skipped,
            "tasks": [asdict(task) for task in writer.tasks.values()],
            "arrays": arrays,
        }
        with open(folder / _MANIFEST, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())


class ShardWriter:
    """A shard that is being written, see `write_shard`.

    Attributes:
        tasks: those of its records so far, by key.
        skipped: records of the log that could not be used, to be set before the end.
    """

    def __init__(self, folder: Path, node_dim: int, edge_dim: int) -> None:
        columns = {"node_features": node_dim, "edge_index": 2, "edge_features": edge_dim}
        self.tasks: dict[str, StoredTask] = {}
        self.skipped = 0
        self._arrays = {
            name: _GrowingArray(folder / f"{name}.npy", np.dtype(dtype), columns.get(name))
            for name, dtype in _DTYPES.items()
        }
        for name in ("node_ptr", "edge_ptr"):
            self._arrays[name].append(np.zeros(1, np.int64))
        self._nodes = self._edges = 0

    def add(
        self,
        task: StoredTask,
        graphs: StageGraphBatch,
        latency: NDArray[np.float64],
        seconds: NDArray[np.float64] | None = None,
    ) -> None:
        """Appends the n graphs of a task, with latency (n,) in seconds and, where it is known, what each trial took."""
        index = list(self.tasks).index(task.key) if task.key in self.tasks else len(self.tasks)
        self.tasks.setdefault(task.key, task)
        own = graphs.edge_index - np.repeat(graphs.node_ptr[:-1], np.diff(graphs.edge_ptr))
        for name, rows in (
            ("node_features", graphs.node_features),
            ("edge_index", own.T),
            ("edge_features", graphs.edge_features),
            ("node_ptr", graphs.node_ptr[1:] + self._nodes),
            ("edge_ptr", graphs.edge_ptr[1:] + self._edges),
            ("latency", latency),
            ("seconds", np.full(len(graphs), np.nan) if seconds is None else seconds),
            ("task", np.full(len(graphs), index)),
        ):
            self._arrays[name].append(rows)
        self._nodes += len(graphs.node_features)
        self._edges += graphs.edge_index.shape[1]

    def close(self) -> dict[str, dict[str, int]]:
        """Ends the files; length and CRC-32 of each array."""
        return {name: array.close() for name, array in self._arrays.items()}


def open_shard(path: Path, source: ShardSource) -> Shard:
    """The shard in a folder, checked as a whole: each array is read once.

    Raises RecordError where there is none, where it is damaged, or where it was made from something else.
    """
    try:
        manifest = parse_json((path / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["format_version"] != FORMAT_VERSION:
            raise RecordError(f"{path}: stage graphs of another format")
        if manifest["source"] != asdict(source):
            raise RecordError(f"{path}: outdated, the stage graphs were made from something else")
        for name, dtype in _DTYPES.items():
            array, saved = _map(path, name), manifest["arrays"][name]
            if array.dtype != dtype or len(array) != saved["length"] or _crc(array) != saved["crc32"]:
                raise RecordError(f"{path}: damaged, {name}.npy is not what was written")
        tasks = tuple(StoredTask(**task) for task in manifest["tasks"])
        pointers = (np.array(_map(path, name)) for name in ("node_ptr", "edge_ptr", "latency", "seconds", "task"))
        return Shard(path, manifest["log"], source, manifest["skipped"], tasks, *pointers)
    except FileNotFoundError as error:
        raise RecordError(f"{path}: no stage graphs there, or damaged: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise RecordError(f"{path}: damaged stage graphs ({error!r})") from error


class _GrowingArray:
    """A .npy file that grows by rows; its header is written again at the end."""

    def __init__(self, path: Path, dtype: np.dtype[Any], columns: int | None) -> None:
        self._file: BinaryIO = open(path, "xb")
        self._dtype, self._columns = dtype, columns
        self._length = self._crc = 0
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        data = np.ascontiguousarray(rows, dtype=self._dtype).tobytes()
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(rows)

    def close(self) -> dict[str, int]:
        """Ends the file; its length and the CRC-32 of its content."""
        with self._file as file:
            file.seek(0)
            self._write_header()
            file.flush()
            os.fsync(file.fileno())
        return {"length": self._length, "crc32": self._crc}

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis may grow in place.
        shape = (self._length,) if self._columns is None else (self._length, self._columns)
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)


def _map(path: Path, name: str) -> NDArray[Any]:
    return np.asarray(np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False))


def _crc(array: NDArray[Any]) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data) if array.size else 0
