"""A record of a MetaSchedule database, to be shown."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_gnn_cost.cli.task_choice import choose_task
from tvm_gnn_cost.errors import RecordError, TVMGNNCostError
from tvm_gnn_cost.meta_schedule.database import DatabaseRecords, RecordedCandidate, read_database
from tvm_gnn_cost.meta_schedule.inspection import inspect_candidate
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.meta_schedule.workload_names import WorkloadNames
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.workloads import describe

if TYPE_CHECKING:
    from tvm_gnn_cost.graphs.schedule_view import ScheduleView
    from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel


logger = logging.getLogger("tvm_gnn_cost")


def recorded_view(path: str, line: int | None, task: str | None, model: GNNCostModel) -> ScheduleView:
    """The record of a line, or the fastest of a task. Raises RecordError."""
    found, names = read_database(path), WorkloadNames(path)
    record = _best(path, found, task, names) if line is None else _of_line(path, found, line)
    return _view(path, record, names, model)


def best_views(path: str, model: GNNCostModel) -> list[ScheduleView]:
    """The fastest record of each task; those that cannot be read are reported and left out. Raises RecordError."""
    found, names = read_database(path), WorkloadNames(path)
    views = []
    for record in _best_of_each(found):
        try:
            views.append(_view(path, record, names, model))
        except TVMGNNCostError as error:
            logger.warning("%s, line %d is not shown: %s", path, record.line, error)
    return views


def _view(path: str, record: RecordedCandidate, names: WorkloadNames, model: GNNCostModel) -> ScheduleView:
    measured = "the measurement failed"
    if math.isfinite(record.latency):
        rate = make_source(record.workload.module, record.target).flop / record.latency / 1e9
        measured = f"measured {format_ms(record.latency)} ms, {rate:.1f} GFLOP/s"
    return inspect_candidate(
        record.workload.module,
        record.target,
        record.candidate,
        model,
        title=_title(record, names),
        notes=[str(record.target), f"{Path(path).name}, line {record.line}: {measured}"],
    )


def _of_line(path: str, found: DatabaseRecords, line: int) -> RecordedCandidate:
    for record in found.records:
        if record.line == line:
            return record
    reason = dict(found.skipped).get(line, "there is no such line, or it is empty")
    raise RecordError(f"{path}, line {line} is no record that can be shown: {reason}")


def _best(path: str, found: DatabaseRecords, wanted: str | None, names: WorkloadNames) -> RecordedCandidate:
    """The fastest record of the wanted task, or of the only one."""
    best = _best_of_each(found)
    if not best:
        reason = f"; line {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        raise RecordError(f"{path} holds no measured record that can be shown{reason}")
    return best[choose_task(path, [(_title(record, names), record.line) for record in best], wanted)]


def _best_of_each(found: DatabaseRecords) -> list[RecordedCandidate]:
    """The fastest record of each task."""
    best: dict[tuple[int, str], RecordedCandidate] = {}
    for record in found.records:
        task = (record.workload.line, str(record.target))
        if math.isfinite(record.latency) and (task not in best or record.latency < best[task].latency):
            best[task] = record
    return list(best.values())


def _title(record: RecordedCandidate, names: WorkloadNames) -> str:
    known = names.of(record.workload.module)
    if known is None:
        return f"workload {record.workload.line}"
    described = describe(known.workload_key)
    return known.name if described == known.workload_key else described
