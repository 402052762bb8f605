"""A task's candidates as stage graphs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meta_schedule.programs import CPU, PROGRAMS, matmul

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.testing.candidates import sample_candidates

FLOP = {"matmul": 64 * 64 * (2 * 128 + 1), "conv": 14 * 14 * 16 * (2 * 9 * 16 + 2), "softmax": 64 * 64 * 5}


@pytest.fixture(scope="module")
def sampled() -> dict[str, list[Any]]:
    return {name: sample_candidates(program(), CPU, 16) for name, program in PROGRAMS.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_candidates_become_graphs(sampled: dict[str, list[Any]], name: str) -> None:
    source = make_source(PROGRAMS[name](), CPU)
    built = source.build(sampled[name])
    assert len(sampled[name]) == 16 and built.readable.all() and source.can_run(sampled[name], built).all()
    assert np.isfinite(built.graphs.node_features).all() and np.isfinite(built.graphs.edge_features).all()
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


def test_a_module_of_no_functions_is_no_task() -> None:
    with pytest.raises(InvalidArgumentError, match="no PrimFunc"):
        make_source("nothing", CPU)
