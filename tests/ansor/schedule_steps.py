"""Tasks for one target, and the steps of their schedules."""

from __future__ import annotations

import json
from typing import Any

from tvm import auto_scheduler

from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.testing.schedules import measured

TARGET = "llvm -num-cores=2"


def task_of(name: str, *args: int) -> Any:
    return make_task(name, args, TARGET)


def steps_of(task: Any, state: Any) -> list[list[Any]]:
    inputs, results = measured(task, [state], [1.0])
    record = auto_scheduler.measure_record.dump_record_to_string(inputs[0], results[0])
    return list(json.loads(record)["i"][1][1])
