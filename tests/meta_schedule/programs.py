"""Small programs in tensor expressions, for whichever TVM is installed."""

from __future__ import annotations

from typing import Any

from tvm import te
from tvm.target import Target

from tvm_gnn_cost.meta_schedule.names import NAMES

tir = NAMES.tir
GPU = Target("nvidia/nvidia-a100")
CPU = Target({"kind": "llvm", "num-cores": 4, "mcpu": "core-avx2"})


def matmul_tensors(n: int = 64, m: int = 64, k: int = 128, dtype: str = "float32") -> list[te.Tensor]:
    """relu(A B)."""
    a, b = te.placeholder((n, k), dtype, "A"), te.placeholder((k, m), dtype, "B")
    r = te.reduce_axis((0, k), name="r")
    c = te.compute((n, m), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name="C")
    d = te.compute((n, m), lambda i, j: tir.max(c[i, j], tir.const(0, dtype)), name="D")
    return [a, b, d]


def matmul(n: int = 64, m: int = 64, k: int = 128, dtype: str = "float32") -> Any:
    """relu(A B), as a program that is not scheduled."""
    return te.create_prim_func(matmul_tensors(n, m, k, dtype))


def conv(h: int = 14, channels: int = 16, k: int = 3) -> Any:
    """A padded convolution (NHWC), bias, ReLU."""
    x = te.placeholder((1, h, h, channels), name="X")
    w, bias = te.placeholder((k, k, channels, channels), name="W"), te.placeholder((channels,), name="bias")
    pad = k // 2
    zero = tir.const(0.0, "float32")
    padded = te.compute(
        (1, h + 2 * pad, h + 2 * pad, channels),
        lambda n, y, z, c: tir.if_then_else(
            tir.all(y >= pad, y < h + pad, z >= pad, z < h + pad), x[n, y - pad, z - pad, c], zero
        ),
        name="pad",
    )
    ry, rz, rc = (te.reduce_axis((0, extent), name=name) for extent, name in ((k, "ry"), (k, "rz"), (channels, "rc")))
    out = te.compute(
        (1, h, h, channels),
        lambda n, y, z, f: te.sum(padded[n, y + ry, z + rz, rc] * w[ry, rz, rc, f], axis=[ry, rz, rc]),
        name="conv",
    )
    relu = te.compute(out.shape, lambda n, y, z, f: tir.max(out[n, y, z, f] + bias[f], zero), name="relu")
    return te.create_prim_func([x, w, bias, relu])


def softmax(n: int = 64, m: int = 64) -> Any:
    """Softmax of rows."""
    a = te.placeholder((n, m), name="A")
    k, k2 = te.reduce_axis((0, m), name="k"), te.reduce_axis((0, m), name="k2")
    top = te.compute((n,), lambda i: te.max(a[i, k], axis=k), name="rowmax")
    exp = te.compute((n, m), lambda i, j: tir.exp(a[i, j] - top[i]), name="exp")
    total = te.compute((n,), lambda i: te.sum(exp[i, k2], axis=k2), name="rowsum")
    out = te.compute((n, m), lambda i, j: exp[i, j] / total[i], name="norm")
    return te.create_prim_func([a, out])


PROGRAMS = {"matmul": matmul, "conv": conv, "softmax": softmax}
