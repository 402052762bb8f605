"""Operators and multi-stage chains written out in te; each function returns its inputs and its output, in float32.

This module imports TVM, so it is imported late; builder processes import it by name, so it stays light.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import te, tir, topi

Tensors = list[te.Tensor]


def dense(m: int, n: int, k: int) -> Tensors:
    """x (m, k) times w (n, k) transposed."""
    x, w = _inputs(x=(m, k), w=(n, k))
    return [x, w, topi.nn.dense(x, w)]


def dense_relu(m: int, n: int, k: int) -> Tensors:
    """`dense`, then ReLU."""
    x, w = _inputs(x=(m, k), w=(n, k))
    return [x, w, topi.nn.relu(topi.nn.dense(x, w))]


def mlp(m: int, k: int, h: int, n: int) -> Tensors:
    """Two dense layers, ReLU between them: (m, k) -> (m, h) -> (m, n)."""
    x, w1, w2 = _inputs(x=(m, k), w1=(h, k), w2=(n, h))
    return [x, w1, w2, topi.nn.dense(topi.nn.relu(topi.nn.dense(x, w1)), w2)]


def swiglu(m: int, k: int, h: int) -> Tensors:
    """The gated unit of transformer blocks: swish(x w1) * (x w2), (m, k) -> (m, h)."""
    x, w1, w2 = _inputs(x=(m, k), w1=(h, k), w2=(h, k))
    gate, up = topi.nn.dense(x, w1), topi.nn.dense(x, w2)
    return [x, w1, w2, topi.multiply(topi.multiply(gate, topi.sigmoid(gate)), up)]


def attention(heads: int, seq_len: int, dim: int) -> Tensors:
    """Scaled dot-product attention of one layer: softmax(q k^T / sqrt(dim)) v, each (heads, seq_len, dim)."""
    shape = (heads, seq_len, dim)
    q, k, v = _inputs(q=shape, k=shape, v=shape)
    scores = topi.multiply(topi.nn.batch_matmul(q, k), tir.const(dim**-0.5, "float32"))
    weights = topi.nn.softmax(scores, axis=-1)
    return [q, k, v, topi.nn.batch_matmul(weights, v, transpose_b=False)]


def layer_norm(m: int, n: int) -> Tensors:
    """Layer normalisation of m rows of n, with scale and shift."""
    x, gamma, beta = _inputs(x=(m, n), gamma=(n,), beta=(n,))
    total = _row_sum(x, "sum")
    centred = te.compute((m, n), lambda i, j: x[i, j] - total[i] / n, name="centred")
    square = te.compute((m, n), lambda i, j: centred[i, j] * centred[i, j], name="square")
    squares = _row_sum(square, "sumsq")
    out = te.compute(
        (m, n),
        lambda i, j: centred[i, j] * tir.rsqrt(squares[i] / n + 1e-5) * gamma[j] + beta[j],
        name="norm",
    )
    return [x, gamma, beta, out]


def rms_norm(m: int, n: int) -> Tensors:
    """Root-mean-square normalisation of m rows of n, with scale."""
    x, gamma = _inputs(x=(m, n), gamma=(n,))
    square = te.compute((m, n), lambda i, j: x[i, j] * x[i, j], name="square")
    squares = _row_sum(square, "sumsq")
    out = te.compute((m, n), lambda i, j: x[i, j] * tir.rsqrt(squares[i] / n + 1e-6) * gamma[j], name="norm")
    return [x, gamma, out]


def log_softmax(m: int, n: int) -> Tensors:
    """Log-softmax over the rows of (m, n)."""
    (x,) = _inputs(x=(m, n))
    return [x, topi.nn.log_softmax(x)]


def elementwise_chain(m: int, n: int) -> Tensors:
    """tanh(exp(x) * y + x), elementwise."""
    x, y = _inputs(x=(m, n), y=(m, n))
    return [x, y, topi.tanh(topi.add(topi.multiply(topi.exp(x), y), x))]


def reduce_rows(m: int, n: int) -> Tensors:
    """The sum of each row of (m, n)."""
    (x,) = _inputs(x=(m, n))
    return [x, topi.sum(x, axis=1)]


def reduce_columns(m: int, n: int) -> Tensors:
    """The maximum of each column of (m, n)."""
    (x,) = _inputs(x=(m, n))
    return [x, topi.max(x, axis=0)]


def transpose_add(m: int, n: int) -> Tensors:
    """x (m, n) transposed, plus y (n, m)."""
    x, y = _inputs(x=(m, n), y=(n, m))
    return [x, y, topi.add(topi.transpose(x), y)]


def matvec(n: int, k: int) -> Tensors:
    """w (n, k) times x (k,)."""
    w, x = _inputs(w=(n, k), x=(k,))
    r = te.reduce_axis((0, k), name="r")
    return [w, x, te.compute((n,), lambda i: te.sum(w[i, r] * x[r], axis=r), name="y")]


def global_average_pool(n: int, c: int, h: int, w: int) -> Tensors:
    """The mean over h and w of (n, c, h, w)."""
    (x,) = _inputs(x=(n, c, h, w))
    return [x, topi.nn.global_pool(x, "avg")]


def average_pool2d(n: int, c: int, h: int, w: int, kernel: int, stride: int, padding: int) -> Tensors:
    """Average pooling of (n, c, h, w)."""
    (x,) = _inputs(x=(n, c, h, w))
    pool = topi.nn.pool2d(x, (kernel, kernel), (stride, stride), (1, 1), (padding,) * 4, "avg")
    return [x, pool]


def conv2d_bias_swish(
    n: int, c: int, h: int, w: int, out_channels: int, kernel: int, stride: int, padding: int
) -> Tensors:
    """An NCHW convolution with bias and swish."""
    x, f, b = _inputs(x=(n, c, h, w), f=(out_channels, c, kernel, kernel), b=(1, out_channels, 1, 1))
    y = topi.add(topi.nn.conv2d_nchw(x, f, stride, padding, 1, out_dtype="float32"), b)
    return [x, f, b, topi.multiply(y, topi.sigmoid(y))]


def separable_conv2d(n: int, h: int, w: int, c: int, out_channels: int, kernel: int, stride: int) -> Tensors:
    """A depthwise convolution and a pointwise one, ReLU6 after each (MobileNet's block), in NCHW."""
    x, d, f = _inputs(x=(n, c, h, w), d=(c, 1, kernel, kernel), f=(out_channels, c, 1, 1))
    y = topi.nn.depthwise_conv2d_nchw(x, d, stride, kernel // 2, 1, out_dtype="float32")
    y = topi.nn.conv2d_nchw(topi.clip(y, 0.0, 6.0), f, 1, 0, 1, out_dtype="float32")
    return [x, d, f, topi.clip(y, 0.0, 6.0)]


def grouped_conv2d_nchw(
    n: int, c: int, h: int, w: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
) -> Tensors:
    """A grouped NCHW convolution, then ReLU."""
    x, f = _inputs(x=(n, c, h, w), f=(out_channels, c // groups, kernel, kernel))
    y = topi.nn.group_conv2d_nchw(x, f, stride, padding, 1, groups, out_dtype="float32")
    return [x, f, topi.nn.relu(y)]


def upsample_conv2d(n: int, c: int, h: int, w: int, out_channels: int, kernel: int) -> Tensors:
    """Nearest-neighbour upsampling by two, then an NCHW convolution that keeps the size."""
    x, f = _inputs(x=(n, c, h, w), f=(out_channels, c, kernel, kernel))
    up = te.compute((n, c, 2 * h, 2 * w), lambda b, i, y, z: x[b, i, y // 2, z // 2], name="up")
    return [x, f, topi.nn.conv2d_nchw(up, f, 1, kernel // 2, 1, out_dtype="float32")]


CHAINS: tuple[Callable[..., Tensors], ...] = (
    dense,
    dense_relu,
    mlp,
    swiglu,
    attention,
    layer_norm,
    rms_norm,
    log_softmax,
    elementwise_chain,
    reduce_rows,
    reduce_columns,
    transpose_add,
    matvec,
    global_average_pool,
    average_pool2d,
    conv2d_bias_swish,
    separable_conv2d,
    grouped_conv2d_nchw,
    upsample_conv2d,
)


def _inputs(**shapes: tuple[int, ...]) -> Tensors:
    return [te.placeholder(shape, name=name) for name, shape in shapes.items()]


def _row_sum(x: te.Tensor, name: str) -> te.Tensor:
    rows, columns = x.shape
    r = te.reduce_axis((0, columns), name="r_" + name)
    return te.compute((rows,), lambda i: te.sum(x[i, r], axis=r), name=name)
