"""What vendors publish of processors: caches, registers, clock. TVM's `HardwareParams` say none of it.

The entries follow the name of the CPU (`-mcpu`) or of the GPU architecture (`-arch`; `-mcpu` for ROCm) in the target,
so that a record means the same on whatever machine it is read. They are typical figures of a family: clocks are base
clocks, the last level of cache is what the cores of one socket share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Processor:
    """One kind of processor. Sizes in bytes, zero where there is no such thing; `clock_ghz` 0 where it is unknown.

    Attributes:
        simd_bytes: the widest vector register (CPU), or the widest load of a thread (GPU).
        register_bytes: all vector registers of a core (CPU), or the most registers of a thread (GPU).
        l1_bytes, l2_bytes, l3_bytes: data caches; of a GPU, L1 is that of a multiprocessor and L2 is shared by all.
        clock_ghz: base clock.
        max_threads, max_blocks: resident on one multiprocessor.
        register_file_bytes, shared_bytes: of one multiprocessor.
    """

    simd_bytes: int
    register_bytes: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    clock_ghz: float = 0.0
    max_threads: int = 0
    max_blocks: int = 0
    register_file_bytes: int = 0
    shared_bytes: int = 0
    is_known: bool = True


def _cpu(
    simd: int, registers: int, l1_kib: float, l2_kib: float, l3_mib: float, ghz: float = 0.0, is_known: bool = True
) -> Processor:
    return Processor(
        simd, simd * registers, int(l1_kib * KIB), int(l2_kib * KIB), int(l3_mib * MIB), ghz, is_known=is_known
    )


def _gpu(
    l1_kib: int,
    l2_kib: int,
    ghz: float,
    threads: int,
    blocks: int,
    file_kib: int,
    shared_kib: int,
    is_known: bool = True,
) -> Processor:
    return Processor(
        16, 1020, l1_kib * KIB, l2_kib * KIB, 0, ghz, threads, blocks, file_kib * KIB, shared_kib * KIB, is_known
    )


CPUS: Mapping[str, Processor] = {
    "emeraldrapids": _cpu(64, 32, 48, 2048, 160, 2.1),
    "sapphirerapids": _cpu(64, 32, 48, 2048, 60, 2.0),
    "graniterapids*": _cpu(64, 32, 48, 2048, 336, 2.2),
    "diamondrapids": _cpu(64, 32, 48, 2048, 336, 2.2),
    "icelake?server": _cpu(64, 32, 48, 1280, 36, 2.4),
    "icelake?client": _cpu(64, 32, 48, 512, 8, 1.3),
    "tigerlake": _cpu(64, 32, 48, 1280, 12, 2.8),
    "rocketlake": _cpu(64, 32, 48, 512, 16, 3.5),
    "cascadelake": _cpu(64, 32, 32, 1024, 35.75, 2.5),
    "cooperlake": _cpu(64, 32, 32, 1024, 38.5, 2.5),
    "skylake?avx512": _cpu(64, 32, 32, 1024, 33, 2.5),
    "skx": _cpu(64, 32, 32, 1024, 33, 2.5),
    "cannonlake": _cpu(64, 32, 32, 256, 4, 2.2),
    "kn[lm]": _cpu(64, 32, 32, 512, 0, 1.4),
    "alderlake": _cpu(32, 16, 48, 1280, 30, 3.2),
    "raptorlake": _cpu(32, 16, 48, 2048, 36, 3.0),
    "meteorlake": _cpu(32, 16, 48, 2048, 24, 3.8),
    "*lake*": _cpu(32, 16, 48, 2560, 36, 3.7),  # arrowlake, lunarlake and what follows; skylake stands below
    "sierraforest": _cpu(32, 16, 32, 4096, 108, 2.2),
    "grandridge": _cpu(32, 16, 32, 4096, 108, 2.2),
    "clearwaterforest": _cpu(32, 16, 32, 4096, 108, 2.2),
    "gracemont": _cpu(32, 16, 32, 2048, 6, 1.8),
    "skylake": _cpu(32, 16, 32, 256, 8, 3.4),
    "broadwell": _cpu(32, 16, 32, 256, 40, 2.2),
    "haswell": _cpu(32, 16, 32, 256, 30, 2.5),
    "core?avx2": _cpu(32, 16, 32, 256, 30, 2.5),
    "core_[45]th_gen*": _cpu(32, 16, 32, 256, 30, 2.5),
    "ivybridge": _cpu(32, 16, 32, 256, 25, 2.8),
    "sandybridge": _cpu(32, 16, 32, 256, 20, 2.7),
    "nehalem": _cpu(16, 16, 32, 256, 8, 2.7),
    "westmere": _cpu(16, 16, 32, 256, 12, 2.7),
    "core2": _cpu(16, 16, 32, 3072, 0, 2.6),
    "penryn": _cpu(16, 16, 32, 6144, 0, 2.8),
    "znver5": _cpu(64, 32, 48, 1024, 32, 3.0),
    "znver4": _cpu(64, 32, 32, 1024, 32, 2.7),
    "znver3": _cpu(32, 16, 32, 512, 32, 2.6),
    "znver2": _cpu(32, 16, 32, 512, 16, 2.4),
    "znver1": _cpu(32, 16, 32, 512, 8, 2.3),
    "x86-64-v4": _cpu(64, 32, 32, 1024, 32),
    "x86-64-v3": _cpu(32, 16, 32, 512, 16),
    "x86-64*": _cpu(16, 16, 32, 256, 8),
    "apple-*": _cpu(16, 32, 128, 16384, 8, 3.5),
    "a64fx": _cpu(64, 32, 64, 8192, 0, 2.0),
    "ampere1*": _cpu(16, 32, 64, 2048, 64, 3.0),
    "neoverse-v*": _cpu(16, 32, 64, 1024, 64, 2.6),
    "grace": _cpu(16, 32, 64, 1024, 114, 3.1),
    "neoverse-*": _cpu(16, 32, 64, 1024, 32, 2.5),
    "cortex-x*": _cpu(16, 32, 64, 1024, 8, 3.0),
    "cortex-a53": _cpu(16, 32, 32, 512, 0, 1.4),
    "cortex-a[35]*": _cpu(16, 32, 32, 256, 2, 1.8),
    "cortex-a72": _cpu(16, 32, 32, 1024, 0, 1.5),
    "cortex-a7*": _cpu(16, 32, 64, 512, 4, 2.4),
    "thunderx2t99": _cpu(16, 32, 32, 256, 32, 2.2),
    "tsv110": _cpu(16, 32, 64, 512, 64, 2.6),
}
"""Patterns of LLVM's CPU names; the first that fits counts. Sources: the vendors' data sheets."""

GPUS: Mapping[str, Processor] = {
    "sm_3[57]": _gpu(16, 1536, 0.56, 2048, 16, 512, 112),
    "sm_3?": _gpu(16, 1536, 0.75, 2048, 16, 256, 48),
    "sm_52": _gpu(48, 3072, 1.0, 2048, 32, 256, 96),
    "sm_53": _gpu(48, 256, 0.92, 2048, 32, 256, 64),
    "sm_5?": _gpu(24, 2048, 1.0, 2048, 32, 256, 64),
    "sm_60": _gpu(24, 4096, 1.3, 2048, 32, 256, 64),
    "sm_6?": _gpu(48, 2816, 1.5, 2048, 32, 256, 96),
    "sm_7[02]": _gpu(128, 6144, 1.4, 2048, 32, 256, 96),
    "sm_75": _gpu(96, 4096, 1.35, 1024, 16, 256, 64),
    "sm_80": _gpu(192, 40960, 1.1, 2048, 32, 256, 164),
    "sm_8[67]": _gpu(128, 6144, 1.4, 1536, 16, 256, 100),
    "sm_89": _gpu(128, 73728, 2.2, 1536, 24, 256, 100),
    "sm_9*": _gpu(256, 51200, 1.6, 2048, 32, 256, 228),
    "sm_1*": _gpu(256, 98304, 2.0, 1536, 24, 256, 100),
    "gfx90?": _gpu(16, 8192, 1.5, 2048, 32, 512, 64),
    "gfx9*": _gpu(32, 4096, 2.1, 2048, 32, 512, 64),
    "gfx1*": _gpu(128, 4096, 2.0, 1024, 32, 512, 64),
}
"""Patterns of `sm_XX` (CUDA) and `gfxXXX` (ROCm); the first that fits counts."""

UNKNOWN_CPU = _cpu(32, 16, 32, 512, 16, is_known=False)
UNKNOWN_GPU = _gpu(128, 6144, 0.0, 2048, 32, 256, 96, is_known=False)


def processor(name: str, is_gpu: bool) -> Processor:
    """The processor that a target names; one of typical size, marked as unknown, where it names none that is known."""
    table, unknown = (GPUS, UNKNOWN_GPU) if is_gpu else (CPUS, UNKNOWN_CPU)
    exact = table.get(name)
    if exact is not None:
        return exact
    return next((entry for pattern, entry in table.items() if fnmatchcase(name, pattern)), unknown)
