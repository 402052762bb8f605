"""Compares which schedules we call valid with which TVM can run.

    python benchmarks/validity.py --device gpu --states 20000 --records FOLDER
    python benchmarks/validity.py --device cpu --states 5000

For a GPU the judge is stock TVM, which lowers each schedule and runs VerifyGPUCode. Schedules are sampled and evolved
for a GPU with generous limits and judged under several sets of tighter ones in turn, so that every limit is broken
often; recorded schedules are judged the same way. For a CPU, where stock accepts what it can lower, a schedule that is
rejected, one with symbolic extents or vectors along several axes, and one in fifty of the others, is also built. Exits
with 1 where we accept a schedule that cannot run, or reject more than --tolerance of those that can.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from state_sources import FAMILIES, TARGETS, V100, Source, recorded, sources

from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.stock import stock_verdicts
from tvm_gnn_cost.graphs.gpu_demand import RESOURCES, limits, verdicts

GENEROUS = (80, 64, 64, 2**20, 2**31 - 1, 4096, 32, 32)
"""HardwareParams that the schedules are made for: cores; bytes of a vector and of a cache line; the most bytes of
shared and local memory, the most threads and virtual threads; threads of a warp."""

LIMITS: dict[str, tuple[int, ...]] = {
    "V100": V100,
    "shared 8 KiB": (80, 16, 64, 8192, 2**31 - 1, 1024, 8, 32),
    "local 512 B": (80, 16, 64, 49152, 512, 1024, 8, 32),
    "threads 128": (80, 16, 64, 49152, 2**31 - 1, 128, 8, 32),
    "vthread 2": (80, 16, 64, 49152, 2**31 - 1, 1024, 2, 32),
    "vector 8 B": (80, 8, 64, 49152, 2**31 - 1, 1024, 8, 32),
    "small GPU": (2, 8, 64, 16384, 1024, 256, 4, 16),
}
BUILT = 50
"""On a CPU, one in so many schedules of which nothing is in doubt is built."""

SHOWN = 3
"""Schedules on which we differ that are printed."""


@dataclass
class Tally:
    """Counts of schedules: what stock rejects, what it accepts although it cannot be built (found on CPUs only), where
    we are wrong, what we had to lower, at what stock's featurisation ends the process (lowering alone is the judge
    then), and the limits that were broken."""

    states: int = 0
    stock_rejects: int = 0
    cannot_be_built: int = 0
    accepted_wrongly: int = 0
    rejected_wrongly: int = 0
    lowered: int = 0
    stock_aborts: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Adds the counts of another."""
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    def row(self, name: str) -> str:
        """A line of the table."""
        numbers = (
            self.states,
            self.stock_rejects,
            self.cannot_be_built,
            self.accepted_wrongly,
            self.rejected_wrongly,
            self.lowered,
            self.stock_aborts,
        )
        return f"{name:16}" + "".join(f"{n:17}" for n in numbers)


