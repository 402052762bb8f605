"""States that meet every transform step and every field that the native reader reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

POPULATION = 8


def proof_cases() -> Iterator[tuple[str, Any, list[Any]]]:
    """(name, task, states) of each case."""
    from tvm import auto_scheduler

    gpu = auto_scheduler.HardwareParams(80, 16, 64, 49152, 65536, 1024, 8, 32)
    host, device = "llvm -num-cores=4", "cuda -arch=sm_70"
    product = _task("proof_product", _product(64, 48, 80), host)
    yield "hand-made, every step", product, [_every_step(product), *_unfinished(product)]
    symbolic = _task("proof_symbolic", _symbolic(), host)
    yield "symbolic extents", symbolic, [symbolic.compute_dag.get_init_state()]
    yield "sampled, CPU", product, _sampled(product)
    norm = _task("proof_norm", _norm(4, 512), host)
    yield "sampled, CPU, rfactor", norm, _sampled(norm)
    pairs = _task("proof_pairs", _pairs(24, 40), host)
    yield "sampled, CPU, pairs, data-dependent", pairs, [pairs.compute_dag.get_init_state(), *_sampled(pairs)]
    uneven = _task("proof_uneven", _uneven(12), host)
    yield "uneven and empty axes", uneven, [uneven.compute_dag.get_init_state(), *_sampled(uneven)]
    on_gpu = _task("proof_product_gpu", _product(64, 64, 64), device, gpu)
    yield "sampled, GPU", on_gpu, _sampled(on_gpu)


def _task(key: str, tensors: list[Any], target: str, hardware: Any = None) -> Any:
    import tvm
    from tvm import auto_scheduler

    auto_scheduler.workload_registry.register_workload_tensors(key, tensors, override=True)
    dag = auto_scheduler.ComputeDAG(tensors)
    return auto_scheduler.SearchTask(
        compute_dag=dag, workload_key=key, target=tvm.target.Target(target), hardware_params=hardware
    )


def _product(rows: int, columns: int, depth: int) -> list[Any]:
    """A matrix product with a prologue and an epilogue: an inlinable stage, a reduction, an element-wise one."""
    from tvm import te

    a = te.placeholder((rows, depth), name="a")
    b = te.placeholder((depth, columns), name="a_name_too_long_to_be_held_in_place")
    scaled = te.compute((rows, depth), lambda i, k: a[i, k] * 2.0, name="scaled")
    k = te.reduce_axis((0, depth), name="k")
    c = te.compute((rows, columns), lambda i, j: te.sum(scaled[i, k] * b[k, j], axis=k), name="c")
    d = te.compute((rows, columns), lambda i, j: te.max(c[i, j], 0.0), name="d")
    return [a, b, d]


def _norm(rows: int, columns: int) -> list[Any]:
    from tvm import te

    a = te.placeholder((rows, columns), name="a")
    k = te.reduce_axis((0, columns), name="k")
    c = te.compute((rows,), lambda i: te.sum(a[i, k] * a[i, k], axis=k), name="c")
    d = te.compute((rows,), lambda i: te.sqrt(c[i]), name="d")
    return [a, d]


def _pairs(rows: int, columns: int) -> list[Any]:
    """The best of rows that an index tensor names, behind a mask and from the second column on: a reduction with two
    outputs of different sizes, each read by a stage of its own; one begins a sum."""
    from tvm import te, tir

    def better(left: Any, right: Any) -> tuple[Any, Any]:
        keep = left[1] >= right[1]
        return tir.Select(keep, left[0], right[0]), tir.Select(keep, left[1], right[1])

    pair = te.comm_reducer(better, lambda where, value: (tir.const(-1, where), te.min_value(value)), name="best_of")
    x, mask = te.placeholder((64, columns), name="x"), te.placeholder((rows, columns), "uint8", "mask")
    ids = te.placeholder((rows,), "int32", "ids")
    k, m = te.reduce_axis((1, columns), name="k"), te.reduce_axis((0, columns), name="m")
    where, value = te.compute(
        (rows,),
        lambda i: pair((k.var.astype("int64"), x[ids[i], k]), axis=k, where=mask[i, k] > tir.const(0, "uint8")),
        name="best",
    )
    total = te.compute((rows,), lambda i: te.sum(x[i, m] * x[i + 1, m], axis=m, init=value[i]), name="total")
    return [x, mask, ids, te.compute((rows,), lambda i: where[i] * 2, name="twice"), total]


def _uneven(size: int) -> list[Any]:
    """A reduction as long as the row's number, of vectors, and one over no values."""
    from tvm import te

    x, nothing = te.placeholder((size, size), "float32x4", "x"), te.placeholder((size, 0), name="nothing")
    square = te.placeholder((size, size), name="square")

    def row(i: Any) -> Any:
        k = te.reduce_axis((0, i + 1), name="k")
        return te.sum(square[i, k], axis=k)

    empty = te.reduce_axis((0, 0), name="empty")
    sums = te.compute((size,), row, name="sums")
    zeros = te.compute((size,), lambda i: te.sum(nothing[i, empty], axis=empty, init=sums[i]), name="zeros")
    return [x, nothing, square, zeros, te.compute((size, size), lambda i, j: x[i, j] * x[j, i], name="y")]


