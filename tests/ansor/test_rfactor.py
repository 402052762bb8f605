"""Operations made by rfactor are derived from a few that were read, and equal what TVM would have given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tvm import auto_scheduler, te

from tvm_gnn_cost.ansor.states import computation_reader
from tvm_gnn_cost.ansor.states.computation_reader import ComputationReader
from tvm_gnn_cost.ansor.states.reader import read_schedule, state_object
from tvm_gnn_cost.ansor.states.rfactor import RfactorFamily
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.operation import Operation
from tvm_gnn_cost.testing.schedules import make_task, sample_states


def rows_task() -> Any:
    """Sums over rows of 2 x 1440: a fused reduction with many divisors, behind a map that is inlined."""

    def sums(n: int, a: int, b: int) -> list[Any]:
        x = te.placeholder((n, a, b), name="x")
        twice = te.compute((n, a, b), lambda i, j, k: x[i, j, k] * 2.0, name="twice")
        j, k = te.reduce_axis((0, a), name="j"), te.reduce_axis((0, b), name="k")
        return [x, te.compute((n,), lambda i: te.sum(twice[i, j, k], axis=[j, k]), name="sums")]

    auto_scheduler.register_workload("test_rfactor_sums", f=sums, override=True)
    return auto_scheduler.SearchTask(func="test_rfactor_sums", args=(4, 2, 1440), target="llvm")


@pytest.mark.parametrize("name", ["norm", "softmax", "sums"])
def test_derived_operations_equal_read_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = rows_task() if name == "sums" else make_task(name)
    reads = 0
    read_operation = computation_reader.read_operation

    def counting(*args: Any) -> Operation:
        nonlocal reads
        reads += 1
        return read_operation(*args)

    monkeypatch.setattr(computation_reader, "read_operation", counting)
    reader, seen = ComputationReader(task), {}
    for state in sample_states(task, 200):
        structure = read_schedule(task, state).structure()
        seen.setdefault(structure, state_object(state))
    derived = {structure: reader.read(structure, state) for structure, state in seen.items()}
    reads_with_families, reads = reads, 0
    for structure, state in seen.items():
        assert ComputationReader(task).read(structure, state) == derived[structure], structure
    assert len(seen) > 10
    assert reads_with_families < reads / 2


def operation(factor: int, total: int = 64) -> Operation:
    """Something with the numbers of an rfactor stage: `factor` parts of a reduction over `total`."""
    index = Node("Add", None, (Node("Mul", None, (Node("Var", "k"), Node("Const", float(factor)))), Node("Var", "r")))
    load = Node("Load", ("x", 0), (index,))
    return Operation(
        "s.rf", False, ("r", "k"), (factor,), (total // factor,), (load,), 4, True, False, (1.0,) + (0.0,) * 7
    )  # fmt: skip


def test_a_family_is_believed_after_three() -> None:
    family = RfactorFamily()
    family.add(2, operation(2))
    family.add(8, operation(8))
    assert family.get(16) is None
    family.add(4, operation(4))
    assert family.get(16) == operation(16)


def test_what_no_factor_explains_is_read() -> None:
    family = RfactorFamily()
    for factor in (2, 4, 8, 16):
        family.add(factor, replace(operation(factor), axis_extents=(factor + 1,)))
    assert family.get(32) is None


def test_one_that_differs_does_not_spoil_the_others() -> None:
    family = RfactorFamily()
    family.add(2, replace(operation(2), counts=(9.0,) * 8))
    for factor in (4, 8, 16):
        family.add(factor, operation(factor))
    assert family.get(32) == operation(32)


def test_factors_that_do_not_divide_or_leave_one_are_read() -> None:
    family = RfactorFamily()
    for factor in (2, 4, 8):
        family.add(factor, operation(factor))
    assert family.get(3) is None
    assert family.get(64) is None