COLUMNS = (
    "states",
    "stock rejects",
    "not to be built",
    "accepted wrongly",
    "rejected wrongly",
    "lowered by us",
    "stock aborts",
)
HEADER = f"{'':16}" + "".join(f"{column:>17}" for column in COLUMNS)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 as wanted, 1 too many differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--states", type=int, default=2000, help="states in all, about (default: %(default)s)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument(
        "--records", nargs="+", type=Path, default=[], metavar="FOLDER", help="logs beside the CPU pools"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the search (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=0.001, help="share rejected wrongly (default: %(default)s)")
    options = parser.parse_args(arguments)
    on_gpu = options.device == "gpu"
    targets = [target for target in TARGETS if target.startswith("llvm") != on_gpu]
    cases = list(LIMITS) if on_gpu else ["CPU"]
    by_case = {case: Tally() for case in cases}
    by_family: dict[str, Tally] = {}
    shown = 0
    for family in options.families:
        chosen = list(sources([family], targets, options.records, GENEROUS))
        each = -(-options.states // (len(options.families) * max(1, len(chosen))))
        by_family[family] = Tally()
        for number, source in enumerate(chosen):
            judges = {case: make_builder((source.on(LIMITS[case]) if on_gpu else source).task) for case in cases}
            for turn, (case, states) in enumerate(judged(source, each, options.seed, cases, number)):
                tally, differences = compare(judges[case], states)
                by_case[case].add(tally)
                by_family[family].add(tally)
                for state, ours in differences:
                    shown += 1
                    if shown <= SHOWN:
                        verdict = "accepted" if ours else "rejected"
                        print(f"{source.name} on {source.target}, {case}, batch {turn}: {verdict} wrongly\n{state}")
        print(f"{family} done", flush=True)
    total = Tally()
    print(HEADER)
    for name, tally in by_family.items():
        total.add(tally)
        print(tally.row(name))
    print()
    for name, tally in by_case.items():
        print(tally.row(name))
    print(total.row("all"))
    for resource in RESOURCES if on_gpu else ():
        print(f"over the limit of {resource:24}{total.broken[resource]:8} states")
    share = total.rejected_wrongly / max(1, total.states - total.stock_rejects - total.cannot_be_built)
    print(
        f"{total.states} states: {total.accepted_wrongly} accepted wrongly, {share:.3%} of the valid rejected wrongly"
    )
    return int(total.accepted_wrongly > 0 or share > options.tolerance)


def judged(source: Source, count: int, seed: int, cases: Sequence[str], first: int) -> Iterator[tuple[str, list[Any]]]:
    """The source's states in small batches, each with the limits it is judged under; `first` is the first case."""
    turn = first
    for states in _all_batches(source, count, seed):
        size = max(1, -(-len(states) // len(cases)))
        for start in range(0, len(states), size):
            yield cases[turn % len(cases)], states[start : start + size]
            turn += 1


def _all_batches(source: Source, count: int, seed: int) -> Iterator[list[Any]]:
    """The source's states; of a log also all those whose measurement failed."""
    yield from source.batches(count, seed)
    if source.log is not None:
        yield from recorded(source.log, 10**9, failed_only=True)


def compare(builder: StageGraphBuilder, states: Sequence[Any]) -> tuple[Tally, list[tuple[Any, bool]]]:
    """The counts, and each state on which we differ with our verdict."""
    built = builder.build(states)
    ours = builder.can_run(states, built)
    stock, aborted = stock_verdicts(states, builder.task)
    if aborted.any():
        stock[aborted] = lowers([states[int(i)] for i in np.flatnonzero(aborted)], builder.task)
    runs = stock.copy()
    if not builder.hardware.is_gpu:
        doubtful = np.flatnonzero(built.readable)[built.doubtful]
        for i, state in enumerate(states):
            if runs[i] and (i in doubtful or not ours[i] or i % BUILT == 0):
                runs[i] = builds(builder.task, state)
    tally = Tally(len(states), int((~stock).sum()), int((stock & ~runs).sum()), stock_aborts=int(aborted.sum()))
    tally.accepted_wrongly, tally.rejected_wrongly = int((ours & ~runs).sum()), int((~ours & runs).sum())
    if builder.hardware.is_gpu:
        tally.lowered = int(verdicts(built.resources, builder.hardware)[1].sum())
        over = (built.resources > limits(builder.hardware)).sum(axis=0)
        tally.broken.update({name: int(n) for name, n in zip(RESOURCES, over, strict=True)})
    return tally, [(states[int(i)], bool(ours[i])) for i in np.flatnonzero(ours != runs)]


def builds(task: Any, state: Any) -> bool:
    """Whether TVM builds a CPU schedule."""
    try:
        tvm.build(*task.compute_dag.apply_steps_from_state(state), task.target)
    except Exception:  # TVM's own error, whose text says why
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
