"""Features of what is computed: the same for every schedule with this computation (`schema.STATIC_*`)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.arithmetic import log2p, ratio
from tvm_gnn_cost.graphs.computation import Access, Computation, StageComputation
from tvm_gnn_cost.graphs.expression import CATEGORIES
from tvm_gnn_cost.graphs.schema import STATIC_EDGE_FEATURES, STATIC_NODE_FEATURES


def flop_per_iteration(stage: StageComputation) -> float:
    """Floating-point operations of one iteration, inlined stages included."""
    return sum(n for name, n in zip(CATEGORIES, stage.inlined_operations, strict=True) if name.startswith("float_"))


def static_node_features(computation: Computation) -> NDArray[np.float64]:
    """float64 (number of stages, len(STATIC_NODE_FEATURES))."""
    rows = [_node(computation, i) for i in range(len(computation.stages))]
    return _table(rows, [f.name for f in STATIC_NODE_FEATURES])


def static_edge_features(computation: Computation) -> NDArray[np.float64]:
    """float64 (number of edges, len(STATIC_EDGE_FEATURES))."""
    rows = [_edge(computation, e) for e in range(len(computation.edges))]
    return _table(rows, [f.name for f in STATIC_EDGE_FEATURES])


def _table(rows: list[dict[str, float]], names: list[str]) -> NDArray[np.float64]:
    return np.array([[row[name] for name in names] for row in rows], dtype=np.float64).reshape(len(rows), len(names))


def _node(computation: Computation, i: int) -> dict[str, float]:
    stage = computation.stages[i]
    accesses = [a for a in computation.accesses if a.host == i]
    elements = float(prod(stage.axis_extents))
    reduction = float(prod(stage.reduce_extents))
    flop = flop_per_iteration(stage) * elements * reduction
    input_bytes = _bytes_read(computation, accesses)
    spatial = len(stage.axis_extents)
    return {
        "is_placeholder": float(stage.is_placeholder),
        "is_constant": float(stage.is_constant),
        "is_output": float(all(p != i for p, _ in computation.edges)),
        "is_inlined": float(stage.is_inlined),
        "is_shared": float(stage.scope == "shared"),
        "is_local": float(stage.scope == "local"),
        "is_rfactor": float(stage.name.endswith(".rf")),
        "has_reduction": float(bool(stage.reduce_extents)),
        "is_float": float(stage.is_float),
        "element_bytes": float(stage.element_bytes),
        "spatial_axes": float(spatial),
        "reduction_axes": float(len(stage.reduce_extents)),
        "elements": log2p(elements),
        "tensor_bytes": log2p(stage.tensor_bytes),
        "reduction_size": log2p(reduction),
        "domain_size": log2p(elements * reduction),
        "innermost_axis": log2p(float(stage.axis_extents[-1]) if stage.axis_extents else 1.0),
        **{f"own_{c}": log2p(n) for c, n in zip(CATEGORIES, stage.operations, strict=True)},
        **{c: log2p(n) for c, n in zip(CATEGORIES, stage.inlined_operations, strict=True)},
        "flop": log2p(flop),
        "input_bytes": log2p(input_bytes),
        "intensity": log2p(ratio(flop, input_bytes + stage.tensor_bytes)),
        "producers": log2p(sum(c == i for _, c in computation.edges)),
        "consumers": log2p(sum(p == i for p, _ in computation.edges)),
        "accesses": log2p(len(accesses)),
        "reads": log2p(sum(a.reads for a in accesses)),
        "reads_window": float(any(_is_window(a) for a in accesses)),
        "reads_broadcast": float(any(_leaves_out(a, range(spatial)) for a in accesses)),
        "reads_non_affine": float(any(not a.affine for a in accesses)),
    }


def _edge(computation: Computation, e: int) -> dict[str, float]:
    p, c = computation.edges[e]
    producer, consumer = computation.stages[p], computation.stages[c]
    accesses = [a for a in computation.accesses if a.edge == e]
    hosts = [computation.stages[a.host] for a in accesses]
    return {
        "producer_is_placeholder": float(producer.is_placeholder),
        "producer_is_inlined": float(producer.is_inlined),
        "consumer_is_inlined": float(consumer.is_inlined),
        "edge_tensor_bytes": log2p(_bytes_read(computation, accesses) if accesses else producer.tensor_bytes),
        "edge_reads": log2p(sum(a.reads for a in accesses)),
        "edge_window": float(any(_is_window(a) for a in accesses)),
        "edge_broadcast": float(
            any(_leaves_out(a, range(len(h.axis_extents))) for a, h in zip(accesses, hosts, strict=True))
        ),
        "edge_reduced": float(
            any(_uses(a, range(len(h.axis_extents), _axes(h))) for a, h in zip(accesses, hosts, strict=True))
        ),
        "edge_transposed": float(
            any(_is_transposed(a, len(h.axis_extents)) for a, h in zip(accesses, hosts, strict=True))
        ),
        "edge_non_affine": float(any(not a.affine for a in accesses)),
    }


def _bytes_read(computation: Computation, accesses: Sequence[Access]) -> int:
    """Bytes of all buffers that the accesses read."""
    buffers = {(a.producer, a.output): a for a in accesses}
    return sum(
        prod(computation.stages[a.producer].axis_extents) * computation.access_bytes(a) for a in buffers.values()
    )


def _axes(stage: StageComputation) -> int:
    return len(stage.axis_extents) + len(stage.reduce_extents)


def _is_window(access: Access) -> bool:
    return any(sum(c != 0.0 for c in row) > 1 for row in access.coefficients)


def _uses(access: Access, axes: range) -> bool:
    return any(row[a] != 0.0 for row in access.coefficients for a in axes)


def _leaves_out(access: Access, axes: range) -> bool:
    return any(all(row[a] == 0.0 for row in access.coefficients) for a in axes)


def _is_transposed(access: Access, spatial: int) -> bool:
    """The last spatial axis indexes the buffer, but not in its last dimension."""
    if not access.coefficients or not spatial:
        return False
    return access.coefficients[-1][spatial - 1] == 0.0 and _uses(access, range(spatial - 1, spatial))
