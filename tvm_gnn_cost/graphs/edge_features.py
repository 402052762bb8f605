"""The features of the edges that one stage executes: what it reads of its producers, and how.

Several accesses may use one edge: `access_quantities` gives what each adds, `accumulate` puts them together, and
`finish` turns the amounts into features.
"""

from __future__ import annotations

from tvm_gnn_cost.graphs.arithmetic import log2p, product, ratio
from tvm_gnn_cost.graphs.buffers import buffer_shape
from tvm_gnn_cost.graphs.computation import Access
from tvm_gnn_cost.graphs.loop_levels import LoopLevels, lane_kind, read_in_all
from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation, ComputeAt
from tvm_gnn_cost.graphs.schema import CACHES, NUM_GROUPS

_LARGEST = frozenset(
    {
        "edge_attached",
        "edge_tile_bytes",
        "edge_flow",
        "edge_lane_stride",
        "edge_contiguous",
        "edge_invariant",
        "edge_vector_stride",
        "edge_thread_stride",
    }
)
_PLAIN = frozenset({"edge_attached", "edge_contiguous", "edge_invariant"})


def tile_bytes(nest: LoopNest, access: Access) -> float:
    """Bytes that flow each time the producer runs: its buffer if it is attached, else all that the host reads of it."""
    attached = nest.placements[access.producer].compute_at == ComputeAt.ITER
    flows = buffer_shape(nest, access.producer) if attached else read_in_all(nest, access)
    return product(flows) * nest.computation.access_bytes(access)


def access_quantities(levels: LoopLevels) -> list[tuple[Access, dict[str, float]]]:
    """The linear quantities of every access of a stage, by the feature that they become; "distinct" and "distinct0" ...
    are the elements that `finish` divides by."""
    shifts: dict[str, list[float]] = {}
    if levels.loops:
        shifts["lane"] = levels.shift(levels.loops[-1])
    threads = [loop for loop in levels.loops if loop.annotation == Annotation.THREAD_X]
    if threads:
        shifts["thread"] = levels.shift(threads[-1])
    if levels.vector_loop is not None:
        shifts["vector"] = levels.shift(levels.vector_loop)
    result = []
    for k, access in enumerate(levels.accesses):
        strides = {name: levels.stride(access, shift) for name, shift in shifts.items()}
        result.append((access, _flow(levels, access, k) | _neighbours(strides) | _levels(levels, access, k)))
    return result


def _flow(levels: LoopLevels, access: Access, k: int) -> dict[str, float]:
    nest = levels.nest
    tile = tile_bytes(nest, access)
    return {
        "edge_attached": float(nest.placements[access.producer].compute_at == ComputeAt.ITER),
        "edge_tile_bytes": tile,
        "edge_flow": tile * product([loop.extent for loop in nest.outer[access.producer]]),
        "edge_loads": access.reads * levels.iterations,
        "distinct": levels.distinct[0][k],
    }


def _neighbours(strides: dict[str, float]) -> dict[str, float]:
    """Of the strides that there are: to the next iteration ("lane"), the next vector element, the next thread."""
    kind = lane_kind(strides["lane"]) if "lane" in strides else ""
    return {
        "edge_lane_stride": strides.get("lane", 0.0),
        "edge_contiguous": float(kind == "contiguous"),
        "edge_invariant": float(kind == "invariant"),
        "edge_vector_stride": strides.get("vector", 0.0),
        "edge_thread_stride": strides.get("thread", 0.0),
    }


def _levels(levels: LoopLevels, access: Access, k: int) -> dict[str, float]:
    values: dict[str, float] = {}
    for g in range(NUM_GROUPS):
        level = levels.groups[g].level if g < len(levels.groups) else -1
        values[f"edge_group{g}_bytes"] = levels.lines[level][k] if level >= 0 else 0.0
        values[f"edge_group{g}_reuse"] = access.reads * levels.iterations / levels.outside[level] if level >= 0 else 0.0
        values[f"distinct{g}"] = levels.distinct[level][k] if level >= 0 else 1.0
    for cache, level in zip(CACHES, levels.cache_levels, strict=True):
        values[f"edge_traffic_{cache}"] = levels.lines[level][k] * levels.outside[level]
    return values


def accumulate(edge: dict[str, float], values: dict[str, float]) -> None:
    """Adds an access to its edge: amounts add up, of the rest the largest counts."""
    for name, value in values.items():
        before = edge.get(name, 0.0)
        edge[name] = max(before, value) if name in _LARGEST else before + value


def finish(edge: dict[str, float]) -> None:
    """Turns the quantities of an edge into its features; an edge without accesses has none."""
    if edge:
        distinct = edge.pop("distinct")
        edge["edge_reuse"] = ratio(edge["edge_loads"], distinct)
        for g in range(NUM_GROUPS):
            edge[f"edge_group{g}_reuse"] = ratio(edge[f"edge_group{g}_reuse"], edge.pop(f"distinct{g}"))
        for name, value in edge.items():
            if name not in _PLAIN:
                edge[name] = log2p(value)
