"""One stage of a schedule, seen through its loop nest: the features of its node and of the edges that it executes.

A stage's nest is the non-trivial loops around its body: those of the stages it is attached in, then its own. Level l of
the nest means that loops l, l + 1, ... run and the outer ones stand still; level 0 is the whole kernel, level n one
iteration. What a level touches follows from the spans of the axes and the coefficients of the accesses; memory traffic
follows from the outermost level whose touched bytes fit a cache of a given size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tvm_gnn_cost.stage_graph.arithmetic import dot, log2p, product, total
from tvm_gnn_cost.stage_graph.computation import Access
from tvm_gnn_cost.stage_graph.hardware import Hardware
from tvm_gnn_cost.stage_graph.kernels import buffer_bytes, kernel_memory
from tvm_gnn_cost.stage_graph.loop_nest import LoopNest, NestLoop
from tvm_gnn_cost.stage_graph.schedule import (
    BLOCK_ANNOTATIONS,
    THREAD_ANNOTATIONS,
    Annotation,
    ComputeAt,
    LoopKind,
)
from tvm_gnn_cost.stage_graph.schema import (
    CACHES,
    NUM_GROUPS,
    NUM_INNER,
)
from tvm_gnn_cost.stage_graph.static_features import flop_per_iteration

OTHER_REGISTER_BYTES = 128.0
"""Registers of a GPU thread for indices and operands, beside its local arrays: an estimate."""

Values = dict[str, float]


class StageView:
    """One stage of a schedule, seen through its nest. Makes the features of its node and of the edges it executes."""

    def __init__(self, nest: LoopNest, hardware: Hardware, i: int) -> None:
        self.nest, self.hardware, self.i = nest, hardware, i
        self.stage, self.how = nest.computation.stages[i], nest.schedule.stages[i]
        self.outer = [loop for loop in nest.outer[i] if loop.extent > 1]
        self.own = [loop for loop in nest.loops[i] if loop.extent > 1]
        self.loops: list[NestLoop] = self.outer + self.own
        self.accesses = [a for a in nest.computation.accesses if a.host == i]
        self.outside = [1.0]  # outside[l]: how often level l runs
        for loop in self.loops:
            self.outside.append(self.outside[-1] * loop.extent)
        self.iterations = self.outside[-1]
        parallel = BLOCK_ANNOTATIONS if hardware.is_gpu else frozenset({Annotation.PARALLEL})
        self.parallel_annotations = parallel
        self._derive_levels()
        self._derive_groups()
        vector = [loop for loop in self.own if loop.annotation == Annotation.VECTORIZE]
        self.vector_loop = vector[-1] if vector else None

    def _derive_levels(self) -> None:
        """What every level touches: `output` elements, `lines` (bytes of whole cache lines) of each access and of the
        output (last), and their sum `touched`."""
        spatial = len(self.stage.axis_extents)
        relax = self.stage.scope == "shared"
        line = float(self.hardware.cache_line_bytes)
        self.output: list[float] = []
        self.lines: list[list[float]] = []
        self.touched: list[float] = []
        self.regions: list[list[list[float]]] = []
        for level in range(len(self.loops) + 1):
            if level == len(self.loops):
                spans = self.nest.spans(self.i, self.i, len(self.nest.loops[self.i]), False)
            else:
                loop = self.loops[level]
                spans = self.nest.spans(self.i, loop.stage, loop.index - 1, relax and loop.stage != self.i)
            regions = [self.nest.region(access, spans) for access in self.accesses]
            lines = [
                _line_bytes(region, self._element_bytes(access), line)
                for access, region in zip(self.accesses, regions, strict=True)
            ]
            lines.append(_line_bytes(spans[:spatial], float(self.stage.element_bytes), line))
            self.output.append(product(spans[:spatial]))
            self.regions.append(regions)
            self.lines.append(lines)
            self.touched.append(dot(lines, [1.0] * len(lines)))
        # for each of CACHES, the outermost level whose touched bytes fit, or the innermost one
        self.cache_levels = [
            next((level for level, touched in enumerate(self.touched) if touched <= capacity), len(self.loops))
            for capacity in self.hardware.cache_bytes
        ]

    def _derive_groups(self) -> None:
        """`groups`: (level where the run starts, product of its loops, whether it reduces), from the inside."""
        self.groups: list[tuple[int, float, bool]] = []
        for level in reversed(range(len(self.loops))):
            loop = self.loops[level]
            reduces = loop.kind == LoopKind.REDUCTION
            if self.groups and self.groups[-1][2] == reduces:
                self.groups[-1] = (level, self.groups[-1][1] * loop.extent, reduces)
            else:
                self.groups.append((level, float(loop.extent), reduces))

    def _element_bytes(self, access: Access) -> float:
        return float(self.nest.computation.stages[access.producer].element_bytes)

    def _extent_of(self, annotations: Sequence[Annotation] | frozenset[Annotation]) -> float:
        return product([loop.extent for loop in self.loops if loop.annotation in annotations])

    # -- the node ------------------------------------------------------------------------------------------------

    def node(self) -> Values:
        values = self._place()
        values |= self._parallelism()
        values |= self._vectorisation()
        values |= self._inner_loops()
        values |= self._memory()
        values |= self._lane()
        values |= self._gpu()
        return values

    def _place(self) -> Values:
        stage = self.stage
        domain = product(stage.axis_extents) * product(stage.reduce_extents)
        own = product([loop.extent for loop in self.own])
        return {
            "at_root": float(self.how.compute_at == ComputeAt.ROOT),
            "at_loop": float(self.how.compute_at == ComputeAt.ITER),
            "attached_stages": log2p(
                sum(self.nest.inside(j, self.i, -1) for j in range(len(self.nest.computation.stages)))
            ),
            "outer_loops": log2p(len(self.outer)),
            "own_loops": log2p(len(self.own)),
            "outer_iterations": log2p(self.iterations / own),
            "own_iterations": log2p(own),
            "iterations": log2p(self.iterations),
            "recomputation": log2p(self.iterations / domain),
            "inexact_loops": log2p(sum(not loop.exact for loop in self.nest.loops[self.i])),
        }

    def iterations_per_core(self) -> float:
        """Iterations of the body on the most loaded core."""
        return self.iterations * self._imbalance() / self.hardware.cores

    def _imbalance(self) -> float:
        cores, parallel = float(self.hardware.cores), self._extent_of(self.parallel_annotations)
        return ceil(parallel / cores) * cores / parallel

    def _parallelism(self) -> Values:
        parallel = self._extent_of(self.parallel_annotations)
        inside = self.iterations
        for level, loop in enumerate(self.loops):
            if loop.annotation in self.parallel_annotations:
                inside = self.iterations / self.outside[level + 1]
        return {
            "parallel": log2p(parallel),
            "parallel_per_core": log2p(parallel / self.hardware.cores),
            "imbalance": self._imbalance(),
            "iterations_per_core": log2p(self.iterations_per_core()),
            "inside_parallel": log2p(inside),
        }

    def _vectorisation(self) -> Values:
        vector = self.vector_loop
        length = float(vector.extent) if vector else 1.0
        filled = length * self.stage.element_bytes / self.hardware.simd_bytes
        registers = float(ceil(filled))
        limit = float(self._auto_unroll())
        operations = flop_per_iteration(self.stage) + total([access.reads for access in self.accesses])
        body = 1.0
        for loop in reversed(self.loops):
            if loop.annotation == Annotation.VECTORIZE:
                continue
            if loop.annotation != Annotation.UNROLL and body * loop.extent > limit:
                break
            body *= loop.extent
        return {
            "vector": log2p(length),
            "vector_registers": log2p(registers),
            "vector_waste": 1.0 - filled / registers,
            "unroll": log2p(self._extent_of((Annotation.UNROLL,))),
            "auto_unroll": log2p(limit),
            "unrolled_body": log2p(body),
            "body_instructions": log2p(body * operations * registers),
            "storage_offset": log2p(abs(float(self.how.storage_offset))),
        }

    def _auto_unroll(self) -> int:
        """The pragma of the stage, or a larger one of a stage around it: a pragma holds for all that is inside."""
        largest, how = self.how.auto_unroll_max_step, self.how
        while how.compute_at == ComputeAt.ITER and how.attach is not None:
            how = self.nest.schedule.stages[how.attach[0]]
            largest = max(largest, how.auto_unroll_max_step)
        return max(0, largest)

    def _inner_loops(self) -> Values:
        values: Values = {}
        flop = flop_per_iteration(self.stage) * self.iterations
        for k in range(NUM_INNER):
            loop = self.loops[-1 - k] if k < len(self.loops) else None
            values[f"inner{k}_extent"] = log2p(loop.extent) if loop else 0.0
            values[f"inner{k}_reduction"] = float(loop is not None and loop.kind == LoopKind.REDUCTION)
        for k in range(NUM_GROUPS):
            level, extent, reduces = self.groups[k] if k < len(self.groups) else (-1, 0.0, False)
            values[f"group{k}_extent"] = log2p(extent)
            values[f"group{k}_reduction"] = float(reduces)
            values[f"group{k}_output"] = log2p(self.output[level]) if level >= 0 else 0.0
            values[f"group{k}_bytes"] = log2p(self.touched[level]) if level >= 0 else 0.0
            values[f"group{k}_intensity"] = (
                log2p(flop / self.outside[level] / self.touched[level]) if level >= 0 else 0.0
            )
        return values

    def traffic(self, cache: str) -> float:
        """Bytes moved in all into and out of a cache."""
        level = self.cache_levels[CACHES.index(cache)]
        return self.touched[level] * self.outside[level]

    def _memory(self) -> Values:
        values: Values = {}
        flop = flop_per_iteration(self.stage) * self.iterations
        for cache, level in zip(CACHES, self.cache_levels, strict=True):
            traffic = self.traffic(cache)
            values[f"refills_{cache}"] = log2p(self.outside[level])
            values[f"traffic_{cache}"] = log2p(traffic)
            values[f"intensity_{cache}"] = log2p(flop / traffic)
        values["unique_bytes"] = log2p(self.touched[0])
        values["allocation"] = log2p(buffer_bytes(self.nest, self.i))
        return values

    # -- neighbouring iterations -----------------------------------------------------------------------------------

    def _shift(self, i: int, loop: NestLoop) -> list[float]:
        """How far every axis of stage i moves from one iteration of `loop` to the next."""
        stage = self.nest.computation.stages[i]
        shift = [0.0] * (len(stage.axis_extents) + len(stage.reduce_extents))
        if loop.stage == i:
            if loop.parts:
                shift[loop.parts[-1].axis] = float(loop.parts[-1].stride)
            return shift
        for access in self.nest.computation.accesses:
            if access.producer == i and (
                access.host == loop.stage or self.nest.inside(access.host, loop.stage, loop.index)
            ):
                outer = self._shift(access.host, loop)
                for d, row in enumerate(access.coefficients):
                    shift[d] = dot(row, outer)
                break
        return shift

    def _stride(self, access: Access, shift: Sequence[float]) -> float:
        """Elements between the reads of neighbouring iterations, in the producer's row-major buffer."""
        producer = access.producer
        shape = self.nest.axis_extents[producer][: len(access.coefficients)]
        offset, step = 0.0, 1.0
        for row, size in zip(reversed(access.coefficients), reversed(shape), strict=True):
            offset += dot(row, shift) * step
            step *= size
        return abs(offset)

    def _store_stride(self, shift: Sequence[float]) -> float:
        spatial = len(self.stage.axis_extents)
        offset, step = 0.0, 1.0
        for d in reversed(range(spatial)):
            offset += shift[d] * step
            step *= (
                self.nest.axis_extents[self.i][d]
                if self.how.compute_at == ComputeAt.ITER
                else (self.stage.axis_extents[d])
            )
        return abs(offset)

    def _lane(self) -> Values:
        counts = {"contiguous": 0.0, "invariant": 0.0, "strided": 0.0}
        store = vector_store = 0.0
        if self.loops:
            shift = self._shift(self.i, self.loops[-1])
            store = self._store_stride(shift)
            for access in self.accesses:
                counts[_lane_kind(self._stride(access, shift))] += access.reads
        if self.vector_loop is not None:
            vector_store = self._store_stride(self._shift(self.i, self.vector_loop))
        return {
            "store_stride": log2p(store),
            "store_vector_stride": log2p(vector_store),
            "store_contiguous": float(_lane_kind(store) == "contiguous"),
            "store_invariant": float(_lane_kind(store) == "invariant"),
            **{f"reads_{kind}": log2p(count) for kind, count in counts.items()},
        }

    # -- GPU -------------------------------------------------------------------------------------------------------

    def _gpu(self) -> Values:
        names = ("threads", "vthreads", "warps", "warp_waste", "iterations_per_thread",
                 "shared_bytes", "local_bytes", "resident_blocks", "occupancy")  # fmt: skip
        if not self.hardware.is_gpu:
            return dict.fromkeys(names, 0.0)
        hardware = self.hardware
        blocks, threads = self._extent_of(BLOCK_ANNOTATIONS), self._extent_of(THREAD_ANNOTATIONS)
        warp = float(max(1, hardware.warp_size))
        warps = float(ceil(threads / warp))
        shared, local = kernel_memory(self.nest, self.i)
        core = hardware.processor
        registers = min(float(core.register_bytes), OTHER_REGISTER_BYTES + local)
        resident = min(float(core.max_blocks), core.max_threads // (warps * warp))
        resident = min(resident, core.register_file_bytes // (warps * warp * registers))
        if shared > 0.0:
            resident = min(resident, core.shared_bytes // shared)
        return {
            "threads": log2p(threads),
            "vthreads": log2p(self._extent_of((Annotation.VTHREAD,))),
            "warps": log2p(warps),
            "warp_waste": 1.0 - threads / (warps * warp),
            "iterations_per_thread": log2p(self.iterations / (blocks * threads)),
            "shared_bytes": log2p(shared),
            "local_bytes": log2p(local),
            "resident_blocks": log2p(resident),
            "occupancy": resident * warps * warp / core.max_threads,
        }

    # -- edges -----------------------------------------------------------------------------------------------------

    def edges(self) -> list[tuple[Access, Values]]:
        """The linear quantities of every access; `_accumulate` and `_finish_edge` make an edge's features of them."""
        lane = self._shift(self.i, self.loops[-1]) if self.loops else None
        threads = [loop for loop in self.loops if loop.annotation == Annotation.THREAD_X]
        thread = self._shift(self.i, threads[-1]) if threads else None
        vector = self._shift(self.i, self.vector_loop) if self.vector_loop is not None else None
        result = []
        for k, access in enumerate(self.accesses):
            how = self.nest.schedule.stages[access.producer]
            attached = how.compute_at == ComputeAt.ITER
            element = self._element_bytes(access)
            distinct = product(self.regions[0][k])
            tile = buffer_bytes(self.nest, access.producer) if attached else distinct * element
            stride = self._stride(access, lane) if lane is not None else 0.0
            kind = _lane_kind(stride) if lane is not None else ""
            values: Values = {
                "edge_attached": float(attached),
                "edge_tile_bytes": tile,
                "edge_flow": tile * product([loop.extent for loop in self.nest.outer[access.producer]]),
                "edge_loads": access.reads * self.iterations,
                "distinct": distinct,
                "edge_lane_stride": stride,
                "edge_contiguous": float(kind == "contiguous"),
                "edge_invariant": float(kind == "invariant"),
                "edge_vector_stride": self._stride(access, vector) if vector is not None else 0.0,
                "edge_thread_stride": self._stride(access, thread) if thread is not None else 0.0,
            }
            for g in range(NUM_GROUPS):
                level = self.groups[g][0] if g < len(self.groups) else -1
                values[f"edge_group{g}_bytes"] = self.lines[level][k] if level >= 0 else 0.0
                # _finish_edge divides by what is distinct
                values[f"edge_group{g}_reuse"] = (
                    access.reads * self.iterations / self.outside[level] if level >= 0 else 0.0
                )
                values[f"distinct{g}"] = product(self.regions[level][k]) if level >= 0 else 1.0
            for cache, level in zip(CACHES, self.cache_levels, strict=True):
                values[f"edge_traffic_{cache}"] = self.lines[level][k] * self.outside[level]
            result.append((access, values))
        return result


def _line_bytes(region: Sequence[float], element_bytes: float, line: float) -> float:
    """Bytes of the cache lines that a box of elements touches, when its rows start on line boundaries."""
    rows, row = 1.0, element_bytes
    if region:
        rows, row = product(region[:-1]), region[-1] * element_bytes
    return rows * ceil(row / line) * line


def _lane_kind(stride: float) -> str:
    if stride == 0.0:
        return "invariant"
    return "contiguous" if stride <= 1.0 else "strided"
