"""Proves that schedules are read as TVM has them: loop nests against TVM's print, native graphs against Python's.

    python benchmarks/exactness.py --states 50000 --records FOLDER

Samples and evolves schedules of every source (`state_sources.py`) on every target, as the search does, takes recorded
ones as they are, and compares each state's loop nests (extents, annotations, nesting, unroll pragmas) with what TVM
prints of it, and the graphs of the native builder with those of Python's, to the last bit. Exits with 1 at the first
difference.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from state_sources import FAMILIES, TARGETS, Source, sources

from tvm_gnn_cost.ansor.native.builder import NativeStageGraphBuilder
from tvm_gnn_cost.ansor.native.reader import NativeReader
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.states.loop_proof import loop_difference, symbolic_loops
from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.graphs.loop_nest import LoopNest


class _NestKeeper(StageGraphBuilder):
    """Python's builder; keeps the loop nests it makes, so that they are made once."""

    def __init__(self, task: Any) -> None:
        super().__init__(task)
        self.nests: list[LoopNest] = []

    def loop_nest(self, state: Any) -> LoopNest:
        nest = super().loop_nest(state)
        self.nests.append(nest)
        return nest


@dataclass
class Tally:
    """What was compared, of one family or of all."""

    states: int = 0
    sources: int = 0
    loops: int = 0
    symbolic: int = 0
    targets: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Adds the counts of another."""
        self.states += other.states
        self.sources += other.sources
        self.loops += other.loops
        self.symbolic += other.symbolic
        self.targets += other.targets

    def row(self, name: str) -> str:
        """A line of the table."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.targets.items()))
        return f"{name:12}{self.sources:9}{self.states:9}{self.loops:11}{self.symbolic:10}  {kinds}"


HEADER = f"{'family':12}{'sources':>9}{'states':>9}{'loops':>11}{'symbolic':>10}  states by target"


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 equal, 1 different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=2000, help="states in all, about (default: %(default)s)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument(
        "--records", nargs="+", type=Path, default=[], metavar="FOLDER", help="logs beside the CPU pools"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the search (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="print the table alone, not a line a source")
    options = parser.parse_args(arguments)
    reader = NativeReader()
    tallies: dict[str, Tally] = {}
    for family in options.families:
        chosen = list(sources([family], options.targets, options.records))
        each = -(-options.states // (len(options.families) * max(1, len(chosen))))
        tallies[family] = Tally()
        for source in chosen:
            tally, problem = prove(source, each, reader, options.seed)
            if problem is not None:
                print(f"{source.name} on {source.target}: {problem}")
                return 1
            tallies[family].add(tally)
            if not options.quiet:
                print(f"{source.name} on {source.target}: {tally.states} states equal", flush=True)
    print(HEADER)
    everything = Tally()
    for family, tally in tallies.items():
        everything.add(tally)
        print(tally.row(family))
    print(everything.row("all"))
    print(f"{everything.states} states: no difference")
    return 0


def prove(source: Source, count: int, reader: NativeReader, seed: int = 1) -> tuple[Tally, str | None]:
    """What was compared of one source, and the first difference with its state, or None."""
    tally = Tally(sources=1)
    python, native = _NestKeeper(source.task), NativeStageGraphBuilder(source.task, reader)
    for states in source.batches(count, seed):
        python.nests.clear()
        expected = python.build(states)
        if not expected.readable.all():
            return tally, f"{len(states) - expected.readable.sum()} states cannot be read"
        problem = _nest_problem(states, python.nests) or graph_difference(native.build_natively(states), expected)
        if problem is not None:
            return tally, f"after {tally.states} states: {problem}"
        tally.states += len(states)
        tally.targets[source.task.target.kind.name] += len(states)
        tally.loops += sum(len(loops) for nest in python.nests for loops in nest.loops)
        tally.symbolic += sum(symbolic_loops(nest) for nest in python.nests)
    return tally, None


def _nest_problem(states: Sequence[Any], nests: Sequence[LoopNest]) -> str | None:
    for state, nest in zip(states, nests, strict=True):
        problem = loop_difference(state, nest)
        if problem is not None:
            return f"{problem} in\n{state}"
    return None


if __name__ == "__main__":
    sys.exit(main())
