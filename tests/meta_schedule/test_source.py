"""A task's candidates as stage graphs."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meta_schedule.programs import CPU, GPU, NAMES, PROGRAMS, conv, matmul
from tvm import te

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.testing.tir_checks import check_candidates
from tvm_gnn_cost.workloads import find_workload

FLOP = {"matmul": 64 * 64 * (2 * 128 + 1), "conv": 14 * 14 * 16 * (2 * 9 * 16 + 2), "softmax": 64 * 64 * 5}


CASES = {
    **{name: (program(), CPU) for name, program in PROGRAMS.items()},
    "random program": (te.create_prim_func(find_workload("random_program", (8, 8)).tensors()), CPU),
    "packed weights": (te.create_prim_func(find_workload("dense_relu", (64, 128, 64)).tensors()), CPU),
    "conv on a GPU": (conv(28, 32), GPU),
    "tensor cores": (matmul(128, 128, 64, "float16"), GPU),
}


@cache
def sampled(name: str) -> list[Any]:
    """Candidates of a case, made once: the first of a process take seconds."""
    return sample_candidates(*CASES[name], 8)


@pytest.mark.parametrize("name", CASES)
def test_candidates_become_graphs(name: str) -> None:
    source = make_source(*CASES[name])
    built = source.build(sampled(name))
    assert len(sampled(name)) == 8 and built.readable.all() and source.can_run(sampled(name), built).all()
    assert np.isfinite(built.graphs.node_features).all() and np.isfinite(built.graphs.edge_features).all()


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_runs(name: str) -> None:
    checked = check_candidates(make_source(*CASES[name]), sampled(name))
    assert not checked.faults
    assert checked.counts["candidates"] == 8 and checked.counts["regions"] > 40
    assert (checked.counts["called"] > 0) == (name == "tensor cores")
    assert checked.counts["estimated"] < checked.counts["regions"]


@pytest.mark.parametrize("name", FLOP)
def test_the_work_of_a_task_is_counted(name: str) -> None:
    source = make_source(*CASES[name])
    assert source.flop == FLOP[name] and source.hardware.cores == 4


def test_the_key_is_the_same_in_every_process() -> None:
    code = (
        "from meta_schedule.programs import CPU, matmul; from tvm_gnn_cost.meta_schedule.source import make_source;"
        "print(make_source(matmul(), CPU).key)"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert there.stdout.split()[-1] == make_source(matmul(), CPU).key


def test_what_tvm_notes_of_a_function_does_not_change_the_key() -> None:
    key = make_source(matmul(), CPU).key
    assert make_source(matmul().with_attr("global_symbol", "main").with_attr("op_pattern", 4), CPU).key == key
    assert make_source(matmul().without_attr(f"{NAMES.tir.__name__.rpartition('.')[2]}.noalias"), CPU).key == key
    assert make_source(matmul().with_attr("layout_free_buffers", [1]), CPU).key != key
    assert make_source(matmul(32), CPU).key != key and make_source(matmul(), GPU).key != key


def test_a_module_of_no_functions_is_no_task() -> None:
    with pytest.raises(InvalidArgumentError, match="no PrimFunc"):
        make_source("nothing", CPU)


def test_a_weight_comes_in_the_layout_that_the_schedule_asks_for() -> None:
    source = make_source(*CASES["packed weights"])
    packed = 0
    for candidate in sampled("packed weights"):
        stages = source.loop_nest(candidate).computation.stages
        inputs = [stage for stage in stages if stage.is_placeholder]
        assert len(inputs) == 2, "the input and the weight"
        assert not any(stage.name.startswith("w") for stage in stages if stage.runs), "a build removes what packs it"
        packed += any(len(stage.axis_extents) > 2 for stage in inputs)
    assert packed
