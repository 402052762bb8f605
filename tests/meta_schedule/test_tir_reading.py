"""Programs whose loop nests are worked out by hand: every kind of block, loop and index that schedules have."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from meta_schedule.programs import CPU, GPU, matmul, parse
from tvm import IRModule

from tvm_gnn_cost.errors import InvalidArgumentError, TVMNotAvailableError
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt, LoopKind
from tvm_gnn_cost.meta_schedule.names import RELEASES, release_of
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.testing.tir_checks import check_candidates


def nest_of(text: str, target: Any = CPU) -> LoopNest:
    """The nest of a program, which keeps all properties; its features are finite."""
    function = parse(text)
    source = make_source(function, target)
    checked = check_candidates(source, [function])
    assert not checked.faults
    return source.loop_nest(function)


def parts(nest: LoopNest, stage: int) -> list[list[tuple[int, int, int]]]:
    return [[(part.axis, part.extent, part.stride) for part in loop.parts] for loop in nest.loops[stage]]


def names(nest: LoopNest) -> list[str]:
    return [stage.name for stage in nest.computation.stages]


# --- loops and axes ---


def test_a_fused_loop_runs_over_digits_of_several_axes() -> None:
    nest = nest_of("""
def main(A: T.Buffer((12, 64), "float32"), B: T.Buffer((12, 64), "float32")):
    for f in T.parallel(48):
        for i, j in T.grid(4, 4):
            with T.block("B"):
                x = T.axis.spatial(12, f // 16 * 4 + i)
                y = T.axis.spatial(64, f % 16 * 4 + j)
                B[x, y] = A[x, y] + T.float32(1)
""")
    assert parts(nest, 1) == [[(0, 3, 4), (1, 16, 4)], [(0, 4, 1)], [(1, 4, 1)]]
    assert [loop.annotation for loop in nest.loops[1]] == [Annotation.PARALLEL, Annotation.NONE, Annotation.NONE]
    assert all(loop.exact for loop in nest.loops[1])


def test_a_fused_loop_is_split_again() -> None:
    nest = nest_of("""
def main(A: T.Buffer((16, 24), "float32"), B: T.Buffer((16, 24), "float32")):
    for a, b in T.grid(16, 6):
        for c in T.vectorized(4):
            with T.block("B"):
                x = T.axis.spatial(16, (a * 24 + b * 4 + c) // 24)
                y = T.axis.spatial(24, (a * 24 + b * 4 + c) % 24)
                B[x, y] = A[x, y]
""")
    assert parts(nest, 1) == [[(0, 16, 1)], [(1, 6, 4)], [(1, 4, 1)]]
    assert nest.loops[1][2].annotation == Annotation.VECTORIZE


def test_rows_that_vectors_do_not_divide_are_estimated() -> None:
    """Rows of 18 elements in vectors of 4: all loops together cover the axis, and are marked."""
    nest = nest_of("""
def main(A: T.Buffer((2, 18), "float32"), B: T.Buffer((2, 18), "float32")):
    for a in range(9):
        for c in T.vectorized(4):
            with T.block("B"):
                x = T.axis.spatial(2, (a * 4 + c) // 18)
                y = T.axis.spatial(18, (a * 4 + c) % 18)
                B[x, y] = A[x, y]
""")
    assert [loop.exact for loop in nest.loops[1]] == [False, False]
    assert nest.axis_extents[1] == (2, 18)


def test_a_predicate_cuts_off_what_runs_over_the_edge() -> None:
    nest = nest_of("""
def main(A: T.Buffer((37,), "float32"), B: T.Buffer((37,), "float32")):
    for i, j in T.grid(5, 8):
        with T.block("B"):
            x = T.axis.spatial(37, i * 8 + j)
            T.where(i * 8 + j < 37)
            B[x] = A[x]
""")
    assert [loop.extent for loop in nest.loops[1]] == [5, 8] and nest.axis_extents[1] == (37,)


def test_a_stage_has_the_axes_of_its_buffer() -> None:
    """Written transposed, and out of a packed layout."""
    nest = nest_of("""
def main(A: T.Buffer((4, 8, 16), "float32"), B: T.Buffer((16, 32), "float32")):
    for i, j, k in T.grid(4, 8, 16):
        with T.block("B"):
            x, y, z = T.axis.remap("SSS", [i, j, k])
            B[z, x * 8 + y] = A[x, y, z]
""")
    stage = nest.computation.stages[1]
    assert stage.axis_extents == (16, 32) and not stage.reduce_extents
    assert parts(nest, 1) == [[(1, 4, 8)], [(1, 8, 1)], [(0, 16, 1)]]


def test_a_packed_layout_spreads_an_axis_over_dimensions() -> None:
    nest = nest_of("""
def main(A: T.Buffer((32,), "float32"), B: T.Buffer((4, 8), "float32")):
    for i, j in T.grid(8, 4):
        with T.block("B"):
            x = T.axis.spatial(32, i * 4 + j)
            B[x // 8, x % 8] = A[x]
""")
    assert parts(nest, 1) == [[(0, 4, 1), (1, 2, 4)], [(1, 4, 1)]]


# --- stages ---


def test_a_reduction_begins_in_its_block_or_in_one_of_its_own() -> None:
    inside = nest_of("""
def main(A: T.Buffer((8, 16), "float32"), B: T.Buffer((8,), "float32")):
    for i, k in T.grid(8, 16):
        with T.block("B"):
            x, r = T.axis.remap("SR", [i, k])
            with T.init():
                B[x] = T.float32(0)
            B[x] = B[x] + A[x, r] * A[x, r]
""")
    apart = nest_of("""
def main(A: T.Buffer((8, 16), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.block("B_init"):
            x = T.axis.spatial(8, i)
            B[x] = T.float32(0)
        for k in range(16):
            with T.block("B_update"):
                x, r = T.axis.remap("SR", [i, k])
                B[x] = B[x] + A[x, r] * A[x, r]
""")
    assert inside.computation == apart.computation and inside.loops == apart.loops
    assert [loop.kind for loop in apart.loops[1]] == [LoopKind.SPATIAL, LoopKind.REDUCTION]
    assert apart.computation.stages[1].operations[:2] == (1.0, 1.0)


def test_a_gpu_kernel_with_caches() -> None:
    """Threads bound again are the same threads; what is shared is filled once for all virtual threads."""
    nest = nest_of(
        """
def main(A: T.Buffer((64, 64), "float32"), D: T.Buffer((64, 64), "float32")):
    A_shared = T.alloc_buffer((64, 64), scope="shared")
    C_local = T.alloc_buffer((64, 64), scope="local")
    for b in T.thread_binding(8, thread="blockIdx.x", annotations={"pragma_auto_unroll_max_step": 64}):
        for v in T.thread_binding(2, thread="vthread.x"):
            for t in T.thread_binding(32, thread="threadIdx.x"):
                for k0 in range(4):
                    for f0 in range(1):
                        for f1 in T.thread_binding(32, thread="threadIdx.x"):
                            for f2 in T.vectorized(4):
                                with T.block("A_shared"):
                                    x = T.axis.spatial(64, b * 8 + (f0 * 128 + f1 * 4 + f2) // 16)
                                    y = T.axis.spatial(64, k0 * 16 + (f0 * 128 + f1 * 4 + f2) % 16)
                                    T.block_attr({"buffer_dim_align": [[0, 0, 32, 8]]})
                                    A_shared[x, y] = A[x, y]
                    for k1, i in T.grid(16, 8):
                        with T.block("C"):
                            x = T.axis.spatial(64, b * 8 + i)
                            y = T.axis.spatial(64, v * 32 + t)
                            r = T.axis.reduce(64, k0 * 16 + k1)
                            with T.init():
                                C_local[x, y] = T.float32(0)
                            C_local[x, y] = C_local[x, y] + A_shared[x, r]
                for i in range(8):
                    with T.block("D"):
                        x = T.axis.spatial(64, b * 8 + i)
                        y = T.axis.spatial(64, v * 32 + t)
                        D[x, y] = C_local[x, y]
""",
        GPU,
    )
    assert names(nest) == ["A", "A.shared", "C.local", "D"]
    shared, local, out = nest.placements[1:]
    assert (shared.attach, local.attach, out.attach) == ((2, 0), (3, 2), None)
    assert (shared.storage_offset, out.auto_unroll_max_step) == (8, 64)
    assert [loop.annotation for loop in nest.outer[1]] == [Annotation.BLOCK_X, Annotation.NONE]
    assert [loop.extent for loop in nest.outer[2]] == [8, 2, 32]
    assert nest.extents_to_cover(1) == (8, 16) and nest.extents_to_cover(2)[:2] == (8, 1)


def test_a_buffer_that_several_blocks_write() -> None:
    """Each is a stage; the second adds to what the first made, and who reads it reads the second's."""
    nest = nest_of("""
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32"), E: T.Buffer((16,), "float32")):
    C = T.alloc_buffer((16,), "float32")
    for i in range(8):
        with T.block("first"):
            x = T.axis.spatial(8, i)
            C[x] = A[x]
    for i in range(8):
        with T.block("second"):
            x = T.axis.spatial(8, i)
            C[x + 8] = B[x]
    for i in range(16):
        with T.block("E"):
            x = T.axis.spatial(16, i)
            E[x] = C[x] * T.float32(2)
""")
    assert names(nest) == ["A", "B", "C", "C", "E"]
    assert set(nest.computation.edges) == {(0, 2), (1, 3), (2, 3), (3, 4)}


def test_a_parameter_that_is_changed_in_place() -> None:
    nest = nest_of("""
def main(A: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.block("A"):
            x = T.axis.spatial(8, i)
            A[x] = A[x] + T.float32(1)
""")
    assert names(nest) == ["A.in", "A"] and nest.computation.edges == ((0, 1),)


def test_loops_lets_and_conditions_in_a_body() -> None:
    nest = nest_of("""
def main(A: T.Buffer((8, 4), "float32"), B: T.Buffer((8, 4), "float32")):
    for i in range(8):
        with T.block("B"):
            x = T.axis.spatial(8, i)
            T.reads(A[x, 0:4])
            T.writes(B[x, 0:4])
            for j in T.unroll(4):
                if j < 3:
                    B[x, j] = A[x, j] * T.float32(3)
""")
    assert [(loop.extent, loop.annotation) for loop in nest.loops[1]] == [(8, Annotation.NONE), (4, Annotation.UNROLL)]
    assert parts(nest, 1) == [[(0, 8, 1)], [(1, 4, 1)]]
    assert nest.computation.stages[1].operations[1] == 1.0 and nest.computation.stages[1].operations[6] == 1.0


TENSORISED = """
def main(A: T.Buffer((32, 32), "float32"), B: T.Buffer((32, 32), "float32"), C: T.Buffer((32, 32), "float32")):
    for i, j in T.grid(2, 2):
        for k in range(4):
            with T.block("C_o_update"):
                x, y, z = T.axis.remap("SSR", [i, j, k])
                T.reads(C[x * 16:x * 16 + 16, y * 16:y * 16 + 16], A[x * 16:x * 16 + 16, z * 8:z * 8 + 8], B[z * 8:z * 8 + 8, y * 16:y * 16 + 16])
                T.writes(C[x * 16:x * 16 + 16, y * 16:y * 16 + 16])
                a = T.match_buffer(A[x * 16:x * 16 + 16, z * 8:z * 8 + 8], (16, 8), offset_factor=1)
                b = T.match_buffer(B[z * 8:z * 8 + 8, y * 16:y * 16 + 16], (8, 16), offset_factor=1)
                c = T.match_buffer(C[x * 16:x * 16 + 16, y * 16:y * 16 + 16], (16, 16), offset_factor=1)
                T.evaluate(T.call_extern("int32", "multiply", c.data, a.data, b.data))
"""  # noqa: E501


def test_a_tensorised_body_counts_its_elements_and_costs_what_the_block_did() -> None:
    unscheduled = parse("""
def main(A: T.Buffer((32, 32), "float32"), B: T.Buffer((32, 32), "float32"), C: T.Buffer((32, 32), "float32")):
    for i, j, k in T.grid(32, 32, 32):
        with T.block("C"):
            x, y, z = T.axis.remap("SSR", [i, j, k])
            with T.init():
                C[x, y] = T.float32(0)
            C[x, y] = C[x, y] + A[x, z] * B[z, y]
""")
    source = make_source(unscheduled, CPU)
    nest = source.loop_nest(parse(TENSORISED))
    stage = nest.computation.stages[-1]
    assert stage.axis_extents == (32, 32) and stage.reduce_extents == (32,)
    assert stage.operations[:2] == (1.0, 1.0)
    called = [(loop.extent, loop.kind) for loop in nest.loops[-1] if loop.annotation == Annotation.TENSORIZE]
    assert called == [(16, LoopKind.SPATIAL), (16, LoopKind.SPATIAL), (8, LoopKind.REDUCTION)]
    assert np.prod([loop.extent for loop in nest.loops[-1]]) == 32**3
    assert {a.coefficients for a in nest.computation.accesses if a.host == len(names(nest)) - 1} == {
        ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
        ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    } | ({((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))} if "C.in" in names(nest) else set())


def test_loops_that_stages_share() -> None:
    """A loop belongs to the last stage inside it."""
    nest = nest_of("""
def main(A: T.Buffer((8, 8), "float32"), D: T.Buffer((8, 8), "float32")):
    B = T.alloc_buffer((8, 8))
    C = T.alloc_buffer((8,))
    for i in range(8):
        for j in range(8):
            with T.block("B"):
                x, y = T.axis.remap("SS", [i, j])
                B[x, y] = T.exp(A[x, y])
            with T.block("C"):
                x, r = T.axis.remap("SR", [i, j])
                with T.init():
                    C[x] = T.float32(0)
                C[x] = C[x] + B[x, r]
        for j in range(8):
            with T.block("D"):
                x, y = T.axis.remap("SS", [i, j])
                D[x, y] = B[x, y] / C[x]
""")
    assert [nest.placements[i].attach for i in (1, 2, 3)] == [(2, 0), (3, 0), None]
    assert [nest.placements[i].compute_at for i in (1, 2, 3)] == [ComputeAt.ITER, ComputeAt.ITER, ComputeAt.ROOT]
    assert nest.loops[1] == () and [loop.extent for loop in nest.outer[1]] == [8, 8]


# --- what cannot be read ---

DYNAMIC = """
def main(a: T.handle, b: T.handle, n: T.int32):
    A = T.match_buffer(a, (n,))
    B = T.match_buffer(b, (n,))
    for i in range(n):
        with T.block("B"):
            x = T.axis.spatial(n, i)
            B[x] = A[x]
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            DYNAMIC,
            "dynamic shapes",
        ),
        (
            """
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    with T.block("root"):
        T.block_attr({"meta_schedule.unroll_explicit": 16})
        for i in range(8):
            with T.block("B"):
                x = T.axis.spatial(8, i)
                B[x] = A[x]
""",
            "postprocessors",
        ),
        (
            """
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in T.thread_binding(8, thread="cluster.x"):
        with T.block("B"):
            x = T.axis.spatial(8, i)
            B[x] = A[x]
""",
            "cluster.x",
        ),
    ],
)
def test_one_bad_candidate_is_counted_and_named_once(text: str, says: str, caplog: pytest.LogCaptureFixture) -> None:
    source = make_source(matmul(), CPU)
    with caplog.at_level(logging.WARNING):
        built = source.build([matmul(), parse(text), "nothing"])
        source.build([parse(text)])
    assert built.readable.tolist() == [True, False, False] and len(built.graphs) == 1
    assert len(caplog.records) == 1 and says in caplog.text and "2 of 3" in caplog.text


def test_a_task_whose_program_cannot_be_read_has_a_source_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    program = parse(DYNAMIC)
    source = make_source(program, CPU)
    assert source.flop == 1.0 and "dynamic shapes" in caplog.text


def test_a_module_of_several_functions_is_no_task() -> None:
    module = IRModule({"one": matmul(), "two": matmul(32)})
    with pytest.raises(InvalidArgumentError, match="2 functions"):
        make_source(module, CPU)
    main = IRModule({"one": matmul(), "main": matmul(32)})
    assert make_source(main, CPU).key == make_source(matmul(32), CPU).key


def test_a_release_that_is_not_known_names_those_that_are() -> None:
    with pytest.raises(TVMNotAvailableError, match="TVM 0.28.dev0 .* 0.19, 0.25, 0.26, 0.27 work"):
        release_of("0.28.dev0")
    assert release_of("0.27.0.post1") == RELEASES["0.27"]
