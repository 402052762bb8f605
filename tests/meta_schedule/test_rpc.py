"""Measuring MetaSchedule's candidates on an RPC server of this machine."""

from __future__ import annotations

from pathlib import Path

from tvm_gnn_cost.meta_schedule.database import read_database
from tvm_gnn_cost.meta_schedule.stock import random_model
from tvm_gnn_cost.meta_schedule.tasks import make_task
from tvm_gnn_cost.meta_schedule.tuning import tune_modules
from tvm_gnn_cost.records.tuning_run import MeasureOptions, TuneOptions
from tvm_gnn_cost.testing.rpc_rig import Rig


def test_a_server_measures(one: Rig, tmp_path: Path) -> None:
    measure = MeasureOptions(repeat=1, min_repeat_ms=1, build_timeout_s=60, tracker=one.tracker)
    task = make_task("matmul", (32, 32, 32))
    result = tune_modules([task], random_model(), tmp_path, TuneOptions(4, 4, measure), population=16)
    assert [trial.error_no for trial in result.trials] == [0] * 4
    assert len(read_database(tmp_path)) == 4
