"""Small databases of MetaSchedule, with candidates of a real search space and made-up times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tvm import IRModule, te
from tvm.target import Target

from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.records.databases import FAILED_S
from tvm_gnn_cost.testing.candidates import sample_candidates

COUNT = 6
"""Records of a function."""

TARGET = {"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 2}


def matmul(n: int) -> Any:
    """(n, n) = (n, n) x (n, n), and one is added."""
    a, b = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    c = te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return te.create_prim_func([a, b, te.compute((n, n), lambda i, j: c[i, j] + 1.0, name="D")])


def write_database(
    folder: Path, functions: Sequence[Any], count: int = COUNT, failed: Sequence[int] = (3,)
) -> list[tuple[IRModule, list[Any]]]:
    """A database of `count` records for each function, 1, 2, 3, ... ms; the `failed` ones did not run.

    Returns: the module and the candidates of each, as the search had them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = ms.database.JSONDatabase(work_dir=str(folder))
    made = []
    for function in functions:
        module = ms.TuneContext(mod=function).mod
        candidates = sample_candidates(module, Target(TARGET), count)
        workload = database.commit_workload(module)
        for i, candidate in enumerate(candidates):
            seconds = [FAILED_S] if i in failed else [1e-3 * (i + 1), 1e-3 * (i + 1.25)]
            database.commit_tuning_record(
                ms.database.TuningRecord(candidate.sch.trace, workload, seconds, Target(TARGET), candidate.args_info)
            )
        made.append((module, candidates))
    return made


def latencies(count: int = COUNT, failed: Sequence[int] = (3,)) -> list[float]:
    """Those of one function's records, in seconds."""
    return [np.inf if i in failed else 1e-3 * (i + 1) for i in range(count)]
