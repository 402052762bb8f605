"""The fast way from MetaSchedule's candidates to stage graphs: the specification in Python, its work in C++.

Programs are read and their features computed by `_native.TirExtractor`, where TVM has tvm-ffi (0.25 and later). What
the blocks compute is still read in Python, once for each block that turns up, and handed over. A candidate that
the extension does not understand, and every one where TVM has no tvm-ffi, is read in Python; its features are computed
in C++ all the same. The result equals that of `source.TIRSource` to the last bit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.graph_writer import GraphWriter
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.native_writer import (
    Extraction,
    NativeGraphWriter,
    Status,
    built_graphs,
    computation_tables,
    native_hardware,
)
from tvm_gnn_cost.meta_schedule.names import NAMES
from tvm_gnn_cost.meta_schedule.native.encoding import encode_program
from tvm_gnn_cost.meta_schedule.native.trust import Extension
from tvm_gnn_cost.meta_schedule.tir.operations import Origins
from tvm_gnn_cost.meta_schedule.tir.program import read_program
from tvm_gnn_cost.meta_schedule.tir.stages import read_stages

logger = logging.getLogger(__name__)

MOST_UNITS = 1 << 14
"""Different blocks that are kept of one task; past this it begins anew."""


class Task(Protocol):
    """What reads one task's candidates in Python: `source.TIRSource`."""

    hardware: Hardware
    writer: GraphWriter
    origins: Origins

    def loop_nest(self, candidate: Any) -> LoopNest:
        """The loop nest of a candidate, or of a PrimFunc. Raises what reading it raises."""


Failures = list[tuple[int, Exception]]
"""Candidates that cannot be read, by position, and why."""


class NativeBuilder:
    """Builds the stage graphs of one task's candidates.

    Args:
        extension: what may be used here (`trust.usable_extension`).
        task: reads in Python what the extension does not.
        n_threads: at most so many threads; 0: one a core.

    Raises RuntimeError if the extension was built for another schema of features.
    """

    def __init__(self, extension: Extension, task: Task, n_threads: int = 0) -> None:
        self._native, self._tvm = extension.native, extension.tvm
        self._task, self._n_threads = task, n_threads
        self._writer = NativeGraphWriter(task.hardware, self._native, n_threads)
        self._hardware = native_hardware(self._native, task.hardware)
        self._extractor = self._new_extractor()

    @property
    def num_units(self) -> int:
        """How many different blocks and inputs Python has read for the extension."""
        return 0 if self._extractor is None else int(self._extractor.num_units)

    def build(self, functions: Sequence[Any]) -> tuple[BuiltGraphs, Failures]:
        """The graphs of PrimFuncs, and those that cannot be read; None stands for what is no function, and is none of
        them."""
        native = self.build_natively(functions)
        rest = [i for i in np.flatnonzero(~native.readable).tolist() if functions[i] is not None]
        if not rest:
            return native, []
        python, failures = self._build_in_python(functions, rest)
        return merged(native, python), failures

    def build_natively(self, functions: Sequence[Any]) -> BuiltGraphs:
        """The graphs of those that the extension reads itself."""
        if self._extractor is None:
            return BuiltGraphs.unreadable(len(functions))
        if self.num_units > MOST_UNITS:
            self._extractor = self._new_extractor()
        addresses = np.array([0 if f is None else NAMES.address(f) for f in functions], np.uint64)
        found = Extraction(*self._extractor.extract(addresses, self._n_threads))
        while len(found.unregistered) and self._register([functions[i] for i in np.unique(found.unregistered)]):
            found = Extraction(*self._extractor.extract(addresses, self._n_threads))
        if found.first_error:
            logger.debug("some candidates are read through Python; the first since: %s", found.first_error)
        return built_graphs(found.graphs, found.status == Status.DONE)

    def _new_extractor(self) -> Any:
        return None if self._tvm is None else self._native.TirExtractor(self._tvm, self._hardware)

    def _register(self, representatives: Sequence[Any]) -> bool:
        """Reads what the blocks of these functions compute and hands it over. Returns whether any was new."""
        before = self.num_units
        for function in representatives:
            address = np.array([NAMES.address(function)], np.uint64)
            status = Extraction(*self._extractor.extract(address, 1)).status[0]
            if status != Status.NOT_REGISTERED:  # another has the blocks that were unknown
                continue
            try:
                stages = read_stages(read_program(function), self._task.origins)  # of this very function
                tables = computation_tables(stages.computation, self._task.writer)
                del tables["evaluations"], tables["evaluated"]  # nothing is inlined
                self._extractor.register_program(int(address[0]), **encode_program(stages), **tables)
            except Exception as error:  # Python says why, of each candidate that has these blocks
                logger.debug("a program cannot be read: %r", error)
        return self.num_units > before

    def _build_in_python(self, functions: Sequence[Any], rest: Sequence[int]) -> tuple[BuiltGraphs, Failures]:
        """The graphs of the functions of these positions (`readable` is of all of them), read in Python."""
        nests: dict[int, LoopNest] = {}
        failures: Failures = []
        for i in rest:
            try:
                nests[i] = self._task.loop_nest(functions[i])
            except Exception as error:  # one bad candidate must not end the search
                failures.append((i, error))
        readable = np.zeros(len(functions), bool)
        built = self._write(nests, failures)
        readable[np.array(list(nests), np.int64)[built.readable]] = True
        failures.sort(key=lambda failure: failure[0])
        return BuiltGraphs(built.graphs, readable, built.scored_nodes, built.resources, built.doubtful), failures

    def _write(self, nests: dict[int, LoopNest], failures: Failures) -> BuiltGraphs:
        """The graphs of the nests that make sense; of the others Python says what is wrong."""
        try:
            built = self._writer.write(list(nests.values())).built
        except (ValueError, OverflowError) as error:
            logger.debug("features are computed in Python: %r", error)
            built = BuiltGraphs.unreadable(len(nests))
        if built.readable.all():
            return built
        parts = [BuiltGraphs.unreadable(0)]
        for i, nest in nests.items():
            try:
                parts.append(self._task.writer.built(nest))
            except Exception as error:
                failures.append((i, error))
                parts.append(BuiltGraphs.unreadable(1))
        return BuiltGraphs.of(parts)


def merged(a: BuiltGraphs, b: BuiltGraphs) -> BuiltGraphs:
    """The graphs of the same candidates, of which each is readable in `a`, in `b`, or in neither."""
    both = BuiltGraphs.of([a, b])
    positions = np.concatenate([np.flatnonzero(a.readable), np.flatnonzero(b.readable)])
    return both.select(np.argsort(positions, kind="stable"), a.readable | b.readable)
