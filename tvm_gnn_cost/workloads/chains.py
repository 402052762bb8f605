"""Operators and multi-stage chains on matrices, written out in te; each function returns its inputs and its output.

Elements are float32 unless said. This module imports TVM, so it is imported late; builder processes import it by name,
so it stays light.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import te, topi

from tvm_gnn_cost.workloads.tensors import Tensors, inputs
from tvm_gnn_cost.workloads.tir import tir


def dense(m: int, n: int, k: int) -> Tensors:
    """x (m, k) times w (n, k) transposed."""
    x, w = inputs(x=(m, k), w=(n, k))
    return [x, w, topi.nn.dense(x, w)]


def dense_relu(m: int, n: int, k: int) -> Tensors:
    """`dense`, then ReLU."""
    x, w = inputs(x=(m, k), w=(n, k))
    return [x, w, topi.nn.relu(topi.nn.dense(x, w))]


def mlp(m: int, k: int, h: int, n: int) -> Tensors:
    """Two dense layers, ReLU between them: (m, k) -> (m, h) -> (m, n)."""
    x, w1, w2 = inputs(x=(m, k), w1=(h, k), w2=(n, h))
    return [x, w1, w2, topi.nn.dense(topi.nn.relu(topi.nn.dense(x, w1)), w2)]


def swiglu(m: int, k: int, h: int) -> Tensors:
    """The gated unit of transformer blocks: swish(x w1) * (x w2), (m, k) -> (m, h)."""
    x, w1, w2 = inputs(x=(m, k), w1=(h, k), w2=(h, k))
    gate, up = topi.nn.dense(x, w1), topi.nn.dense(x, w2)
    return [x, w1, w2, topi.multiply(topi.multiply(gate, topi.sigmoid(gate)), up)]


def attention(heads: int, seq_len: int, dim: int) -> Tensors:
    """Scaled dot-product attention of one layer: softmax(q k^T / sqrt(dim)) v, each (heads, seq_len, dim)."""
    shape = (heads, seq_len, dim)
    q, k, v = inputs(q=shape, k=shape, v=shape)
    scores = topi.multiply(topi.nn.batch_matmul(q, k), tir.const(dim**-0.5, "float32"))
    weights = topi.nn.softmax(scores, axis=-1)
    return [q, k, v, topi.nn.batch_matmul(weights, v, transpose_b=False)]


def layer_norm(m: int, n: int) -> Tensors:
    """Layer normalisation of m rows of n, with scale and shift."""
    x, gamma, beta = inputs(x=(m, n), gamma=(n,), beta=(n,))
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
    x, gamma = inputs(x=(m, n), gamma=(n,))
    square = te.compute((m, n), lambda i, j: x[i, j] * x[i, j], name="square")
    squares = _row_sum(square, "sumsq")
    out = te.compute((m, n), lambda i, j: x[i, j] * tir.rsqrt(squares[i] / n + 1e-6) * gamma[j], name="norm")
    return [x, gamma, out]


def log_softmax(m: int, n: int) -> Tensors:
    """Log-softmax over the rows of (m, n)."""
    (x,) = inputs(x=(m, n))
    return [x, topi.nn.log_softmax(x)]


def elementwise_chain(m: int, n: int) -> Tensors:
    """tanh(exp(x) * y + x), elementwise."""
    x, y = inputs(x=(m, n), y=(m, n))
    return [x, y, topi.tanh(topi.add(topi.multiply(topi.exp(x), y), x))]


def reduce_rows(m: int, n: int) -> Tensors:
    """The sum of each row of (m, n)."""
    (x,) = inputs(x=(m, n))
    return [x, topi.sum(x, axis=1)]


def reduce_columns(m: int, n: int) -> Tensors:
    """The maximum of each column of (m, n)."""
    (x,) = inputs(x=(m, n))
    return [x, topi.max(x, axis=0)]


def transpose_add(m: int, n: int) -> Tensors:
    """x (m, n) transposed, plus y (n, m)."""
    x, y = inputs(x=(m, n), y=(n, m))
    return [x, y, topi.add(topi.transpose(x), y)]


def matvec(n: int, k: int) -> Tensors:
    """w (n, k) times x (k,)."""
    w, x = inputs(w=(n, k), x=(k,))
    r = te.reduce_axis((0, k), name="r")
    return [w, x, te.compute((n,), lambda i: te.sum(w[i, r] * x[r], axis=r), name="y")]


def dense_bias_gelu(m: int, n: int, k: int) -> Tensors:
    """The first half of a transformer's feed-forward block: `dense`, bias and GELU in its tanh form."""
    x, w, b = inputs(x=(m, k), w=(n, k), b=(n,))
    y = _product(x, w, "dense")
    return [x, w, b, te.compute((m, n), lambda i, j: _gelu(y[i, j] + b[j]), name="gelu")]


