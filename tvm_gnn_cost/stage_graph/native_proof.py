"""The native reader's proof: does it read what the Python reader reads, and make the same graphs, on the TVM that is
installed here?

    python -m tvm_gnn_cost.stage_graph.native_proof --libtvm /path/to/libtvm.so

`native` runs it in a child process, since a wrong layout may crash. Exit code 0 means equal. The states are few but
meet every transform step and every field that is read: hand-made ones first, then some of the search's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.stage_graph.builder import BuiltGraphs, StageGraphBuilder
from tvm_gnn_cost.stage_graph.native import NativeReader, StageIdentity, libtvm_path
from tvm_gnn_cost.stage_graph.native_builder import NativeStageGraphBuilder
from tvm_gnn_cost.stage_graph.reader import read_schedule
from tvm_gnn_cost.stage_graph.schedule import UNKNOWN_EXTENT
from tvm_gnn_cost.stage_graph.schema import EDGE_FEATURES, NODE_FEATURES

POPULATION = 8
GRAPHS = 6
"""States of each case whose graphs are compared."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 equal, 1 different."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libtvm", type=Path, help="the TVM library that must be the one that is loaded here")
    parser.add_argument("--move", action="append", default=[], metavar="FIELD=OFFSET", help="simulate a wrong layout")
    parser.add_argument("--type", action="append", default=[], metavar="KEY=INDEX", help="simulate a wrong type index")
    options = parser.parse_args(arguments)
    if options.libtvm is not None and options.libtvm != libtvm_path():
        return _fail(f"{libtvm_path()} is loaded here, not {options.libtvm}")
    reader = NativeReader(_assignments(options.move), _assignments(options.type))
    cases = list(proof_cases())
    try:
        problem = first_difference(reader, cases) or first_graph_difference(reader, cases)
    except RuntimeError as error:
        return _fail(str(error))
    return 0 if problem is None else _fail(problem)


def first_difference(reader: NativeReader, cases: list[tuple[str, Any, list[Any]]]) -> str | None:
    """The first of (name, task, states) that the native reader does not read as Python does, or None."""
    for name, task, states in cases:
        natives = reader.read(states, n_threads=1)
        if len(natives) != len(states):
            return f"{name}: {len(natives)} states of {len(states)}"
        for i, (state, (schedule, identities)) in enumerate(zip(states, natives, strict=True)):
            if schedule != read_schedule(task, state):
                return f"{name}, state {i}: another schedule"
            if identities != stage_identities(state):
                return f"{name}, state {i}: other operations"
    return None


def first_graph_difference(reader: NativeReader, cases: list[tuple[str, Any, list[Any]]]) -> str | None:
    """The first of (name, task, states) whose native graphs are not those of Python, or None."""
    for name, task, states in cases:
        few = states[:GRAPHS]
        native = NativeStageGraphBuilder(task, reader).build_natively(few)
        problem = graph_difference(native, StageGraphBuilder(task).build(few))
        if problem is not None:
            return f"{name}: {problem}"
    return None


def graph_difference(native: BuiltGraphs, python: BuiltGraphs) -> str | None:
    """Which array differs, or None."""
    pairs = {
        "readable": (native.readable, python.readable),
        "node_ptr": (native.graphs.node_ptr, python.graphs.node_ptr),
        "edge_ptr": (native.graphs.edge_ptr, python.graphs.edge_ptr),
        "edge_index": (native.graphs.edge_index, python.graphs.edge_index),
        "scored_nodes": (native.scored_nodes, python.scored_nodes),
        "resources": (native.resources, python.resources),
        "inexact": (native.inexact, python.inexact),
        "node_features": (native.graphs.node_features, python.graphs.node_features),
        "edge_features": (native.graphs.edge_features, python.graphs.edge_features),
    }
    for name, (ours, theirs) in pairs.items():
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return f"{name} is {ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        if not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
            return f"{name} differs: {_where(name, ours, theirs)}"
    return None


def _where(name: str, ours: NDArray[Any], theirs: NDArray[Any]) -> str:
    place = tuple(int(i) for i in np.argwhere(~((ours == theirs) | ((ours != ours) & (theirs != theirs))))[0])
    columns = {"node_features": NODE_FEATURES, "edge_features": EDGE_FEATURES}.get(name)
    column = f" ({columns[place[-1]].name})" if columns else ""
    return f"{ours[place]!r} at {place}{column}, not {theirs[place]!r}"


def stage_identities(state: Any) -> tuple[StageIdentity, ...]:
    """The identity of the stages' operations, through Python."""
    return tuple(_identity(stage.op) for stage in getattr(state, "state_object", state).stages)


def _identity(op: Any) -> StageIdentity:
    from tvm import te

    if isinstance(op, te.PlaceholderOp):
        return StageIdentity(op.name, True, tuple(map(_constant, op.shape)), ())
    axes, reduce_axes = ([_constant(axis.dom.extent) for axis in group] for group in (op.axis, op.reduce_axis))
    return StageIdentity(op.name, False, tuple(axes), tuple(reduce_axes))


def _constant(extent: Any) -> int:
    value = getattr(extent, "value", None)
    return value if isinstance(value, int) else UNKNOWN_EXTENT


def _assignments(texts: list[str]) -> dict[str, int]:
    return {name: int(value) for name, _, value in (text.partition("=") for text in texts)}


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


# --- the states ---


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


if __name__ == "__main__":
    sys.exit(main())
