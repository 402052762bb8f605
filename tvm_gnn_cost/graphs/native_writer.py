"""Features in C++ for loop nests that Python has read, with whichever TVM; equal to `graph_writer`'s to the last bit.

Functions take the extension (`tvm_gnn_cost._native`) as `native`: who uses it decides whether it may be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.computation import Computation
from tvm_gnn_cost.graphs.encoding import GivenNest, encode_computation, encode_nests
from tvm_gnn_cost.graphs.graph_writer import GraphWriter
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.schema import SCHEMA_VERSION
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch

KEPT_COMPUTATIONS = 4096
"""So many computations are kept as the extension has them; then they are made anew."""


class Written(NamedTuple):
    """The graphs of the nests that make sense, and what is wrong with the first that makes none ("" if all do)."""

    built: BuiltGraphs
    first_error: str


class NativeGraphWriter:
    """Writes the graphs of one task's loop nests, many at once.

    Args:
        hardware: what the task is compiled for.
        native: the extension. Raises RuntimeError if it was built for another schema of features.
        n_threads: at most so many threads; 0: one a core.
    """

    def __init__(self, hardware: Hardware, native: ModuleType, n_threads: int = 0) -> None:
        self._native, self._n_threads = native, n_threads
        self._hardware = native_hardware(native, hardware)
        self._specification = GraphWriter(hardware)
        self._computations: dict[Computation, Any] = {}

    def write(self, nests: Sequence[GivenNest]) -> Written:
        """The graph of each nest that makes sense; `built.readable` is bool (number of nests,).

        Raises OverflowError for numbers that 64 bits do not hold, ValueError for a nest that has not one placement and
        one sequence of loops for each stage.
        """
        known: dict[int, Any] = {}  # by identity, while the nests live: to hash a computation takes long
        for nest in nests:
            if id(nest.computation) not in known:
                known[id(nest.computation)] = self._computation(nest.computation)
        computations = tuple(known[id(nest.computation)] for nest in nests)
        arrays, done, first_error = self._native.write_nests(
            self._hardware, computations, **encode_nests(nests), n_threads=self._n_threads
        )
        return Written(built_graphs(arrays, done.astype(bool)), first_error)

    def _computation(self, computation: Computation) -> Any:
        found = self._computations.get(computation)
        if found is None:
            if len(self._computations) >= KEPT_COMPUTATIONS:
                self._computations.clear()
            found = native_computation(self._native, computation, self._specification)
            self._computations[computation] = found
        return found


def native_hardware(native: ModuleType, hardware: Hardware) -> Any:
    """The hardware as the extension has it. Raises RuntimeError if that was built for another schema of features."""
    if native.SCHEMA_VERSION != SCHEMA_VERSION:
        raise RuntimeError(
            f"the extension module was built for schema {native.SCHEMA_VERSION} of the features, and this is "
            f"schema {SCHEMA_VERSION}: build it again"
        )
    return native.Hardware(
        is_gpu=hardware.is_gpu,
        cores=hardware.cores,
        simd_bytes=hardware.simd_bytes,
        cache_line_bytes=hardware.cache_line_bytes,
        warp_size=hardware.warp_size,
        cache_bytes=np.array(hardware.cache_bytes, np.float64),
        register_bytes=hardware.processor.register_bytes,
        max_threads=hardware.processor.max_threads,
        max_blocks=hardware.processor.max_blocks,
        register_file_bytes=hardware.processor.register_file_bytes,
        shared_bytes=hardware.processor.shared_bytes,
        features=hardware.features().astype(np.float32),
    )


def native_computation(native: ModuleType, computation: Computation, writer: GraphWriter) -> Any:
    """A computation as the extension has it; `writer` gives its static features."""
    return native.Computation(**computation_tables(computation, writer))


def computation_tables(computation: Computation, writer: GraphWriter) -> dict[str, NDArray[Any]]:
    """A computation as arrays, by the name that the native code gives them, with the static features that `writer`
    gives."""
    static_nodes, static_edges = writer.static_features(computation)
    return encode_computation(computation) | {
        "static_nodes": static_nodes.astype(np.float32).ravel(),
        "static_edges": static_edges.astype(np.float32).ravel(),
    }


def built_graphs(arrays: Sequence[NDArray[Any]], readable: NDArray[np.bool_]) -> BuiltGraphs:
    """The graphs from the arrays that the extension gives, and which candidates are `readable`."""
    *graphs, scored_nodes, resources, doubtful = arrays
    return BuiltGraphs(StageGraphBatch(*graphs), readable, scored_nodes, resources, doubtful)
