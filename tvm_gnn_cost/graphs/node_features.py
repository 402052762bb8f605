"""The features of a stage's node that tell how the stage runs."""

from __future__ import annotations

from math import ceil

from tvm_gnn_cost.graphs.arithmetic import log2p, product, ratio, total
from tvm_gnn_cost.graphs.buffers import buffer_bytes, kernel_memory
from tvm_gnn_cost.graphs.loop_levels import LoopLevels, lane_kind
from tvm_gnn_cost.graphs.loops import BLOCK_ANNOTATIONS, THREAD_ANNOTATIONS, Annotation, ComputeAt, LoopKind
from tvm_gnn_cost.graphs.schema import CACHES, NUM_GROUPS, NUM_INNER
from tvm_gnn_cost.graphs.static_features import flop_per_iteration

OTHER_REGISTER_BYTES = 128.0
"""Registers of a GPU thread for indices and operands, beside its local arrays: an estimate."""


class NodeFeatures:
    """Makes the features of one stage's node of its levels."""

    def __init__(self, levels: LoopLevels) -> None:
        self.levels = levels
        self._parallel_annotations = BLOCK_ANNOTATIONS if levels.hardware.is_gpu else frozenset({Annotation.PARALLEL})

    def values(self) -> dict[str, float]:
        """The features of the node, by name."""
        values = self._place()
        values |= self._parallelism()
        values |= self._vectorisation()
        values |= self._inner_loops()
        values |= self._memory()
        values |= self._lane()
        values |= self._gpu()
        return values

    def _place(self) -> dict[str, float]:
        levels, stage = self.levels, self.levels.stage
        domain = product(stage.axis_extents) * product(stage.reduce_extents)
        own = product([loop.extent for loop in levels.own])
        return {
            "at_root": float(levels.placement.compute_at == ComputeAt.ROOT),
            "at_loop": float(levels.placement.compute_at == ComputeAt.ITER),
            "attached_stages": log2p(
                sum(levels.nest.inside(j, levels.i, -1) for j in range(len(levels.nest.computation.stages)))
            ),
            "outer_loops": log2p(len(levels.outer)),
            "own_loops": log2p(len(levels.own)),
            "outer_iterations": log2p(levels.iterations / own),
            "own_iterations": log2p(own),
            "iterations": log2p(levels.iterations),
            "recomputation": log2p(ratio(levels.iterations, domain)),
            "inexact_loops": log2p(sum(not loop.exact for loop in levels.nest.loops[levels.i])),
        }

    def iterations_per_core(self) -> float:
        """Iterations of the body on the most loaded core."""
        levels = self.levels
        return levels.iterations * self._imbalance() / levels.hardware.cores

    def _imbalance(self) -> float:
        levels = self.levels
        cores, parallel = float(levels.hardware.cores), levels.extent_of(self._parallel_annotations)
        return ceil(parallel / cores) * cores / parallel

    def _parallelism(self) -> dict[str, float]:
        levels = self.levels
        parallel = levels.extent_of(self._parallel_annotations)
        inside = levels.iterations
        for level, loop in enumerate(levels.loops):
            if loop.annotation in self._parallel_annotations:
                inside = levels.iterations / levels.outside[level + 1]
        return {
            "parallel": log2p(parallel),
            "parallel_per_core": log2p(parallel / levels.hardware.cores),
            "imbalance": self._imbalance(),
            "iterations_per_core": log2p(self.iterations_per_core()),
            "inside_parallel": log2p(inside),
        }

    def _vectorisation(self) -> dict[str, float]:
        levels = self.levels
        vector = levels.vector_loop
        length = float(vector.extent) if vector else 1.0
        filled = length * levels.stage.element_bytes / levels.hardware.simd_bytes
        registers = float(ceil(filled))
        limit = float(self._auto_unroll())
        operations = flop_per_iteration(levels.stage) + total([access.reads for access in levels.accesses])
        body = 1.0
        for loop in reversed(levels.loops):
            if loop.annotation == Annotation.VECTORIZE:
                continue
            if loop.annotation != Annotation.UNROLL and body * loop.extent > limit:
                break
            body *= loop.extent
        return {
            "vector": log2p(length),
            "vector_registers": log2p(registers),
            "vector_waste": 1.0 - filled / registers,
            "unroll": log2p(levels.extent_of((Annotation.UNROLL,))),
            "auto_unroll": log2p(limit),
            "unrolled_body": log2p(body),
            "body_instructions": log2p(body * operations * registers),
            "storage_offset": log2p(abs(float(levels.placement.storage_offset))),
        }

    def _auto_unroll(self) -> int:
        """The pragma of the stage, or a larger one of a stage around it: a pragma holds for all that is inside."""
        placement = self.levels.placement
        largest = placement.auto_unroll_max_step
        while placement.attach is not None:
            placement = self.levels.nest.placements[placement.attach[0]]
            largest = max(largest, placement.auto_unroll_max_step)
        return max(0, largest)

    def _inner_loops(self) -> dict[str, float]:
        levels = self.levels
        values: dict[str, float] = {}
        flop = flop_per_iteration(levels.stage) * levels.iterations
        for k in range(NUM_INNER):
            loop = levels.loops[-1 - k] if k < len(levels.loops) else None
            values[f"inner{k}_extent"] = log2p(loop.extent) if loop else 0.0
            values[f"inner{k}_reduction"] = float(loop is not None and loop.kind == LoopKind.REDUCTION)
        for k in range(NUM_GROUPS):
            level, extent, reduces = levels.groups[k] if k < len(levels.groups) else (-1, 0.0, False)
            values[f"group{k}_extent"] = log2p(extent)
            values[f"group{k}_reduction"] = float(reduces)
            values[f"group{k}_output"] = log2p(levels.output[level]) if level >= 0 else 0.0
            values[f"group{k}_bytes"] = log2p(levels.touched[level]) if level >= 0 else 0.0
            values[f"group{k}_intensity"] = (
                log2p(ratio(flop / levels.outside[level], levels.touched[level])) if level >= 0 else 0.0
            )
        return values

    def _memory(self) -> dict[str, float]:
        levels = self.levels
        values: dict[str, float] = {}
        flop = flop_per_iteration(levels.stage) * levels.iterations
        for cache, level in zip(CACHES, levels.cache_levels, strict=True):
            traffic = levels.traffic(cache)
            values[f"refills_{cache}"] = log2p(levels.outside[level])
            values[f"traffic_{cache}"] = log2p(traffic)
            values[f"intensity_{cache}"] = log2p(ratio(flop, traffic))
        values["unique_bytes"] = log2p(levels.touched[0])
        values["allocation"] = log2p(buffer_bytes(levels.nest, levels.i))
        return values

    def _lane(self) -> dict[str, float]:
        levels = self.levels
        counts = {"contiguous": 0.0, "invariant": 0.0, "strided": 0.0}
        store = vector_store = 0.0
        if levels.loops:
            shift = levels.shift(levels.loops[-1])
            store = levels.store_stride(shift)
            for access in levels.accesses:
                counts[lane_kind(levels.stride(access, shift))] += access.reads
        if levels.vector_loop is not None:
            vector_store = levels.store_stride(levels.shift(levels.vector_loop))
        return {
            "store_stride": log2p(store),
            "store_vector_stride": log2p(vector_store),
            "store_contiguous": float(lane_kind(store) == "contiguous"),
            "store_invariant": float(lane_kind(store) == "invariant"),
            **{f"reads_{kind}": log2p(count) for kind, count in counts.items()},
        }

    def _gpu(self) -> dict[str, float]:
        levels = self.levels
        hardware = levels.hardware
        if not hardware.is_gpu:
            return {}  # these columns stay 0
        blocks, threads = levels.extent_of(BLOCK_ANNOTATIONS), levels.extent_of(THREAD_ANNOTATIONS)
        warp = float(max(1, hardware.warp_size))
        warps = float(ceil(threads / warp))
        shared, local = kernel_memory(levels.nest, levels.i)
        core = hardware.processor
        registers = min(float(core.register_bytes), OTHER_REGISTER_BYTES + local)
        resident = min(float(core.max_blocks), core.max_threads // (warps * warp))
        resident = min(resident, core.register_file_bytes // (warps * warp * registers))
        if shared > 0.0:
            resident = min(resident, core.shared_bytes // shared)
        return {
            "threads": log2p(threads),
            "vthreads": log2p(levels.extent_of((Annotation.VTHREAD,))),
            "warps": log2p(warps),
            "warp_waste": 1.0 - threads / (warps * warp),
            "iterations_per_thread": log2p(levels.iterations / (blocks * threads)),
            "shared_bytes": log2p(shared),
            "local_bytes": log2p(local),
            "resident_blocks": log2p(resident),
            "occupancy": resident * warps * warp / core.max_threads,
        }