def _symbolic() -> list[Any]:
    from tvm import te

    a = te.placeholder((te.var("n"), 8), name="a")
    b = te.compute(a.shape, lambda i, j: a[i, j] + 1.0, name="b")
    return [a, b]


def _every_step(task: Any) -> Any:
    """A state that has every transform step; the sense of the schedule does not matter, its reading does."""
    s = task.compute_dag.get_init_state()
    b, scaled, c, d = 1, 2, 3, 4
    s.cache_read(b, "shared", [c])
    b_cache, scaled, c, d = 2, 3, 4, 5
    s.cache_write(c, "local")
    c_cache, c, d = 4, 5, 6
    i, j = s.stages[d].iters
    i_parts = s.split(d, i, [2, 4, 2], True)
    j_parts = s.split(d, j, [3, 4], False)
    i_step, j_step = len(s.transform_steps) - 2, len(s.transform_steps) - 1
    s.reorder(d, [i_parts[0], j_parts[0], i_parts[1], j_parts[1], i_parts[2], j_parts[2], i_parts[3]])
    s.fuse(d, [s.stages[d].iters[0], s.stages[d].iters[1]])
    i, j = s.stages[c].iters
    s.follow_split(c, i, i_step, 2)
    s.follow_split(c, j, j_step, 3)
    s.compute_at(c, d, s.stages[d].iters[1])
    s.compute_at(c_cache, c, s.stages[c].iters[3])
    s.split(c_cache, s.stages[c_cache].iters[2], [10])
    s.split(c, s.stages[c].iters[0], [2])  # moves the loop that c_cache is attached to
    s.fuse(c, [s.stages[c].iters[0], s.stages[c].iters[1]])
    together = s.fuse(b_cache, [s.stages[b_cache].iters[0], s.stages[b_cache].iters[1]])
    s.follow_fused_split(b_cache, together, [i_step, j_step], 1, False)
    s.follow_fused_split(b_cache, s.stages[b_cache].iters[0], [i_step, j_step], 0, True)
    s.compute_at(b_cache, c_cache, s.stages[c_cache].iters[1])
    s.storage_align(b_cache, s.stages[b_cache].iters[-1], 32, 8)
    s.compute_inline(scaled)
    s.pragma(d, s.stages[d].iters[0], "auto_unroll_max_step$64")
    s.pragma(c, s.stages[c].iters[0], "auto_unroll_max_step$512")
    s.parallel(d, s.stages[d].iters[0])
    s.vectorize(d, s.stages[d].iters[-1])
    s.unroll(d, s.stages[d].iters[-2])
    return s


def _unfinished(task: Any) -> Iterator[Any]:
    """States as they look before bounds are inferred, or with a stage taken back to the root, or bound to threads."""
    c, d = 3, 4
    s = task.compute_dag.get_init_state()
    s.compute_at(c, d, s.stages[d].iters[0])
    yield s.copy()
    s.compute_root(c)
    yield s.copy()
    s.bind(d, s.stages[d].iters[0], "blockIdx.x")
    s.bind(d, s.stages[d].iters[1], "threadIdx.x")
    yield s.copy()
    s = task.compute_dag.get_init_state()
    s.split(c, s.stages[c].iters[2], [16])
    s.rfactor(c, s.stages[c].iters[2], 2)
    yield s


def _sampled(task: Any) -> list[Any]:
    from tvm import auto_scheduler

    sizes = {"sample_init_min_population": POPULATION, "evolutionary_search_population": 2 * POPULATION}
    policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=sizes, verbose=0, seed=1)
    states = list(policy.sample_initial_population())[: 2 * POPULATION]
    return [task.compute_dag.infer_bound_from_state(state) for state in states]