def dense_int8(m: int, n: int, k: int) -> Tensors:
    """x (m, k) times w (n, k) transposed, in int8 with sums in int32."""
    x, w = (te.placeholder(shape, "int8", name) for name, shape in (("x", (m, k)), ("w", (n, k))))
    r = te.reduce_axis((0, k), name="r")
    y = te.compute((m, n), lambda i, j: te.sum(x[i, r].astype("int32") * w[j, r].astype("int32"), axis=r), name="y")
    return [x, w, y]


def matmul_tn(m: int, n: int, k: int) -> Tensors:
    """x (k, m) transposed times y (k, n): the gradient of a dense layer's weights."""
    x, y = inputs(x=(k, m), y=(k, n))
    r = te.reduce_axis((0, k), name="r")
    return [x, y, te.compute((m, n), lambda i, j: te.sum(x[r, i] * y[r, j], axis=r), name="z")]


def lstm_cell(batch: int, inputs_size: int, hidden: int) -> Tensors:
    """The new hidden state of an LSTM: two products, four gates, (batch, inputs_size) -> (batch, hidden)."""
    x, h, c, w, u = inputs(
        x=(batch, inputs_size),
        h=(batch, hidden),
        c=(batch, hidden),
        w=(4 * hidden, inputs_size),
        u=(4 * hidden, hidden),
    )
    of_input, of_state = _product(x, w, "of_input"), _product(h, u, "of_state")
    gates = te.compute((batch, 4 * hidden), lambda i, j: of_input[i, j] + of_state[i, j], name="gates")
    cell = te.compute(
        (batch, hidden),
        lambda i, j: (
            _sigmoid(gates[i, hidden + j]) * c[i, j] + _sigmoid(gates[i, j]) * tir.tanh(gates[i, 2 * hidden + j])
        ),
        name="cell",
    )
    out = te.compute(
        (batch, hidden), lambda i, j: _sigmoid(gates[i, 3 * hidden + j]) * tir.tanh(cell[i, j]), name="state"
    )
    return [x, h, c, w, u, out]


def pairwise_distance(m: int, n: int, k: int) -> Tensors:
    """Euclidean distances of m points to n others in k dimensions."""
    x, y = inputs(x=(m, k), y=(n, k))
    r = te.reduce_axis((0, k), name="r")
    square = te.compute((m, n), lambda i, j: te.sum((x[i, r] - y[j, r]) * (x[i, r] - y[j, r]), axis=r), name="square")
    return [x, y, te.compute((m, n), lambda i, j: tir.sqrt(square[i, j]), name="distance")]


def mttkrp(i: int, j: int, k: int, m: int) -> Tensors:
    """The matricised tensor times Khatri-Rao product: the sum of x[i, k, m] y[k, j] z[m, j] over k and m."""
    x, y, z = inputs(x=(i, k, m), y=(k, j), z=(m, j))
    r, s = te.reduce_axis((0, k), name="r"), te.reduce_axis((0, m), name="s")
    out = te.compute((i, j), lambda a, b: te.sum(x[a, r, s] * y[r, b] * z[s, b], axis=[r, s]), name="out")
    return [x, y, z, out]


def rotary_embedding(heads: int, seq_len: int, dim: int) -> Tensors:
    """Rotary position embedding of (heads, seq_len, dim); dim is even."""
    half = dim // 2
    x, cos, sin = inputs(x=(heads, seq_len, dim), cos=(seq_len, dim), sin=(seq_len, dim))
    turned = te.compute(
        (heads, seq_len, dim),
        lambda h, i, j: tir.if_then_else(j < half, -x[h, i, (j + half) % dim], x[h, i, (j + half) % dim]),
        name="turned",
    )
    out = te.compute(
        (heads, seq_len, dim), lambda h, i, j: x[h, i, j] * cos[i, j] + turned[h, i, j] * sin[i, j], name="out"
    )
    return [x, cos, sin, out]


