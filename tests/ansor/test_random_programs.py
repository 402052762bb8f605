"""Random programs: what a seed means stays, programs are varied, sane and apart from those kept for testing; and what
must hold of every program holds of some of them (`benchmarks/random_programs.py` tries thousands)."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import signal
import sys
import time
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import auto_scheduler, te, tir

from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.testing import program_checks
from tvm_gnn_cost.testing.program_checks import Checked, check_task
from tvm_gnn_cost.testing.schedules import GPU_HARDWARE
from tvm_gnn_cost.workloads.random_programs.draws import Draws, logarithm, power
from tvm_gnn_cost.workloads.random_programs.kept_apart import KEPT_APART
from tvm_gnn_cost.workloads.random_programs.program import SIZES, draw, random_program
from tvm_gnn_cost.workloads.random_programs.sketch import (
    MAX_RANK,
    MAX_STAGES,
    MAX_TENSOR_BYTES,
    MAX_TENSOR_ELEMENTS,
    Stage,
    build,
)
from tvm_gnn_cost.workloads.random_programs.structure import skeleton, structure

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TARGETS = {"llvm": "llvm -mcpu=core-avx2 -num-cores=2", "cuda": "cuda -arch=sm_70"}
LLVM_SEEDS = (1, 3, 6, 12, 17, 20, 28, 37, 40, 41)
CUDA_SEEDS = (3, 7, 28, 34)
SEED_KEPT_APART = 203
"""Its first program is one of those that are kept for testing."""


def stages(outputs: list[Stage]) -> list[Stage]:
    found: dict[int, Stage] = {}

    def visit(stage: Stage) -> None:
        if id(stage) not in found:
            found[id(stage)] = stage
            for value in stage.reads:
                visit(value.stage)

    for stage in outputs:
        visit(stage)
    return list(found.values())


def benchmark(name: str) -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


def task_of(seed: int, size: int, target: str) -> Any:
    return make_task("random_program", (seed, size), TARGETS[target], None if target == "llvm" else GPU_HARDWARE)


# --- what is drawn ---


def test_a_seed_means_the_same_for_good() -> None:
    """Whoever has to change this digest changes what logs mean: raise the version instead."""
    text = []
    for seed in range(1, 41):
        tensors = random_program(seed, 8 + seed % 20)
        text.append(f"{auto_scheduler.ComputeDAG(tensors)} {[t.dtype for t in tensors]} {structure(tensors)}")
    assert hashlib.sha256("\n".join(text).encode()).hexdigest()[:16] == "f11636c9e912ee94"


def test_a_log_rebuilds_the_program() -> None:
    task = task_of(17, 14, "llvm")
    assert json.loads(task.workload_key) == ["tvm_gnn_cost.random_program", 17, 14, 1]
    again = auto_scheduler.SearchTask(workload_key=task.workload_key, target=TARGETS["llvm"])
    assert str(again.compute_dag) == str(task.compute_dag)


def test_programs_are_as_large_as_asked_and_no_larger() -> None:
    """To two bits where the program allows it."""
    near = 0
    for seed in range(1, 121):
        size = list(SIZES)[seed % len(SIZES)]
        outputs = draw(seed, size)
        parts = stages(outputs)
        work = sum(stage.work for stage in parts)
        assert 1 <= sum(stage.body is not None for stage in parts) <= MAX_STAGES and 1 <= len(outputs) <= 3
        assert work <= 2 << size
        near += work >= 1 << max(0, size - 2)
        for stage in parts:
            assert len(stage.shape) <= MAX_RANK and 1 <= prod(stage.shape) <= MAX_TENSOR_ELEMENTS
            assert prod(stage.shape) * max(np.dtype(dtype).itemsize for dtype in stage.dtypes) <= MAX_TENSOR_BYTES
    assert near > 80


def test_programs_are_varied() -> None:
    programs = [build(draw(seed, 12)) for seed in range(1, 151)]
    assert len({structure(tensors) for tensors in programs}) > 145
    kinds = {tensor.op.name.rpartition("_")[0] for tensors in programs for tensor in everything(tensors)}
    wanted = "contract convolve pool stencil reduce pair map combine select cast transpose merge slice pad concatenate"
    assert set((wanted + " gather resample cumulate triangle band adapt ragged share product").split()) <= kinds
    dtypes = {tensor.dtype for tensors in programs for tensor in everything(tensors)}
    assert {"float32", "float16", "float64", "int8", "int32", "bool"} <= dtypes
    assert any(len(readers(tensors)) > 1 for tensors in programs)


def everything(tensors: list[te.Tensor]) -> list[te.Tensor]:
    return [op.output(0) for op in auto_scheduler.ComputeDAG(tensors).ops]


def readers(tensors: list[te.Tensor]) -> list[Any]:
    """The stages whose result more than one stage reads."""
    operations = auto_scheduler.ComputeDAG(tensors).ops
    read = [t.op for op in operations for t in op.input_tensors if isinstance(t.op, te.ComputeOp)]
    return [op for op in operations if sum(op == other for other in read) > 1]


def test_no_program_is_one_of_those_kept_for_testing() -> None:
    assert skeleton(build(draw(SEED_KEPT_APART, 12))) in KEPT_APART
    assert skeleton(random_program(SEED_KEPT_APART, 12)) not in KEPT_APART
    assert all(skeleton(random_program(seed, 10)) not in KEPT_APART for seed in range(1, 61))


def test_all_that_is_kept_for_testing_is_known() -> None:
    """Where a split keeps more, its skeletons belong to a new version."""
    assert set(benchmark("generate_kept_apart").kept_skeletons()) == KEPT_APART


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 99), "6 to 32, not 99"),
        ((1, 12, 2), "version 2 is not known here"),
        ((0, 12), "too small"),
        ((1,), "seed size"),
    ],
)
def test_arguments_that_mean_nothing(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        make_task("random_program", arguments, TARGETS["llvm"])


def test_logarithms_are_those_of_powers() -> None:
    assert [power(16 * n) for n in range(12)] == [1 << n for n in range(12)]
    assert all(abs(logarithm(power(n)) - n) <= 1 for n in range(64, 500))
    assert power(-5) == 1 and logarithm(1) == 0


def test_choices_do_not_depend_on_what_was_chosen_elsewhere() -> None:
    first, second = Draws(7), Draws(7)
    assert [first.below(1000) for _ in range(20)] == [second.below(1000) for _ in range(20)]
    assert [Draws(7, 1).below(1000) for _ in range(5)] != [Draws(7).below(1000) for _ in range(5)]
    assert sorted(first.shuffled(range(9))) == list(range(9)) and first.subset("abc", 3) == ["a", "b", "c"]


# --- structure and skeleton ---


def product(
    n: int, term: Any = lambda a, b: a * b, transposed: bool = False, dtype: str = "float32"
) -> list[te.Tensor]:
    a, b = te.placeholder((n, n), dtype, "a"), te.placeholder((n, n), dtype, "b")
    k = te.reduce_axis((0, n))
    out = te.compute((n, n), lambda i, j: te.sum(term(a[i, k], b[j, k] if transposed else b[k, j]), axis=k))
    return [a, b, out]


def test_structure_tells_all_but_sizes_apart() -> None:
    assert structure(product(8)) == structure(product(99))
    others = [product(8, transposed=True), product(8, dtype="float64"), product(8, lambda a, b: a + b)]
    assert len({structure(tensors) for tensors in [product(8), *others]}) == 4


def test_a_skeleton_is_of_axes_alone() -> None:
    alike = [product(99), product(8, dtype="float64"), product(8, lambda a, b: tir.abs(b - a))]
    assert {skeleton(tensors) for tensors in alike} == {skeleton(product(8))}
    assert skeleton(product(8, transposed=True)) != skeleton(product(8))


# --- what must hold of every program ---


@pytest.mark.parametrize("seed", LLVM_SEEDS)
def test_every_property_on_a_cpu(seed: int) -> None:
    checked = check_task(task_of(seed, 10 + seed % 5, "llvm"), states=4, builds=1)
    assert not checked.faults and not checked.unscheduled
    assert checked.phase == "done" and 3 <= checked.states <= 4 and checked.found and checked.judged


@pytest.mark.parametrize("seed", CUDA_SEEDS)
def test_every_property_on_a_gpu(seed: int) -> None:
    checked = check_task(task_of(seed, 10 + seed % 5, "cuda"), states=4, builds=0)
    assert not checked.faults and not checked.unscheduled
    assert checked.phase == "done" and 3 <= checked.judged == checked.states


def test_a_broken_property_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(LLVM_SEEDS[0], 10, "llvm")
    monkeypatch.setattr(program_checks, "builds_on_cpu", lambda *_: False)
    monkeypatch.setattr(program_checks, "loop_difference", lambda *_: "another loop")
    monkeypatch.setattr(program_checks, "graph_difference", lambda *_: "another number")
    checked = check_task(task, states=4, builds=2)
    assert checked.broken == {"loops": 4, "native": 1, "accepted wrongly": 2}
    assert [name for name, _ in checked.faults] == ["loops", "native", "accepted wrongly"]


def test_a_program_that_hangs_or_dies_is_a_line_of_the_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found again in the file, it is not tried again; other programs are."""
    programs = benchmark("random_programs")

    def check(task: Any, states: int, builds: int, seed: int, report: Any) -> Checked:
        checked = Checked(phase="search")
        report(checked)
        number = json.loads(task.workload_key)[1]
        if number == 1:
            time.sleep(60)
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return Checked(phase="done", states=3)

    monkeypatch.setattr(programs, "check_task", check)
    output = tmp_path / "rows.json"
    options = ["--targets", "llvm", "--sizes", "8", "--limit", "3", "--output", str(output)]
    assert programs.main(["--programs", "2", *options]) == 1
    assert programs.main(["--programs", "3", *options]) == 1
    stored = json.loads(output.read_text())
    assert [row["ended"] for row in stored["rows"]] == ["hang in search", "death in search (-9)", "done"]
    assert stored["counts"]["llvm"]["states"] == 3
    assert capsys.readouterr().out.count("random_program 1 8 on llvm: hang in search") == 1
