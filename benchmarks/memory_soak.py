"""Reads and featurises a million states natively, and fails if memory grows.

    python benchmarks/memory_soak.py --states 1000000 [--records FOLDER]

The states are recorded ones, of every fourth of the project's own CPU pools and of the logs under FOLDER.

`make sanitize` runs it under the address and undefined-behaviour sanitizers. (Leaks show as growth here; Python's own
allocations at exit would drown them in a leak report.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from soaking import ALLOWED_MIB, BATCH, resident_mib
from state_sources import sources

from tvm_gnn_cost.ansor.native.builder import NativeStageGraphBuilder
from tvm_gnn_cost.ansor.native.reader import NativeReader
from tvm_gnn_cost.ansor.states.reader import state_object

EVERY = 4
"""Of the logs, one in so many."""

DISTINCT = 48
"""States of a log; they repeat."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 no growth, 1 growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--records", nargs="+", type=Path, default=[], metavar="FOLDER", help="logs beside the pools")
    options = parser.parse_args(argv)
    from tvm.runtime import convert

    console, reader = Console(), NativeReader()
    batches = []
    for source in list(sources(["records"], records=options.records))[::EVERY]:
        states = next(source.batches(DISTINCT), [])
        if states:
            array = convert([state_object(states[i % len(states)]) for i in range(BATCH)])
            batches.append((NativeStageGraphBuilder(source.task, reader), array))
    console.print(f"{len(batches)} logs")
    done, readings, checksum = 0, [], 0.0
    while done < options.states:
        for builder, array in batches:
            built = builder.build_natively(array)
            checksum += float(built.graphs.node_features.sum(dtype=np.float64))
            done += len(array)
        readings.append((done, resident_mib()))
        console.print(f"{done} states, {readings[-1][1]:.0f} MiB")
    settled = next(mib for states, mib in readings if states >= options.states / 5)
    growth = readings[-1][1] - settled
    console.print(f"{done} states of {len(batches)} tasks, checksum {checksum:.6g}: {growth:+.1f} MiB since a fifth")
    return int(growth > ALLOWED_MIB)


if __name__ == "__main__":
    sys.exit(main())
