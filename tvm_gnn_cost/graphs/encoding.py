"""Computations and loop nests as flat arrays: the contract with the native code: `native/graphs/computation.h` and
`native/graphs/given_nests.h` hold them to it.

Each array is one row after another; (a, b) means a rows of b numbers. Stages are in TVM's order, producers before
consumers; the accesses are in the order of their hosts. The names of the fields are those of `computation`.

    stages        int64    (stages, 6)      is_placeholder, is_inlined, whether it is in shared memory, number of
                                            outputs, of spatial axes, of reduction axes
    output_bytes  int64    (all outputs,)   of every stage the size of an element of each output
    axis_extents  int64    (all axes,)      of every stage the spatial axes, then the reduction axes
    flop          float64  (stages,)        floating-point operations of an iteration, inlined stages included
    edges         int64    (edges, 2)       producer, consumer
    accesses      int64    (accesses, 7)    host, producer, edge, affine, number of the producer's dimensions, number of
                                            its output, once
    reads         float64  (accesses,)      reads in an iteration of the host
    dimensions    float64  (dimensions, 2)  spread, limit: of every dimension of every access
    coefficients  float64  (any number,)    of every one of these dimensions, one for each axis of the access's host
    evaluations   int64    (evaluations, 2) host, inlined stage
    evaluated     float64  (evaluations,)   how often an iteration of the host evaluates it

With them go `static_features` as float32: `static_nodes` (stages, STATIC_NODE_FEATURES) and `static_edges`
(edges, STATIC_EDGE_FEATURES).

Loop nests lie end to end, the stages of each in the order of its computation:

    stages        int64    (all stages, 6)  compute_at, stage and loop that it is attached to (-1: none),
                                            auto_unroll_max_step, storage_offset, number of loops
    loops         int64    (all loops, 5)   extent, kind, annotation, exact, number of parts
    parts         int64    (all parts, 3)   axis, extent, stride
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.computation import Computation
from tvm_gnn_cost.graphs.loops import NestLoop, Placement
from tvm_gnn_cost.graphs.static_features import flop_per_iteration


class GivenNest(Protocol):
    """What a loop nest is made of; a `LoopNest` is one. `loops` has those of each stage, none where it does not run."""

    @property
    def computation(self) -> Computation: ...

    @property
    def placements(self) -> Sequence[Placement]: ...

    @property
    def loops(self) -> Sequence[Sequence[NestLoop]]: ...


def encode_computation(computation: Computation) -> dict[str, NDArray[Any]]:
    """The arrays of a computation, by the name that the native code gives them; see the top of this file."""
    stages, accesses = computation.stages, computation.accesses
    return {
        "stages": _integers(
            (
                s.is_placeholder,
                s.is_inlined,
                s.scope == "shared",
                len(s.outputs),
                len(s.axis_extents),
                len(s.reduce_extents),
            )
            for s in stages
        ),
        "output_bytes": _integers(s.outputs for s in stages),
        "axis_extents": _integers(s.axis_extents + s.reduce_extents for s in stages),
        "flop": np.array([flop_per_iteration(s) for s in stages], np.float64),
        "edges": _integers(computation.edges),
        "accesses": _integers(
            (a.host, a.producer, a.edge, a.affine, len(a.coefficients), a.output, a.once) for a in accesses
        ),
        "reads": np.array([a.reads for a in accesses], np.float64),
        "dimensions": _floats(pair for a in accesses for pair in zip(a.spread, a.limit, strict=True)),
        "coefficients": _floats(row for a in accesses for row in a.coefficients),
        "evaluations": _integers((host, stage) for host, stage, _ in computation.evaluations),
        "evaluated": np.array([count for _, _, count in computation.evaluations], np.float64),
    }


def encode_nests(nests: Iterable[GivenNest]) -> dict[str, NDArray[np.int64]]:
    """The arrays of loop nests, by the name that the native code gives them; see the top of this file.

    Raises OverflowError for numbers that 64 bits do not hold, ValueError for placements or loops of another number of
    stages than the nest's computation has.
    """
    stages: list[int] = []
    loops: list[int] = []
    parts: list[int] = []
    for nest in nests:
        for _, placement, own in zip(nest.computation.stages, nest.placements, nest.loops, strict=True):
            stages += (placement.compute_at, *(placement.attach or (-1, -1)), placement.auto_unroll_max_step,
                       placement.storage_offset, len(own))  # fmt: skip
            for loop in own:
                loops += (loop.extent, loop.kind, loop.annotation, loop.exact, len(loop.parts))
                for part in loop.parts:
                    parts += (part.axis, part.extent, part.stride)
    return {name: np.array(rows, np.int64) for name, rows in (("stages", stages), ("loops", loops), ("parts", parts))}


def _integers(rows: Any) -> NDArray[np.int64]:
    return np.array(list(chain.from_iterable(rows)), np.int64)


def _floats(rows: Any) -> NDArray[np.float64]:
    return np.array(list(chain.from_iterable(rows)), np.float64)
