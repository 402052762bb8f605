"""A schedule as text: its loop nests as they run, then tables of its stages and of what flows between them."""

from __future__ import annotations

from collections.abc import Iterator

from tvm_gnn_cost.graphs.schedule_view import LoopView, ScheduleView, StageView
from tvm_gnn_cost.report.formats import format_bytes, format_count, format_shape
from tvm_gnn_cost.system.text_tables import plain_table

_INDENT = "  "


def schedule_text(view: ScheduleView) -> str:
    """The whole schedule as text, without a newline at the end."""
    parts = [[view.title, *view.notes], *_nests(view), _stage_table(view), _edge_table(view)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def loop_range(loop: LoopView) -> str:
    """`i.0@j.0@ (96)`: TVM's name and the extent; `~` marks one that is estimated."""
    return f"{loop.name} ({'' if loop.exact else '~'}{loop.extent})"


def _nests(view: ScheduleView) -> list[list[str]]:
    return [
        [_heading(stage), *_nest(view, i, 0)]
        for i, stage in enumerate(view.stages)
        if stage.runs and stage.attach is None
    ]


def _nest(view: ScheduleView, i: int, depth: int) -> Iterator[str]:
    """The loops of a stage, with the stages attached to each, as deep as they run."""
    stage = view.stages[i]
    if stage.auto_unroll:
        yield f"{_INDENT * depth}pragma auto_unroll_max_step {stage.auto_unroll}"
    if stage.storage_offset:
        yield f"{_INDENT * depth}storage_align offset {stage.storage_offset}"
    for loop in stage.loops:
        if not loop.is_trivial:
            yield f"{_INDENT * depth}{loop.annotation} {loop_range(loop)}"
            depth += 1
        for attached in view.attached_to(i, loop.index):
            yield f"{_INDENT * depth}{_heading(view.stages[attached])}"
            yield from _nest(view, attached, depth)
    yield f"{_INDENT * depth}{stage.body}"


def _heading(stage: StageView) -> str:
    text = f"# {stage.name}: {stage.kind}"
    if stage.attach is not None and stage.tile != stage.shape:
        text += f", {format_shape(stage.tile)} of {format_shape(stage.shape)} a run"
    return text


def _stage_table(view: ScheduleView) -> list[str]:
    has_times = any(stage.time_share is not None for stage in view.stages)
    headings = ["stage", "kind", "shape", "type", "bytes", "flop", *(["time"] if has_times else [])]
    rows = []
    for stage in view.stages:
        row = [stage.name, stage.kind, _full_shape(stage), stage.dtype, format_bytes(stage.bytes)]
        row.append(format_count(stage.flop) if stage.runs else "-")
        if stage.time_share is not None:
            row.append(f"{stage.time_share:.0%}")
        rows.append(row)
    lines = plain_table(headings, rows, right=range(4, 7))
    if has_times:
        lines.append("time: the stage's share, as the network predicts it")
    return lines


def _edge_table(view: ScheduleView) -> list[str]:
    rows = []
    for edge in view.edges:
        producer, consumer = view.stages[edge.producer], view.stages[edge.consumer]
        how = "inlined" if producer.kind in ("inlined", "constant") else ""
        if edge.attached and producer.attach is not None:
            how = f"made inside {view.stages[producer.attach[0]].name}"
        a_run = format_bytes(edge.tile_bytes) if edge.tile_bytes else "-"
        rows.append([producer.name, consumer.name, a_run, format_bytes(edge.tensor_bytes), how])
    return plain_table(("from", "to", "a run", "whole tensor", "how"), rows, right=(2, 3)) if view.edges else []


def _full_shape(stage: StageView) -> str:
    shape = format_shape(stage.shape)
    return f"{shape}, reduces {format_shape(stage.reduction)}" if stage.reduction else shape
