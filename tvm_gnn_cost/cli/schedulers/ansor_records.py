"""A record of auto_scheduler's log, to be shown."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.inspection import inspect_state
from tvm_gnn_cost.ansor.measurements import result_latency
from tvm_gnn_cost.ansor.record_log import RecordLog, read_records, recover
from tvm_gnn_cost.ansor.states.work import count_flop
from tvm_gnn_cost.ansor.task_identity import TaskIdentities
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.cli.task_choice import choose_task
from tvm_gnn_cost.errors import RecordError, TVMGNNCostError
from tvm_gnn_cost.records.saved_tasks import task_names
from tvm_gnn_cost.records.task import TaskIdentity
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.workloads import describe as describe_workload

if TYPE_CHECKING:
    from tvm_gnn_cost.ansor.cost_model import GNNCostModel
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView


logger = logging.getLogger("tvm_gnn_cost")


def recorded_view(path: str, line: int | None, task: str | None, model: GNNCostModel) -> ScheduleView:
    """The record of a line, or the fastest of a task."""
    register_all()
    log = read_records(path)
    names = task_names(path)
    index = _best_index(path, log, task, names) if line is None else _line_index(path, log, line)
    return _view(path, log, index, names, model)


def best_views(path: str, model: GNNCostModel) -> list[ScheduleView]:
    """The fastest record of each task; those that cannot be read are reported and left out."""
    register_all()
    log = read_records(path)
    names = task_names(path)
    views = []
    for index in _best_of_each(log):
        try:
            views.append(_view(path, log, index, names, model))
        except TVMGNNCostError as error:
            logger.warning("%s, line %d is not shown: %s", path, log.lines[index], error)
    return views


def _view(path: str, log: RecordLog, index: int, names: Mapping[str, str], model: GNNCostModel) -> ScheduleView:
    inp = recover(log.inputs[index])
    latency = result_latency(log.results[index])
    measured = "the measurement failed"
    if latency is not None and math.isfinite(latency):
        rate = count_flop(inp.task.compute_dag) / latency / 1e9
        measured = f"measured {format_ms(latency)} ms, {rate:.1f} GFLOP/s"
    where = f"{Path(path).name}, line {log.lines[index]}: {measured}"
    title = names.get(inp.task.workload_key) or describe_workload(inp.task.workload_key)
    return inspect_state(inp.task, inp.state, model, title=title, notes=[str(inp.task.target), where])


def _line_index(path: str, log: RecordLog, line: int) -> int:
    if line in log.lines:
        return log.lines.index(line)
    reason = dict(log.skipped).get(line, "there is no such line, or it is empty or a comment")
    raise RecordError(f"{path}, line {line} is no record that can be shown: {reason}")


def _best_index(path: str, log: RecordLog, wanted: str | None, names: Mapping[str, str]) -> int:
    """The fastest record of the wanted task, or of the only one."""
    best = _best_of_each(log)
    if not best:
        reason = f"; line {log.skipped[0][0]}: {log.skipped[0][1]}" if log.skipped else ""
        raise RecordError(f"{path} holds no measured record that can be shown{reason}")
    keys = [str(log.inputs[i].task.workload_key) for i in best]
    tasks = [(names.get(key) or describe_workload(key), log.lines[i]) for key, i in zip(keys, best, strict=True)]
    return best[choose_task(path, tasks, wanted)]


def _best_of_each(log: RecordLog) -> list[int]:
    """The fastest record of each task."""
    latencies = [result_latency(result) for result in log.results]
    best: dict[TaskIdentity, int] = {}
    identities = TaskIdentities()
    for i, (inp, latency) in enumerate(zip(log.inputs, latencies, strict=True)):
        task = identities.of(inp.task)
        known = best.get(task)
        if latency is not None and math.isfinite(latency) and (known is None or latency < (latencies[known] or 0.0)):
            best[task] = i
    return list(best.values())
