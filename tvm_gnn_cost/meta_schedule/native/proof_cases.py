"""Schedules that meet every field that the native reader reads, made by hand: TVM's own search would first read its
intrinsics, for seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def proof_cases() -> Iterator[tuple[str, Any, Any, list[Any]]]:
    """(name, function, target, candidates: modules) of each case."""
    from tvm.target import Target

    host = Target({"kind": "llvm", "num-cores": 4, "mcpu": "core-avx2"})
    device = Target({"kind": "cuda", "arch": "sm_80", "max_threads_per_block": 1024})
    product = _product(64, 48, 80)
    yield "product, CPU", product, host, [_plain(product), *(_tiled(product, factor) for factor in (4, 7, 16))]
    yield "product, GPU", product, device, [_on_gpu(product, align) for align in (False, True)]
    norm = _norm(18, 96)
    yield "norm, CPU", norm, host, [_plain(norm), *(_factored(norm, factor) for factor in (8, 5))]
    chain = _chain(1, 12, 8)
    yield "chain, CPU", chain, host, [_plain(chain), _attached(chain), _nested(chain)]
    wide = _product(32, 32, 32, "float16")
    yield "product of halves, CPU", wide, host, [_plain(wide), _tiled(wide, 8)]


def _product(rows: int, columns: int, depth: int, dtype: str = "float32") -> Any:
    """max(A B, 0)."""
    from tvm import te, tirx

    a, b = te.placeholder((rows, depth), dtype, "A"), te.placeholder((depth, columns), dtype, "B")
    k = te.reduce_axis((0, depth), name="k")
    c = te.compute((rows, columns), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    d = te.compute((rows, columns), lambda i, j: tirx.max(c[i, j], tirx.const(0, dtype)), name="D")
    return te.create_prim_func([a, b, d])


def _norm(rows: int, columns: int) -> Any:
    """The length of each row."""
    from tvm import te, tirx

    a = te.placeholder((rows, columns), name="A")
    k = te.reduce_axis((0, columns), name="k")
    c = te.compute((rows,), lambda i: te.sum(a[i, k] * a[i, k], axis=k), name="C")
    d = te.compute((rows,), lambda i: tirx.sqrt(c[i]), name="D")
    return te.create_prim_func([a, d])


def _chain(batch: int, size: int, channels: int) -> Any:
    """A padded window, rows that an index tensor names, integers, a condition."""
    from tvm import te, tirx

    x = te.placeholder((batch, size, channels), name="X")
    ids = te.placeholder((size,), "int32", "ids")
    inside = te.compute(
        (batch, size + 2, channels),
        lambda n, y, c: tirx.if_then_else(tirx.all(y >= 1, y < size + 1), x[n, y - 1, c], tirx.const(0.0, "float32")),
        name="padded",
    )
    r = te.reduce_axis((0, 3), name="r")
    summed = te.compute(
        (batch, size, channels), lambda n, y, c: te.max(inside[n, y + r, c] * 2.0, axis=r), name="window"
    )
    picked = te.compute(
        (batch, size, channels),
        lambda n, y, c: tirx.exp(summed[n, ids[y], c]) + tirx.Cast("float32", y % 3),
        name="picked",
    )
    return te.create_prim_func([x, ids, picked])


def _schedule(function: Any) -> Any:
    from tvm.s_tir import Schedule

    return Schedule(function)


def _plain(function: Any) -> Any:
    return _schedule(function).mod


def _tiled(function: Any, factor: int) -> Any:
    """Tiles (with a predicate where they do not fit), a fused parallel loop, vectors, an unrolled loop, a pragma, an
    epilogue inside, initial values of their own."""
    s = _schedule(function)
    c, d = s.get_sblock("C"), s.get_sblock("D")
    i, j, k = s.get_loops(c)
    i0, i1 = s.split(i, [None, factor])
    j0, j1 = s.split(j, [None, 8])
    k0, k1 = s.split(k, [None, factor])
    s.reorder(i0, j0, k0, i1, k1, j1)
    s.reverse_compute_at(d, j0)
    outer = s.fuse(i0, j0)
    s.parallel(outer)
    s.annotate(outer, "pragma_auto_unroll_max_step", 64)
    s.annotate(outer, "pragma_unroll_explicit", 1)
    s.vectorize(j1)
    s.unroll(k1)
    s.decompose_reduction(c, k0)
    return s.mod


def _on_gpu(function: Any, align: bool) -> Any:
    """Blocks, virtual threads and threads; a copy in shared memory that the threads fetch together."""
    s = _schedule(function)
    c, d = s.get_sblock("C"), s.get_sblock("D")
    i, j, k = s.get_loops(c)
    i0, i1, i2 = s.split(i, [None, 2, 8])
    j0, j1 = s.split(j, [None, 16])
    k0, k1 = s.split(k, [None, 8])
    s.reorder(i0, j0, i1, i2, j1, k0, k1)
    s.bind(s.fuse(i0, j0), "blockIdx.x")
    s.bind(i1, "vthread.x")
    s.bind(i2, "threadIdx.y")
    s.bind(j1, "threadIdx.x")
    local = s.cache_write(c, 0, "local")
    s.reverse_compute_at(local, j1)
    shared = s.cache_read(c, 1, "shared")
    s.compute_at(shared, k0)
    fused = s.fuse(*s.get_loops(shared)[-2:])
    _, y, x = s.split(fused, [None, 8, 16])
    s.bind(y, "threadIdx.y")
    s.bind(x, "threadIdx.x")
    if align:
        s.storage_align(shared, 0, -2, 32, 8)
    i, j = s.get_loops(d)
    s.bind(i, "blockIdx.x")
    s.bind(j, "threadIdx.x")
    return s.mod


def _factored(function: Any, factor: int) -> Any:
    """A sum in parts, and the sum of these."""
    s = _schedule(function)
    c = s.get_sblock("C")
    _, k = s.get_loops(c)
    k0, _ = s.split(k, [None, factor])
    s.rfactor(k0, 0)
    return s.mod


def _attached(function: Any) -> Any:
    """Producers inside their consumers, of which they compute windows."""
    s = _schedule(function)
    window, padded = s.get_sblock("window"), s.get_sblock("padded")
    _, y, _, _ = s.get_loops(window)
    y0, _ = s.split(y, [None, 4])
    s.compute_at(padded, y0)
    return s.mod


def _nested(function: Any) -> Any:
    """A block around loops and another block."""
    s = _schedule(function)
    window = s.get_sblock("window")
    loops = s.get_loops(window)
    y0, y1 = s.split(loops[1], [None, 4])
    s.blockize(y1)
    s.parallel(y0)
    return s.mod
