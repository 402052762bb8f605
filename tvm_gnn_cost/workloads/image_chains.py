"""Operators and multi-stage chains on images, written out in te; each function returns its inputs and its output.

Elements are float32. This module imports TVM, so it is imported late; builder processes import it by name, so it stays
light.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import te, topi

from tvm_gnn_cost.workloads.tensors import Tensors, inputs
from tvm_gnn_cost.workloads.tir import tir


def global_average_pool(n: int, c: int, h: int, w: int) -> Tensors:
    """The mean over h and w of (n, c, h, w)."""
    (x,) = inputs(x=(n, c, h, w))
    return [x, topi.nn.global_pool(x, "avg")]


def average_pool2d(n: int, c: int, h: int, w: int, kernel: int, stride: int, padding: int) -> Tensors:
    """Average pooling of (n, c, h, w)."""
    (x,) = inputs(x=(n, c, h, w))
    pool = topi.nn.pool2d(x, (kernel, kernel), (stride, stride), (1, 1), (padding,) * 4, "avg")
    return [x, pool]


def conv2d_bias_swish(
    n: int, c: int, h: int, w: int, out_channels: int, kernel: int, stride: int, padding: int
) -> Tensors:
    """An NCHW convolution with bias and swish."""
    x, f, b = inputs(x=(n, c, h, w), f=(out_channels, c, kernel, kernel), b=(1, out_channels, 1, 1))
    y = topi.add(topi.nn.conv2d_nchw(x, f, stride, padding, 1, out_dtype="float32"), b)
    return [x, f, b, topi.multiply(y, topi.sigmoid(y))]


def separable_conv2d(n: int, h: int, w: int, c: int, out_channels: int, kernel: int, stride: int) -> Tensors:
    """A depthwise convolution and a pointwise one, ReLU6 after each (MobileNet's block), in NCHW."""
    x, d, f = inputs(x=(n, c, h, w), d=(c, 1, kernel, kernel), f=(out_channels, c, 1, 1))
    y = topi.nn.depthwise_conv2d_nchw(x, d, stride, kernel // 2, 1, out_dtype="float32")
    y = topi.nn.conv2d_nchw(topi.clip(y, 0.0, 6.0), f, 1, 0, 1, out_dtype="float32")
    return [x, d, f, topi.clip(y, 0.0, 6.0)]


def grouped_conv2d_nchw(
    n: int, c: int, h: int, w: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
) -> Tensors:
    """A grouped NCHW convolution, then ReLU."""
    x, f = inputs(x=(n, c, h, w), f=(out_channels, c // groups, kernel, kernel))
    y = topi.nn.group_conv2d_nchw(x, f, stride, padding, 1, groups, out_dtype="float32")
    return [x, f, topi.nn.relu(y)]


def upsample_conv2d(n: int, c: int, h: int, w: int, out_channels: int, kernel: int) -> Tensors:
    """Nearest-neighbour upsampling by two, then an NCHW convolution that keeps the size."""
    x, f = inputs(x=(n, c, h, w), f=(out_channels, c, kernel, kernel))
    up = te.compute((n, c, 2 * h, 2 * w), lambda b, i, y, z: x[b, i, y // 2, z // 2], name="up")
    return [x, f, topi.nn.conv2d_nchw(up, f, 1, kernel // 2, 1, out_dtype="float32")]


def conv2d_nchwc(
    n: int, c: int, h: int, w: int, out_channels: int, kernel: int, stride: int, padding: int, block: int = 8
) -> Tensors:
    """A convolution in the packed layout of CPU libraries: channels in blocks, (n, c / block, h, w, block)."""
    x, f = inputs(
        x=(n, c // block, h, w, block),
        f=(out_channels // block, c // block, kernel, kernel, block, block),
    )
    padded = topi.nn.pad(x, (0, 0, padding, padding, 0), name="padded")
    co, ci = te.reduce_axis((0, c // block), name="co"), te.reduce_axis((0, block), name="ci")
    ry, rx = te.reduce_axis((0, kernel), name="ry"), te.reduce_axis((0, kernel), name="rx")
    y = te.compute(
        (n, out_channels // block, _out(h, kernel, stride, padding), _out(w, kernel, stride, padding), block),
        lambda b, o, i, j, p: te.sum(
            padded[b, co, i * stride + ry, j * stride + rx, ci] * f[o, co, ry, rx, ci, p], axis=[co, ry, rx, ci]
        ),
        name="conv",
    )
    return [x, f, topi.nn.relu(y)]


def conv2d_nhwc_residual(n: int, h: int, w: int, c: int, kernel: int) -> Tensors:
    """The end of a residual block, in NHWC: a convolution that keeps the shape, bias, the shortcut, ReLU."""
    x, f, b, shortcut = inputs(x=(n, h, w, c), f=(kernel, kernel, c, c), b=(c,), shortcut=(n, h, w, c))
    y = _conv2d_nhwc(x, f, 1, kernel // 2, "conv")
    out = te.compute(
        (n, h, w, c), lambda q, i, j, o: tir.max(y[q, i, j, o] + b[o] + shortcut[q, i, j, o], 0.0), name="out"
    )
    return [x, f, b, shortcut, out]


def bottleneck_nhwc(n: int, h: int, w: int, c: int, middle: int) -> Tensors:
    """A residual bottleneck in NHWC: 1x1 to fewer channels, 3x3, 1x1 back, ReLU after each, and the shortcut."""
    x, f1, f2, f3 = inputs(x=(n, h, w, c), f1=(1, 1, c, middle), f2=(3, 3, middle, middle), f3=(1, 1, middle, c))
    y = topi.nn.relu(_conv2d_nhwc(x, f1, 1, 0, "reduce"))
    y = topi.nn.relu(_conv2d_nhwc(y, f2, 1, 1, "middle"))
    y = _conv2d_nhwc(y, f3, 1, 0, "expand")
    return [x, f1, f2, f3, topi.nn.relu(topi.add(y, x))]


def conv1d_ncl(n: int, c: int, length: int, out_channels: int, kernel: int, stride: int, padding: int) -> Tensors:
    """A one-dimensional convolution, channels first, then ReLU."""
    x, f = inputs(x=(n, c, length), f=(out_channels, c, kernel))
    padded = topi.nn.pad(x, (0, 0, padding), name="padded")
    r, s = te.reduce_axis((0, c), name="r"), te.reduce_axis((0, kernel), name="s")
    y = te.compute(
        (n, out_channels, _out(length, kernel, stride, padding)),
        lambda b, o, i: te.sum(padded[b, r, i * stride + s] * f[o, r, s], axis=[r, s]),
        name="conv",
    )
    return [x, f, topi.nn.relu(y)]


def conv2d_transpose_nchw(n: int, c: int, h: int, w: int, out_channels: int, kernel: int, stride: int) -> Tensors:
    """A transposed convolution, channels first."""
    x, f = inputs(x=(n, c, h, w), f=(c, out_channels, kernel, kernel))
    padding = (kernel - stride) // 2
    y = topi.nn.conv2d_transpose_nchw(x, f, (stride, stride), (padding,) * 4, "float32", (0, 0))
    return [x, f, y]


def depthwise_conv2d_nchw(n: int, c: int, h: int, w: int, kernel: int, stride: int, padding: int) -> Tensors:
    """A depthwise convolution, channels first, with bias and ReLU6."""
    x, f, b = inputs(x=(n, c, h, w), f=(c, 1, kernel, kernel), b=(1, c, 1, 1))
    y = topi.nn.depthwise_conv2d_nchw(x, f, stride, padding, 1, out_dtype="float32")
    return [x, f, b, topi.clip(topi.add(y, b), 0.0, 6.0)]


def squeeze_excite(n: int, c: int, h: int, w: int, reduced: int) -> Tensors:
    """Channel attention: the mean of each channel, two dense layers, and a factor for each channel."""
    x, w1, w2 = inputs(x=(n, c, h, w), w1=(reduced, c), w2=(c, reduced))
    ry, rx = te.reduce_axis((0, h), name="ry"), te.reduce_axis((0, w), name="rx")
    total = te.compute((n, c), lambda b, i: te.sum(x[b, i, ry, rx], axis=[ry, rx]), name="total")
    r, s = te.reduce_axis((0, c), name="r"), te.reduce_axis((0, reduced), name="s")
    squeezed = te.compute((n, reduced), lambda b, i: te.sum(total[b, r] / (h * w) * w1[i, r], axis=r), name="squeezed")
    active = te.compute((n, reduced), lambda b, i: tir.max(squeezed[b, i], 0.0), name="active")
    excited = te.compute((n, c), lambda b, i: te.sum(active[b, s] * w2[i, s], axis=s), name="excited")
    out = te.compute((n, c, h, w), lambda b, i, y, z: x[b, i, y, z] / (1.0 + tir.exp(-excited[b, i])), name="out")
    return [x, w1, w2, out]


def max_pool2d_nhwc(n: int, h: int, w: int, c: int, kernel: int, stride: int, padding: int) -> Tensors:
    """Maximum pooling, channels last."""
    (x,) = inputs(x=(n, h, w, c))
    pool = topi.nn.pool2d(x, (kernel, kernel), (stride, stride), (1, 1), (padding,) * 4, "max", layout="NHWC")
    return [x, pool]


def batch_norm_relu(n: int, c: int, h: int, w: int) -> Tensors:
    """Batch normalisation at inference, a factor and a shift for each channel, then ReLU."""
    x, scale, shift = inputs(x=(n, c, h, w), scale=(c,), shift=(c,))
    out = te.compute((n, c, h, w), lambda b, i, y, z: tir.max(x[b, i, y, z] * scale[i] + shift[i], 0.0), name="out")
    return [x, scale, shift, out]


def softmax_channels(n: int, c: int, h: int, w: int) -> Tensors:
    """Softmax over the channels of (n, c, h, w)."""
    (x,) = inputs(x=(n, c, h, w))
    return [x, topi.nn.softmax(x, axis=1)]


def local_response_norm(n: int, c: int, h: int, w: int, size: int) -> Tensors:
    """Local response normalisation across `size` channels."""
    (x,) = inputs(x=(n, c, h, w))
    return [x, topi.nn.lrn(x, size, axis=1, alpha=1e-4, beta=0.75, bias=1.0)]


def box_blur(h: int, w: int, radius: int) -> Tensors:
    """The mean of a square window, along rows and then along columns."""
    width = 2 * radius + 1
    (x,) = inputs(x=(h + width - 1, w + width - 1))
    r, s = te.reduce_axis((0, width), name="r"), te.reduce_axis((0, width), name="s")
    rows = te.compute((h + width - 1, w), lambda i, j: te.sum(x[i, j + r], axis=r), name="rows")
    both = te.compute((h, w), lambda i, j: te.sum(rows[i + s, j], axis=s), name="both")
    return [x, te.compute((h, w), lambda i, j: both[i, j] / (width * width), name="mean")]


def jacobi(h: int, w: int) -> Tensors:
    """Two steps of a five-point stencil."""
    (x,) = inputs(x=(h + 4, w + 4))

    def step(grid: te.Tensor, name: str) -> te.Tensor:
        return te.compute(
            (grid.shape[0] - 2, grid.shape[1] - 2),
            lambda i, j: (
                0.2 * (grid[i + 1, j + 1] + grid[i, j + 1] + grid[i + 2, j + 1] + grid[i + 1, j] + grid[i + 1, j + 2])
            ),
            name=name,
        )

    return [x, step(step(x, "first"), "second")]


def bilinear_upsample(n: int, c: int, h: int, w: int) -> Tensors:
    """Bilinear resizing by two."""
    (x,) = inputs(x=(n, c, h, w))
    size = [2 * h, 2 * w]
    return [x, topi.image.resize2d(x, [0.0] * 4, size, "NCHW", "linear", "asymmetric")]


def pixel_shuffle(n: int, c: int, h: int, w: int, factor: int) -> Tensors:
    """Blocks of factor x factor channels become pixels, then ReLU: (n, c, h, w) with c divisible by factor squared."""
    (x,) = inputs(x=(n, c, h, w))
    out = te.compute(
        (n, c // factor**2, h * factor, w * factor),
        lambda b, i, y, z: tir.max(
            x[b, i * factor**2 + (y % factor) * factor + z % factor, y // factor, z // factor], 0.0
        ),
        name="out",
    )
    return [x, out]


IMAGE_CHAINS: tuple[Callable[..., Tensors], ...] = (
    global_average_pool,
    average_pool2d,
    conv2d_bias_swish,
    separable_conv2d,
    grouped_conv2d_nchw,
    upsample_conv2d,
    conv2d_nchwc,
    conv2d_nhwc_residual,
    bottleneck_nhwc,
    conv1d_ncl,
    conv2d_transpose_nchw,
    depthwise_conv2d_nchw,
    squeeze_excite,
    max_pool2d_nhwc,
    batch_norm_relu,
    softmax_channels,
    local_response_norm,
    box_blur,
    jacobi,
    bilinear_upsample,
    pixel_shuffle,
)


def _conv2d_nhwc(x: te.Tensor, f: te.Tensor, stride: int, padding: int, name: str) -> te.Tensor:
    """x (n, h, w, c) with filters (kernel, kernel, c, out_channels)."""
    n, h, w, c = x.shape
    kernel, _, _, out_channels = f.shape
    padded = topi.nn.pad(x, (0, padding, padding, 0), name=name + "_padded") if padding else x
    ry, rx = te.reduce_axis((0, kernel), name="ry_" + name), te.reduce_axis((0, kernel), name="rx_" + name)
    r = te.reduce_axis((0, c), name="r_" + name)
    return te.compute(
        (n, _out(h, kernel, stride, padding), _out(w, kernel, stride, padding), out_channels),
        lambda b, i, j, o: te.sum(padded[b, i * stride + ry, j * stride + rx, r] * f[ry, rx, r, o], axis=[ry, rx, r]),
        name=name,
    )


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    """The extent of a convolution's output."""
    return (size + 2 * padding - kernel) // stride + 1
