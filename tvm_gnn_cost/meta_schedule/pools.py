"""Pools: the measured candidates of one task, as MetaSchedule's and as stage graphs, read from databases."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.source import StageGraphSource
from tvm_gnn_cost.meta_schedule.database import DatabaseRecords, RecordedCandidate, read_database
from tvm_gnn_cost.meta_schedule.source import make_source, primitive_function, target_text
from tvm_gnn_cost.meta_schedule.tir.program import read_program
from tvm_gnn_cost.meta_schedule.workload_names import WorkloadNames, module_hash, unnamed_workload
from tvm_gnn_cost.records.logs import log_stem
from tvm_gnn_cost.records.pool import Pool
from tvm_gnn_cost.records.saved_tasks import SavedTask
from tvm_gnn_cost.records.task import META_SCHEDULE
from tvm_gnn_cost.workloads import PREFIX, canonical_key


@dataclass(frozen=True)
class MeasuredCandidates:
    """The records of one task as MetaSchedule has them.

    Attributes:
        name: see `Pool`.
        module: the IRModule that was to be scheduled.
        target: TVM's Target.
        known: what the module is called; None where nobody has said.
        records: of the task.
    """

    name: str
    module: Any
    target: Any
    known: SavedTask | None
    records: tuple[RecordedCandidate, ...]

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def source(self) -> StageGraphSource:
        """Makes the graphs of the task's candidates."""
        source: StageGraphSource = make_source(self.module, self.target)
        return source

    @property
    def candidates(self) -> list[Any]:
        return [record.candidate for record in self.records]

    @property
    def latency(self) -> NDArray[np.float64]:
        """float64 (n,), seconds; inf: failed."""
        return np.array([record.latency for record in self.records], dtype=np.float64)

    @property
    def workload(self) -> str:
        """What is computed, as in `Pool`."""
        return unnamed_workload(self.module) if self.known is None else canonical_key(self.known.workload_key)

    @property
    def digest(self) -> str:
        """Of the records."""
        text = "\n".join([module_hash(self.module), *(record.digest for record in self.records)])
        return hashlib.sha256(text.encode()).hexdigest()

    def pool(self) -> tuple[Pool, NDArray[np.bool_]]:
        """As stage graphs; and bool (n,), which of the candidates they are: those that could be read."""
        built = self.source.build(self.candidates)
        kept = built.readable
        target = target_text(self.target)
        pool = Pool(
            self.name,
            built.graphs,
            self.latency[kept],
            # A named workload is known by its name in every release, as the hash of a module is not.
            self.source.key if self.known is None else json.dumps([self.workload, target, META_SCHEDULE]),
            max(1.0, self.source.flop),
            self.workload,
            operator_name(self.module, self.known),
            target,
            tuple(np.array(r.readings, np.float64) for r, ok in zip(self.records, kept, strict=True) if ok),
            self.source.hardware.is_gpu,
            META_SCHEDULE,
        )
        return pool, kept


def read_candidates(path: Path) -> Iterator[MeasuredCandidates]:
    """The records of each task of a database. Raises what `read_database` raises."""
    yield from candidates_by_task(path, read_database(path), WorkloadNames(path))


def candidates_by_task(path: Path, found: DatabaseRecords, names: WorkloadNames) -> Iterator[MeasuredCandidates]:
    """The records of each task of a database, or of a chunk of it; `path` gives the name."""
    by_task: dict[tuple[str, str], list[RecordedCandidate]] = {}
    hashes: dict[int, str] = {}  # by line: it takes time
    for record in found.records:
        line = record.workload.line
        if line not in hashes:
            hashes[line] = module_hash(record.workload.module)
        by_task.setdefault((hashes[line], target_text(record.target)), []).append(record)
    modules = [records[0].workload.module for records in by_task.values()]
    known = [names.of(module) for module in modules]
    targets = [target for _, target in by_task]
    called = _names(log_stem(path), modules, known, targets)
    for name, module, task, records in zip(called, modules, known, by_task.values(), strict=True):
        yield MeasuredCandidates(name, module, records[0].target, task, tuple(records))


def operator_name(module: Any, known: SavedTask | None) -> str:
    """What a task computes, without its shape: the name of its function, or those of its blocks."""
    if known is not None:
        try:
            return str(json.loads(known.workload_key)[0]).removeprefix(PREFIX)
        except (ValueError, IndexError, KeyError, TypeError):
            return known.name
    return "+".join(_block_names(module)) or "main"


def _block_names(module: Any) -> list[str]:
    """Of what a module computes, in order and without numbers: `T_matmul`, `T_add`."""
    program = read_program(primitive_function(module))
    return [re.sub(r"[._]?\d+$", "", str(around.block.name_hint)) for around in program.blocks]


def _names(stem: str, modules: Sequence[Any], known: Sequence[SavedTask | None], targets: Sequence[str]) -> list[str]:
    """A name for each task of a database: no more in it than tells them apart."""
    if len(modules) == 1:
        return [stem]
    names = [
        operator_name(module, None) if task is None else task.name for module, task in zip(modules, known, strict=True)
    ]
    for more in (lambda i: module_hash(modules[i])[-8:], lambda i: targets[i]):
        often = Counter(names)
        names = [f"{name} ({more(i)})" if often[name] > 1 else name for i, name in enumerate(names)]
    return [f"{stem}: {name}" for name in names]
