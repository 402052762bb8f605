"""A tiny workload, how its pools are collected, and what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.collection import CollectOptions, Workload
from tvm_gnn_cost.records.tuning_run import MeasureOptions

MEASURE = MeasureOptions(repeat=3, min_repeat_ms=1, number=1, build_timeout_s=30, run_timeout_s=10)
FLAGS = ["--repeat", "3", "--min-repeat-ms", "1", "--build-timeout", "30", "--batch", "6", "--population", "16"]
FLAGS += ["--wait-quiet", "0"]
NAME = "matmul-32x32x32"


def options(trials: int, **changes: Any) -> CollectOptions:
    settings: dict[str, Any] = {"batch": 6, "population": 16, "measure": MEASURE, "wait_quiet_s": 0.0}
    return CollectOptions(trials, **settings | changes)


def matmul() -> Workload:
    return Workload(NAME, "matmul 32 32 32", make_task("matmul", (32, 32, 32)))


def schedules(path: Path) -> list[str]:
    """The steps of each record; TVM's own reader must take the log as well."""
    lines = path.read_text().splitlines()
    assert len(RecordReader(str(path)).read_lines()[0]) == len(lines)
    return [json.dumps(json.loads(line)["i"][1]) for line in lines]


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "about" / f"{NAME}.json").read_text())  # type: ignore[no-any-return]
