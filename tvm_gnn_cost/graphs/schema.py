"""Every feature of a stage graph: its name, unit, range and meaning, in column order.

Sizes and counts are log2(1 + x) of the stated unit; flags are 0 or 1. `SCHEMA_VERSION` changes with any change of
meaning, order or number: networks trained on another schema are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 2

CACHES = ("registers", "l1", "l2", "l3")
"""The memories of a processor, from the fastest: `Hardware.cache_bytes` says how much each holds."""

NUM_GROUPS = 6
"""Runs of loops of one kind (spatial or reduction) that are described, from the innermost outwards."""

NUM_INNER = 3
"""Innermost loops that are described one by one."""


@dataclass(frozen=True)
class Feature:
    """One column. `unit` is "flag", "log2 <unit>", or a plain unit; `low` and `high` bound its values."""

    name: str
    unit: str
    meaning: str
    low: float = 0.0
    high: float = 64.0


def _flag(name: str, meaning: str) -> Feature:
    return Feature(name, "flag", meaning, 0.0, 1.0)


def _log(name: str, unit: str, meaning: str) -> Feature:
    return Feature(name, f"log2 {unit}", meaning)


_OPERATIONS = (
    ("float_add", "floating-point additions and subtractions"),
    ("float_mul", "floating-point multiplications"),
    ("float_div", "floating-point divisions and remainders"),
    ("float_compare", "floating-point comparisons, minima and maxima"),
    ("float_math", "calls of floating-point functions (exp, tanh, sqrt ...)"),
    ("integer", "integer operations on data"),
    ("select", "selections (padding, conditionals)"),
    ("cast", "conversions of type"),
)

STATIC_NODE_FEATURES: tuple[Feature, ...] = (
    _flag("is_placeholder", "the stage is an input"),
    _flag("is_constant", "the stage is a constant matrix that TVM folds away"),
    _flag("is_output", "no stage reads the stage"),
    _flag("is_inlined", "the stage is computed inside its readers"),
    _flag("is_shared", "the stage is a cache in shared memory"),
    _flag("is_local", "the stage is a cache in registers or local memory"),
    _flag("is_rfactor", "the stage is a partial reduction made by rfactor"),
    _flag("has_reduction", "the stage reduces"),
    _flag("is_float", "the stage's elements are floating-point numbers"),
    Feature("element_bytes", "bytes", "size of an element", 1, 4096),
    Feature("spatial_axes", "count", "number of spatial axes", 0, 16),
    Feature("reduction_axes", "count", "number of reduction axes", 0, 16),
    _log("elements", "elements", "elements of the stage's tensor"),
    _log("tensor_bytes", "bytes", "bytes of the stage's tensor"),
    _log("reduction_size", "iterations", "product of the reduction axes"),
    _log("domain_size", "iterations", "product of all axes"),
    _log("innermost_axis", "elements", "extent of the last spatial axis"),
    *(_log(f"own_{name}", "operations an iteration", f"{text} in the stage's own body") for name, text in _OPERATIONS),
    *(_log(f"{name}", "operations an iteration", f"{text}, inlined stages included") for name, text in _OPERATIONS),
    _log("flop", "operations", "floating-point operations of the whole stage, inlined stages included"),
    _log("input_bytes", "bytes", "bytes of all buffers that the stage reads"),
    _log("intensity", "operations a byte", "flop over input and output bytes"),
    _log("producers", "count", "stages that the stage reads directly"),
    _log("consumers", "count", "stages that read the stage directly"),
    _log("accesses", "count", "distinct access patterns, inlined stages included"),
    _log("reads", "reads an iteration", "elements read in an iteration, inlined stages included"),
    _flag("reads_window", "some index mixes two axes (convolution, pooling)"),
    _flag("reads_broadcast", "some read leaves a spatial axis out"),
    _flag("reads_non_affine", "some index divides, takes a remainder or depends on data"),
)

DYNAMIC_NODE_FEATURES: tuple[Feature, ...] = (
    _flag("at_root", "the stage has a loop nest of its own"),
    _flag("at_loop", "the stage is computed inside a loop of another"),
    _log("attached_stages", "count", "stages computed inside this one, at any depth"),
    _log("outer_loops", "count", "loops around the stage that belong to others, trivial ones left out"),
    _log("own_loops", "count", "the stage's own loops, trivial ones left out"),
    _log("outer_iterations", "iterations", "product of the loops around the stage that belong to others"),
    _log("own_iterations", "iterations", "product of the stage's own loops"),
    _log("iterations", "iterations", "product of all loops around the body; evaluations, if inlined"),
    _log("recomputation", "ratio", "iterations over the size of the domain: more than 1 if computed again"),
    _log("inexact_loops", "count", "loops whose extent TVM gives as an expression; it is estimated"),
    _log("parallel", "iterations", "product of the parallel loops around the body; of a GPU, its blocks"),
    _log("parallel_per_core", "iterations", "parallel iterations for each core"),
    Feature("imbalance", "ratio", "time of the most loaded core over the mean", 0, 65536),
    _log("iterations_per_core", "iterations", "iterations of the body on the most loaded core"),
    Feature("work_share", "ratio", "iterations on the most loaded core over those of all stages", 0, 1),
    _flag("is_heaviest", "no other stage has more iterations on the most loaded core"),
    _log("inside_parallel", "iterations", "iterations in one step of the innermost parallel loop"),
    _log("vector", "elements", "extent of the vectorised loop"),
    _log("vector_registers", "registers", "vector registers that one vectorised iteration fills"),
    Feature("vector_waste", "ratio", "part of the last vector register that stays empty", 0, 1),
    _log("unroll", "iterations", "product of the loops annotated unroll"),
    _log("auto_unroll", "iterations", "the pragma auto_unroll_max_step"),
    _log("unrolled_body", "iterations", "iterations of the unrolled innermost loops, annotated or by the pragma"),
    _log("body_instructions", "instructions", "operations and reads of that body, a vector counted once a register"),
    _log("storage_offset", "elements", "offset of the storage_align primitive"),
    *(
        feature
        for i in range(NUM_INNER)
        for feature in (
            _log(f"inner{i}_extent", "iterations", f"extent of the loop number {i} from the inside"),
            _flag(f"inner{i}_reduction", f"the loop number {i} from the inside is a reduction"),
        )
    ),
    *(
        feature
        for i in range(NUM_GROUPS)
        for feature in (
            _log(f"group{i}_extent", "iterations", f"product of run {i} of loops of one kind, from the inside"),
            _flag(f"group{i}_reduction", f"run {i} is of reduction loops"),
            _log(f"group{i}_output", "elements", f"elements of the stage written by run {i} and the loops inside it"),
            _log(f"group{i}_bytes", "bytes", f"bytes touched by run {i} and the loops inside it"),
            _log(f"group{i}_intensity", "operations a byte", f"flop of run {i} over the bytes it touches"),
        )
    ),
    *(_log(f"refills_{c}", "times", f"how often the largest tile that fits the {c} is exchanged") for c in CACHES),
    *(_log(f"traffic_{c}", "bytes", f"bytes moved in all into and out of the {c}") for c in CACHES),
    *(
        _log(f"intensity_{c}", "operations a byte", f"flop over the bytes moved into and out of the {c}")
        for c in CACHES
    ),
    Feature("traffic_share", "ratio", "bytes moved into and out of the L1 over those of all stages", 0, 1),
    _log("unique_bytes", "bytes", "bytes touched in all, every one counted once a run"),
    _log("allocation", "bytes", "bytes that one run of the stage writes: the size of its buffer"),
    _log("store_stride", "elements", "distance of neighbouring writes of the innermost loop"),
    _log("store_vector_stride", "elements", "distance of neighbouring writes of the vectorised loop"),
    _flag("store_contiguous", "the innermost loop writes neighbours"),
    _flag("store_invariant", "the innermost loop writes the same element again"),
    _log("reads_contiguous", "reads", "reads an iteration of which the innermost loop reads neighbours"),
    _log("reads_invariant", "reads", "reads an iteration that the innermost loop does not change"),
    _log("reads_strided", "reads", "reads an iteration that jump in the innermost loop"),
    _log("threads", "threads", "product of the loops bound to thread indices"),
    _log("vthreads", "threads", "product of the virtual threads"),
    _log("warps", "warps", "warps in a block"),
    Feature("warp_waste", "ratio", "part of the last warp that stays idle", 0, 1),
    _log("iterations_per_thread", "iterations", "iterations of the body in one thread"),
    _log("shared_bytes", "bytes", "shared memory of the kernel's block"),
    _log("local_bytes", "bytes", "local arrays of one thread of the kernel"),
    _log("resident_blocks", "blocks", "blocks that fit a multiprocessor, by threads, registers and shared memory"),
    Feature("occupancy", "ratio", "threads of the resident blocks over the multiprocessor's", 0, 1),
)

HARDWARE_FEATURES: tuple[Feature, ...] = (
    _flag("is_gpu", "the target is a GPU"),
    _flag("processor_known", "the target names the processor; else its memories are of typical size"),
    _log("cores", "cores", "cores, or multiprocessors"),
    _log("vector_bytes", "bytes", "vector register, or the widest load of a thread"),
    _log("cache_line_bytes", "bytes", "cache line"),
    *(_log(f"{c}_bytes", "bytes", f"the {c}") for c in CACHES),
    Feature("clock", "GHz", "base clock, 0 where it is unknown", 0, 8),
    _log("max_shared_bytes", "bytes", "shared memory for a block"),
    _log("max_threads", "threads", "threads for a block"),
    _log("warp_size", "threads", "warp"),
)

NODE_FEATURES: tuple[Feature, ...] = STATIC_NODE_FEATURES + DYNAMIC_NODE_FEATURES + HARDWARE_FEATURES

STATIC_EDGE_FEATURES: tuple[Feature, ...] = (
    _flag("producer_is_placeholder", "an input flows"),
    _flag("producer_is_inlined", "nothing is stored: the consumer computes it"),
    _flag("consumer_is_inlined", "the reader is inlined into others, where the reads happen"),
    _log("edge_tensor_bytes", "bytes", "bytes of the producer's tensor"),
    _log("edge_reads", "reads an iteration", "reads through the edge in an iteration of the reader"),
    _flag("edge_window", "some index mixes two axes"),
    _flag("edge_broadcast", "some spatial axis of the reader is left out"),
    _flag("edge_reduced", "some reduction axis indexes the producer"),
    _flag("edge_transposed", "the reader's last axis does not index the producer's last dimension"),
    _flag("edge_non_affine", "some index divides, takes a remainder or depends on data"),
)

DYNAMIC_EDGE_FEATURES: tuple[Feature, ...] = (
    _flag("edge_attached", "the producer is computed inside a loop around its reader"),
    _log("edge_tile_bytes", "bytes", "bytes that flow each time the producer runs"),
    _log("edge_flow", "bytes", "bytes that flow in all: of every tile, each time the producer runs"),
    _log("edge_loads", "elements", "elements read in all"),
    _log("edge_reuse", "ratio", "elements read over distinct elements"),
    _log("edge_lane_stride", "elements", "distance of the reads of neighbouring iterations of the innermost loop"),
    _flag("edge_contiguous", "the innermost loop reads neighbours"),
    _flag("edge_invariant", "the innermost loop reads the same element again"),
    _log("edge_vector_stride", "elements", "distance of the reads of neighbouring iterations of the vectorised loop"),
    _log("edge_thread_stride", "elements", "distance of the reads of neighbouring threads"),
    *(
        _log(f"edge_group{i}_bytes", "bytes", f"bytes read by run {i} of loops and the loops inside it")
        for i in range(NUM_GROUPS)
    ),
    *(
        _log(f"edge_group{i}_reuse", "ratio", f"elements read by run {i} of loops over distinct ones")
        for i in range(NUM_GROUPS)
    ),
    *(_log(f"edge_traffic_{c}", "bytes", f"bytes moved through the edge in all into the {c}") for c in CACHES),
)

EDGE_FEATURES: tuple[Feature, ...] = STATIC_EDGE_FEATURES + DYNAMIC_EDGE_FEATURES

NODE_DIM = len(NODE_FEATURES)
EDGE_DIM = len(EDGE_FEATURES)
