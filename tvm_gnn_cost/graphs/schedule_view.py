"""One schedule as it is shown to people: plain text and numbers for every stage, loop and edge; no TVM, no drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.buffers import buffer_shape
from tvm_gnn_cost.graphs.edge_features import tile_bytes
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt
from tvm_gnn_cost.graphs.static_features import flop_per_iteration

ANNOTATIONS = {
    Annotation.NONE: "for",
    Annotation.UNROLL: "unroll",
    Annotation.VECTORIZE: "vectorize",
    Annotation.PARALLEL: "parallel",
    Annotation.VTHREAD: "vthread",
    Annotation.BLOCK_X: "blockIdx.x",
    Annotation.BLOCK_Y: "blockIdx.y",
    Annotation.BLOCK_Z: "blockIdx.z",
    Annotation.THREAD_X: "threadIdx.x",
    Annotation.THREAD_Y: "threadIdx.y",
    Annotation.THREAD_Z: "threadIdx.z",
    Annotation.TENSORIZE: "tensorize",
}
"""How TVM's own print of a state names each annotation; a plain loop is `for`."""

_MAX_BODY = 100  # characters of a body written out with its inlined stages


@dataclass(frozen=True)
class LoopView:
    """A loop of a stage: `index` among all of its loops; `exact` is False for an extent that TVM left symbolic."""

    index: int
    annotation: str
    name: str
    extent: int
    exact: bool

    @property
    def is_trivial(self) -> bool:
        """One iteration: neither TVM's print nor ours shows it."""
        return self.extent == 1 and self.exact


@dataclass(frozen=True)
class StageView:
    """A stage.

    Attributes:
        kind: "input", "constant", "inlined", or what makes a running stage special: "shared cache", "local cache",
            "rfactor", "reduction"; "compute" for none of these.
        shape: extents of the tensor; `reduction` those of the reduction axes; `tile` those that one run makes.
        attach: (stage, loop) it is computed in, or None.
        flop: floating-point operations in all.
        time_share: the part of the schedule's time that the network gives it; None without a trained network.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    reduction: tuple[int, ...]
    tile: tuple[int, ...]
    bytes: int
    flop: float
    loops: tuple[LoopView, ...]
    attach: tuple[int, int] | None
    auto_unroll: int
    storage_offset: int
    body: str
    time_share: float | None

    @property
    def runs(self) -> bool:
        return self.kind not in ("input", "constant", "inlined")


@dataclass(frozen=True)
class EdgeView:
    """A flow of data between two stages, by position.

    Attributes:
        tile_bytes: bytes that flow each time the producer runs; 0 if it is inlined, as nothing is stored then.
        tensor_bytes: bytes of the producer's whole tensor.
        attached: the producer is computed inside a loop of another stage, a part at a time.
    """

    producer: int
    consumer: int
    tile_bytes: int
    tensor_bytes: int
    attached: bool


@dataclass(frozen=True)
class ScheduleView:
    """A schedule with the text that goes above it. Stages are in TVM's order: producers before consumers.

    `notes` are lines on where it comes from and what the model says; `score` is the predicted relative throughput.
    """

    title: str
    notes: tuple[str, ...]
    stages: tuple[StageView, ...]
    edges: tuple[EdgeView, ...]
    score: float | None = None

    def attached_to(self, stage: int, loop: int) -> list[int]:
        """The stages computed inside loop `loop` of `stage`, first come first."""
        return [i for i, s in enumerate(self.stages) if s.attach == (stage, loop)]


def view_schedule(
    nest: LoopNest,
    loop_names: Sequence[Sequence[str]],
    dtypes: Sequence[str],
    *,
    title: str,
    notes: Sequence[str] = (),
    score: float | None = None,
    time_shares: NDArray[np.float64] | None = None,
) -> ScheduleView:
    """The view of one schedule.

    Args:
        nest: the loop nests of the schedule, with N stages.
        loop_names: (N,) of the names of each stage's loops; dtypes: (N,) of the stages' types, as "float32".
        title, notes, score: see `ScheduleView`.
        time_shares: (N,), sum 1; None without a trained network.
    """
    stages = [
        _stage(nest, i, loop_names[i], dtypes[i], None if time_shares is None else float(time_shares[i]))
        for i in range(len(nest.computation.stages))
    ]
    return ScheduleView(title, tuple(notes), tuple(stages), tuple(_edges(nest)), score)


def _stage(nest: LoopNest, i: int, loop_names: Sequence[str], dtype: str, time_share: float | None) -> StageView:
    stage, placement = nest.computation.stages[i], nest.placements[i]
    return StageView(
        name=stage.name,
        kind=_kind(nest, i),
        dtype=dtype,
        shape=stage.axis_extents,
        reduction=stage.reduce_extents,
        tile=buffer_shape(nest, i),
        bytes=stage.tensor_bytes,
        flop=flop_per_iteration(stage) * math.prod(stage.axis_extents) * math.prod(stage.reduce_extents),
        loops=tuple(
            LoopView(loop.index, ANNOTATIONS[Annotation(loop.annotation)], name, loop.extent, loop.exact)
            for loop, name in zip(nest.loops[i], loop_names, strict=False)
        ),
        attach=placement.attach,
        auto_unroll=placement.auto_unroll_max_step,
        storage_offset=placement.storage_offset,
        body=_body(nest, i),
        time_share=time_share,
    )


def _kind(nest: LoopNest, i: int) -> str:
    stage = nest.computation.stages[i]
    if stage.is_placeholder:
        return "input"
    if stage.is_inlined:
        return "constant" if stage.is_constant else "inlined"
    kinds = []
    if stage.scope:
        kinds.append(f"{stage.scope} cache")
    if stage.name.endswith((".rf", ".repl")):
        kinds.append("rfactor")
    if stage.reduce_extents:
        kinds.append("reduction")
    return ", ".join(kinds) or "compute"


def _edges(nest: LoopNest) -> list[EdgeView]:
    tiles = [0] * len(nest.computation.edges)  # of an edge's accesses, the largest counts
    for access in nest.computation.accesses:
        tiles[access.edge] = max(tiles[access.edge], int(tile_bytes(nest, access)))
    return [
        EdgeView(
            producer=producer,
            consumer=consumer,
            tile_bytes=tile,
            tensor_bytes=nest.computation.stages[producer].tensor_bytes,
            attached=nest.placements[producer].compute_at == ComputeAt.ITER,
        )
        for (producer, consumer), tile in zip(nest.computation.edges, tiles, strict=True)
    ]


def _body(nest: LoopNest, i: int) -> str:
    """`relu = f(add(conv, bias))`: what a run of the stage reads, inlined stages written as functions of theirs."""
    stages = nest.computation.stages
    if stages[i].is_placeholder:
        return ""
    producers: list[list[int]] = [[] for _ in stages]
    for producer, consumer in nest.computation.edges:
        producers[consumer].append(producer)

    def text(j: int, room: int) -> str:
        if not stages[j].is_inlined or not producers[j]:
            return stages[j].name
        inner = ", ".join(text(p, room - 1) for p in producers[j]) if room else "..."
        return f"{stages[j].name}({inner})"

    assign = "+=" if stages[i].reduce_extents else "="
    for depth in (8, 4, 2, 1, 0):
        inner = ", ".join(text(p, depth) for p in producers[i])
        if len(inner) <= _MAX_BODY:
            break
    return f"{stages[i].name} {assign} f({inner})"
