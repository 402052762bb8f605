"""Reads and featurises a million TIR programs natively, and fails if memory grows.

    python benchmarks/tir_memory_soak.py --programs 1000000

The programs are those of the proof (`meta_schedule.native.proof_cases`). They are read from memory, and, every eighth
time, through Python and featurised natively; now and then all that was registered is forgotten. Needs apache-tvm.

`make sanitize` runs it under the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from soaking import ALLOWED_MIB, BATCH, resident_mib

from tvm_gnn_cost.graphs.native_writer import NativeGraphWriter
from tvm_gnn_cost.meta_schedule.native.builder import NativeBuilder
from tvm_gnn_cost.meta_schedule.native.proof_cases import proof_cases
from tvm_gnn_cost.meta_schedule.native.trust import Extension, load_tvm
from tvm_gnn_cost.meta_schedule.source import TIRSource, measured_function
from tvm_gnn_cost.system.native_extension import import_native

ANEW, NESTS = 16, 8
"""So often all is registered anew; so often nests that Python read are written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 no growth, 1 growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=1_000_000)
    options = parser.parse_args(argv)
    console, native = Console(), import_native()
    extension = Extension(native, load_tvm(native))
    tasks = []
    for _, function, target, schedules in proof_cases():
        functions = [measured_function(schedule) for schedule in schedules]
        tasks.append((TIRSource(function, target), (functions * BATCH)[:BATCH]))
    builders: list[NativeBuilder] = []
    done, turn, readings, checksum = 0, 0, [], 0.0
    while done < options.programs:
        if turn % ANEW == 0:
            builders = [NativeBuilder(extension, task) for task, _ in tasks]
        for builder, (task, functions) in zip(builders, tasks, strict=True):
            built = builder.build_natively(functions)
            assert built.readable.all()
            checksum += float(built.graphs.node_features.sum(dtype=np.float64))
            if turn % NESTS == 0:
                nests = [task.loop_nest(function) for function in functions[:8]]
                NativeGraphWriter(task.hardware, native).write(nests)
            done += len(functions)
        turn += 1
        readings.append((done, resident_mib()))
    settled = next(mib for programs, mib in readings if programs >= options.programs / 5)
    growth = readings[-1][1] - settled
    console.print(f"{done} programs, checksum {checksum:.6g}, {readings[-1][1]:.0f} MiB: {growth:+.1f} since a fifth")
    return int(growth > ALLOWED_MIB)


if __name__ == "__main__":
    sys.exit(main())
