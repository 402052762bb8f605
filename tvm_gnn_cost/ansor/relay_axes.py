"""Relay's matrix products with axes that TVM can tell apart, so that their weights can be packed.

TVM packs a weight to suit a schedule ("layout rewrite"). It writes the new layout as a text such as "8j256k16j" and
finds the axes in it by name (`ParseKernelLayout`, `IndexRewriter` in `src/auto_scheduler/compute_dag.cc`). topi calls
the axes of its matmul `i0` and `i1`; their digits are read as extents, and every schedule fails. So, while Relay makes
the tasks and while it compiles with their records, matmul and dense are stated here, the same but for the names.
"""

from __future__ import annotations

import string
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tvm_gnn_cost.ansor.layout_rewrite import rewrites_layouts
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

_BATCH_AXES = "b" + "".join(letter for letter in string.ascii_lowercase if letter not in "bijk")
_lock = threading.RLock()


@contextmanager
def tunable_axes() -> Iterator[None]:
    """Within it, what auto_scheduler makes of Relay's `nn.dense` and `nn.matmul` has axes named `i`, `j` and `k`.

    Tasks must be extracted, and networks compiled, within it: the names are part of a workload's key. Other compilation
    is left alone, and so are targets for which TVM packs no weights.
    """
    require_auto_scheduler()
    from tvm.topi import nn

    with _lock:
        matmul, dense = nn.matmul, nn.dense
        nn.matmul, nn.dense = _with_names(matmul), _dense_of(_with_names(matmul))
        try:
            yield
        finally:
            nn.matmul, nn.dense = matmul, dense


def _with_names(topi_matmul: Any) -> Any:
    def matmul(
        tensor_a: Any,
        tensor_b: Any,
        bias: Any = None,
        out_dtype: str | None = None,
        transpose_a: bool = False,
        transpose_b: bool = False,
        auto_scheduler_rewritten_layout: str = "",
        meta_schedule_original_shape: Any = None,
    ) -> Any:
        if bias is not None or meta_schedule_original_shape or not _applies(tensor_a, tensor_b):
            return topi_matmul(
                tensor_a,
                tensor_b,
                bias,
                out_dtype,
                transpose_a,
                transpose_b,
                auto_scheduler_rewritten_layout,
                meta_schedule_original_shape,
            )
        dtype = out_dtype or tensor_a.dtype
        return _named_matmul(tensor_a, tensor_b, dtype, transpose_a, transpose_b, auto_scheduler_rewritten_layout)

    return matmul


def _dense_of(matmul: Any) -> Any:
    def dense(
        data: Any, weight: Any, bias: Any = None, out_dtype: str | None = None, *layouts: Any, **named: Any
    ) -> Any:
        return matmul(data, weight, bias, out_dtype, False, True, *layouts, **named)

    return dense


def _applies(tensor_a: Any, tensor_b: Any) -> bool:
    """Whether it is auto_scheduler that asks, for a target where it packs weights, with shapes that are numbers."""
    auto_scheduler = require_auto_scheduler()
    from tvm.target import Target
    from tvm.tir import IntImm

    target = Target.current(allow_none=True)
    return bool(
        auto_scheduler.relay_integration.is_auto_scheduler_enabled()
        and target is not None
        and rewrites_layouts(target)
        and 2 <= len(tensor_a.shape) <= len(_BATCH_AXES) + 2
        and all(isinstance(extent, (int, IntImm)) for extent in (*tensor_a.shape, *tensor_b.shape))
    )


def _named_matmul(a: Any, b: Any, dtype: str, transpose_a: bool, transpose_b: bool, layout: str) -> Any:
    """`topi.nn.matmul` with named axes. `layout`: of a weight that has been packed; "" for one that has not."""
    auto_scheduler = require_auto_scheduler()
    from tvm import te

    if layout:  # `b` is packed, but read as if it were not until `rewrite_compute_body`
        outer, _ = auto_scheduler.get_shape_from_rewritten_layout(layout, ["j", "k"])
        batch_b: list[Any] = []
        auto_scheduler.remove_index_check(b)
    else:
        outer, batch_b = b.shape[-2 if transpose_b else -1], list(b.shape[:-2])
    inner, reduced = (a.shape[-1], a.shape[-2]) if transpose_a else (a.shape[-2], a.shape[-1])
    batch_a = list(a.shape[:-2])
    ndim = max(len(batch_a), len(batch_b))
    batch_a, batch_b = ([1] * (ndim - len(batch)) + batch for batch in (batch_a, batch_b))
    batch = [int(y) if int(x) == 1 else int(x) for x, y in zip(batch_a, batch_b, strict=True)]
    k = te.reduce_axis((0, reduced), name="k")

    def of(tensor: Any, dims: Sequence[Any], own: int, indices: Sequence[Any], last: tuple[Any, Any]) -> Any:
        axes = [axis if int(dim) != 1 else 0 for axis, dim in zip(indices, dims, strict=True)]
        index = (*axes[ndim - own :], *last)
        return tensor[index].astype(dtype)

    def product(*indices: Any) -> Any:
        *outermost, i, j = indices
        left = of(a, batch_a, len(a.shape) - 2, outermost, (k, i) if transpose_a else (i, k))
        right = of(b, batch_b, 0 if layout else len(b.shape) - 2, outermost, (j, k) if transpose_b else (k, j))
        return te.sum(left * right, axis=k)

    # Relay cannot infer types once the weight of a transposed product is packed (`MatmulRel` in `src/relay/op/nn/nn.h`)
    free = not transpose_a and isinstance(b.op, te.PlaceholderOp)
    result = te.compute(
        (*batch, inner, outer),
        product,
        name="T_matmul_" + "NT"[transpose_a] + "NT"[transpose_b],
        tag="dense" if (transpose_a, transpose_b) == (False, True) else "matmul",
        attrs={"layout_free_placeholders": [b]} if free else {},
        varargs_names=[*_BATCH_AXES[:ndim], "i", "j"],
    )
    return auto_scheduler.rewrite_compute_body(result, layout) if layout else result
