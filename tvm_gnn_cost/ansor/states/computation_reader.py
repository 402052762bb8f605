"""Reads what the stages of a task's schedules compute from TVM's expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_gnn_cost.ansor.states.reader import rebuild
from tvm_gnn_cost.ansor.states.rfactor import RfactorFamily
from tvm_gnn_cost.ansor.states.schedule import Structure
from tvm_gnn_cost.ansor.states.te_reader import address, read_operation
from tvm_gnn_cost.graphs.computation import Computation, analyse
from tvm_gnn_cost.graphs.operation import Operation, OperationKey, operation_keys

Inserts = tuple[tuple[int, ...], ...]
"""The stages that a schedule inserts: `Structure.inserts`."""


class ComputationReader:
    """Reads the computations of one task, each once.

    Operations are cached by everything that may change them (inserted stages; the factors of an rfactor), so that a
    new combination of rfactor extents or inlined stages costs no visit to TVM's expressions. Nor does a new extent once
    a few of its family were read.
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        self._keys: dict[Inserts, list[OperationKey]] = {}
        self._operations: dict[tuple[Inserts, OperationKey, tuple[int, ...]], Operation] = {}
        self._families: dict[tuple[Inserts, OperationKey], RfactorFamily] = {}
        self._computations: dict[Structure, Computation] = {}

    def read(self, structure: Structure, state: Any) -> Computation:
        """The computation of the schedules with this structure; `state` is any `StateObject` that has it."""
        computation = self._computations.get(structure)
        if computation is None:
            if structure.inserts not in self._keys:
                self._keys[structure.inserts] = operation_keys([stage.op.name for stage in state.stages])
            keys = self._keys[structure.inserts]
            known = [self._find(structure, i, key) for i, key in enumerate(keys)]
            operations = [operation for operation in known if operation is not None]
            if len(operations) < len(keys):
                operations = self._read_operations(structure, keys, state)
            computation = analyse(keys, operations, structure.inlined)
            self._computations[structure] = computation
        return computation

    def _find(self, structure: Structure, i: int, key: OperationKey) -> Operation | None:
        rfactor = structure.rfactors[i]
        operation = self._operations.get((structure.inserts, key, rfactor))
        family = self._families.get((structure.inserts, key))
        if operation is None and family is not None and len(rfactor) == 1:
            operation = family.get(rfactor[0])
            if operation is not None:
                self._operations[structure.inserts, key, rfactor] = operation
        return operation

    def _read_operations(self, structure: Structure, keys: Sequence[OperationKey], state: Any) -> list[Operation]:
        """The operations of all stages; those that are not known are read."""
        stages = self._with_operations(structure, state).stages
        by_address = {address(stage.op): key for stage, key in zip(stages, keys, strict=True)}
        operations = []
        for key, rfactor, stage in zip(keys, structure.rfactors, stages, strict=True):
            where = (structure.inserts, key, rfactor)
            if where not in self._operations:
                self._operations[where] = read_operation(stage, by_address)
                if len(rfactor) == 1:
                    family = self._families.setdefault((structure.inserts, key), RfactorFamily())
                    family.add(rfactor[0], self._operations[where])
            operations.append(self._operations[where])
        return operations

    def _with_operations(self, structure: Structure, state: Any) -> Any:
        """The state, its operations built anew where stages were inserted (see `rebuild`).

        That passes through a record, which holds no extent beyond 32 bits: then the state has to do, if it can.
        """
        if not structure.inserts:
            return state
        try:
            return rebuild(self._task, state)
        except Exception:
            if any(structure.rfactors):
                raise
            return state