def masked_softmax(batch: int, m: int, n: int) -> Tensors:
    """Softmax over the last axis of (batch, m, n) after a mask (m, n) is added."""
    x, mask = inputs(x=(batch, m, n), mask=(m, n))
    masked = te.compute((batch, m, n), lambda b, i, j: x[b, i, j] + mask[i, j], name="masked")
    return [x, mask, topi.nn.softmax(masked, axis=-1)]


def cross_entropy(m: int, n: int) -> Tensors:
    """Softmax cross-entropy of m rows of n logits with probabilities of the same shape."""
    x, t = inputs(x=(m, n), t=(m, n))
    r = te.reduce_axis((0, n), name="r")
    top = te.compute((m,), lambda i: te.max(x[i, r], axis=r), name="top")
    power = te.compute((m, n), lambda i, j: tir.exp(x[i, j] - top[i]), name="power")
    total = _row_sum(power, "total")
    weighted = te.compute((m, n), lambda i, j: t[i, j] * (x[i, j] - top[i]), name="weighted")
    target = _row_sum(weighted, "target")
    return [x, t, te.compute((m,), lambda i: tir.log(total[i]) - target[i], name="loss")]


def column_deviations(m: int, n: int) -> Tensors:
    """The standard deviation of each column of (m, n)."""
    (x,) = inputs(x=(m, n))
    r, s = te.reduce_axis((0, m), name="r"), te.reduce_axis((0, m), name="s")
    total = te.compute((n,), lambda j: te.sum(x[r, j], axis=r), name="total")
    squares = te.compute(
        (n,), lambda j: te.sum((x[s, j] - total[j] / m) * (x[s, j] - total[j] / m), axis=s), name="squares"
    )
    return [x, te.compute((n,), lambda j: tir.sqrt(squares[j] / m), name="deviation")]


def sum_of_squares(n: int) -> Tensors:
    """The sum of the squares of n elements."""
    (x,) = inputs(x=(n,))
    r = te.reduce_axis((0, n), name="r")
    return [x, te.compute((1,), lambda i: te.sum(x[r] * x[r], axis=r), name="total")]


def bias_gelu(m: int, n: int) -> Tensors:
    """GELU, in its tanh form, of (m, n) plus a bias for each column."""
    x, b = inputs(x=(m, n), b=(n,))
    return [x, b, te.compute((m, n), lambda i, j: _gelu(x[i, j] + b[j]), name="gelu")]


MATRIX_CHAINS: tuple[Callable[..., Tensors], ...] = (
    dense,
    dense_relu,
    dense_bias_gelu,
    dense_int8,
    mlp,
    swiglu,
    attention,
    lstm_cell,
    matmul_tn,
    matvec,
    pairwise_distance,
    mttkrp,
    layer_norm,
    rms_norm,
    log_softmax,
    masked_softmax,
    cross_entropy,
    elementwise_chain,
    bias_gelu,
    rotary_embedding,
    reduce_rows,
    reduce_columns,
    column_deviations,
    sum_of_squares,
    transpose_add,
)


def _row_sum(x: te.Tensor, name: str) -> te.Tensor:
    rows, columns = x.shape
    r = te.reduce_axis((0, columns), name="r_" + name)
    return te.compute((rows,), lambda i: te.sum(x[i, r], axis=r), name=name)


def _product(x: te.Tensor, w: te.Tensor, name: str) -> te.Tensor:
    """x (m, k) times w (n, k) transposed."""
    r = te.reduce_axis((0, x.shape[1]), name="r_" + name)
    return te.compute((x.shape[0], w.shape[0]), lambda i, j: te.sum(x[i, r] * w[j, r], axis=r), name=name)


def _sigmoid(x: tir.PrimExpr) -> tir.PrimExpr:
    return 1.0 / (1.0 + tir.exp(-x))


def _gelu(x: tir.PrimExpr) -> tir.PrimExpr:
    return 0.5 * x * (1.0 + tir.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))
