"""Features of given loop nests in C++ are those of Python. No scheduler, no TVM."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.computation import Access, Computation, StageComputation
from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.graphs.encoding import encode_nests
from tvm_gnn_cost.graphs.graph_writer import GraphWriter
from tvm_gnn_cost.graphs.hardware import Hardware
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt, LoopKind, NestLoop, Part, Placement
from tvm_gnn_cost.graphs.native_writer import NativeGraphWriter
from tvm_gnn_cost.graphs.processors import processor

_native = pytest.importorskip("tvm_gnn_cost._native")

CPU = Hardware(False, 4, 64, 64, 0, 0, 0, 0, 0, processor("znver4", False))
GPU = Hardware(True, 80, 16, 64, 49152, 65536, 1024, 8, 32, processor("sm_80", True))
X, PADDED, SUMS = 0, 1, 2
ROWS, COLUMNS, WIDTH = 48, 64, 3


class Given(NamedTuple):
    """A nest that nobody has made a `LoopNest` of."""

    computation: Computation
    placements: tuple[Placement, ...]
    loops: tuple[tuple[NestLoop, ...], ...]


def stage(name: str, axes: tuple[int, ...], reduces: tuple[int, ...] = (), is_input: bool = False) -> StageComputation:
    counts = (0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return StageComputation(name, is_input, False, axes, reduces, 4, True, False, counts, counts)


def access(host: int, producer: int, edge: int, coefficients: tuple[tuple[float, ...], ...]) -> Access:
    none, unlimited = (0.0,) * len(coefficients), (float("inf"),) * len(coefficients)
    return Access(host, producer, edge, coefficients, none, unlimited, 1.0, True)


def blur(suffix: str = "") -> Computation:
    """sums[i, j] += padded[i + r, j], and padded[i, j] = x[i, j], which is in the memory that the suffix names."""
    return Computation(
        stages=(
            stage("x", (ROWS + WIDTH - 1, COLUMNS), is_input=True),
            stage(f"padded{suffix}", (ROWS + WIDTH - 1, COLUMNS)),
            stage("sums", (ROWS, COLUMNS), (WIDTH,)),
        ),
        edges=((X, PADDED), (PADDED, SUMS)),
        accesses=(
            access(PADDED, X, 0, ((1.0, 0.0), (0.0, 1.0))),
            access(SUMS, PADDED, 1, ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0))),
        ),
        evaluations=(),
    )


COMPUTATIONS = tuple(blur(suffix) for suffix in ("", ".shared", ".local"))


@st.composite
def splits(draw: Any, axis: int, extent: int) -> list[Part]:
    """An axis in up to three parts, outermost first."""
    sizes: list[int] = []
    for _ in range(draw(st.integers(0, 2))):
        sizes.insert(0, draw(st.sampled_from([n for n in range(1, extent + 1) if extent % n == 0])))
        extent //= sizes[0]
    sizes.insert(0, extent)
    return [Part(axis, size, prod(sizes[i + 1 :])) for i, size in enumerate(sizes)]


@st.composite
def loops_of(draw: Any, i: int, axes: tuple[int, ...], num_spatial: int) -> tuple[NestLoop, ...]:
    """The loops of stage i in any order, some of them fused, with any annotation."""
    parts = [part for axis, extent in enumerate(axes) for part in draw(splits(axis, extent))]
    parts = draw(st.permutations(parts))
    loops: list[NestLoop] = []
    while parts:
        count = draw(st.integers(1, min(2, len(parts))))
        own, parts = tuple(part for part in parts[:count] if part.extent > 1), parts[count:]
        kinds = {LoopKind.REDUCTION if part.axis >= num_spatial else LoopKind.SPATIAL for part in own}
        kind = LoopKind.MIXED if len(kinds) > 1 else next(iter(kinds), LoopKind.SPATIAL)
        annotation = draw(st.sampled_from(Annotation))
        loops.append(
            NestLoop(i, len(loops), prod(part.extent for part in own), kind, annotation, own, draw(st.booleans()))
        )
    return tuple(loops)


@st.composite
def nests(draw: Any) -> Given:
    computation = draw(st.sampled_from(COMPUTATIONS))
    sums = draw(loops_of(SUMS, (ROWS, COLUMNS, WIDTH), 2))
    at = draw(st.none() | st.integers(0, len(sums) - 1))
    attach = None if at is None else (SUMS, at)
    unroll, offset = draw(st.sampled_from((0, 16, 512))), draw(st.sampled_from((0, 8)))
    root = Placement(ComputeAt.ROOT, None, unroll, offset)
    where = Placement(ComputeAt.ROOT if attach is None else ComputeAt.ITER, attach, 0, offset)
    padded = draw(loops_of(PADDED, (draw(st.sampled_from((1, 6, ROWS + WIDTH - 1))), COLUMNS), 2))
    return Given(computation, (root, where, root), ((), padded, sums))


def specified(given_nests: list[Given], hardware: Hardware) -> BuiltGraphs:
    writer = GraphWriter(hardware)
    return BuiltGraphs.of([BuiltGraphs.unreadable(0), *(writer.built(LoopNest.of(*nest)) for nest in given_nests)])


@pytest.mark.parametrize("hardware", [CPU, GPU], ids=["cpu", "gpu"])
@settings(max_examples=60, deadline=None)
@given(some=st.lists(nests(), max_size=4))
def test_equals_the_specification(hardware: Hardware, some: list[Given]) -> None:
    written = NativeGraphWriter(hardware, _native).write(some)
    assert written.first_error == ""
    assert graph_difference(written.built, specified(some, hardware)) is None


def hand_made(computation: Computation = COMPUTATIONS[0]) -> Given:
    root = Placement(ComputeAt.ROOT, None, 0, 0)

    def loop(i: int, index: int, axis: int, extent: int) -> NestLoop:
        kind = LoopKind.REDUCTION if axis == 2 else LoopKind.SPATIAL
        return NestLoop(i, index, extent, kind, Annotation.NONE, (Part(axis, extent, 1),), True)

    sums = tuple(loop(SUMS, axis, axis, extent) for axis, extent in enumerate((ROWS, COLUMNS, WIDTH)))
    padded = (loop(PADDED, 0, 0, WIDTH),)
    return Given(computation, (root, Placement(ComputeAt.ITER, (SUMS, 1), 0, 0), root), ((), padded, sums))


def test_every_number_of_threads_gives_the_same() -> None:
    many = [hand_made(COMPUTATIONS[i % len(COMPUTATIONS)]) for i in range(100)]
    one, four = (NativeGraphWriter(CPU, _native, n_threads).write(many) for n_threads in (1, 4))
    assert graph_difference(four.built, one.built) is None
    assert graph_difference(one.built, specified(many, CPU)) is None


def test_a_nest_that_makes_no_sense_is_left_out() -> None:
    good = hand_made()
    circle = good._replace(placements=(good.placements[0], Placement(ComputeAt.ITER, (PADDED, 0), 0, 0), good[1][2]))
    foreign = good._replace(loops=((), (replace(good.loops[PADDED][0], parts=(Part(7, 2, 1),)),), good.loops[SUMS]))
    written = NativeGraphWriter(CPU, _native).write([circle, good, foreign])
    assert written.built.readable.tolist() == [False, True, False]
    assert "stage 1 is attached at loop 0 of stage 1" in written.first_error
    alone = specified([good], CPU)
    assert graph_difference(replace(written.built, readable=alone.readable), alone) is None


def test_tables_that_do_not_fit_together_are_refused() -> None:
    writer = NativeGraphWriter(CPU, _native)
    computation, tables = writer._computation(COMPUTATIONS[0]), encode_nests([hand_made()])
    for name, table in tables.items():
        for other in (table[:-3], np.concatenate([table, table[:6]])):
            with pytest.raises(ValueError, match="do not fit together"):
                _native.write_nests(writer._hardware, (computation,), **tables | {name: other})
    with pytest.raises(ValueError, match="zip"):
        writer.write([hand_made()._replace(placements=())])
    with pytest.raises(OverflowError):
        writer.write([hand_made()._replace(loops=((), (), (NestLoop(SUMS, 0, 2**64, 0, 0, (), True),)))])


def test_another_schema_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "SCHEMA_VERSION", -1)
    with pytest.raises(RuntimeError, match="built for schema -1"):
        NativeGraphWriter(CPU, _native)
