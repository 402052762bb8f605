"""Checks on random programs what must hold of every program that TVM can schedule.

    python benchmarks/random_programs.py --programs 3000 --states 10 --builds 1 --output random_programs.json
    python benchmarks/random_programs.py --programs 500 --targets cuda --output random_programs_cuda.json

For each program of `random_program` (seeds from --first on, the sizes in turn), some schedules are sampled and evolved;
their loop nests are compared with what TVM prints, native graphs with Python's to the bit, features with their ranges,
our verdict with `tvm.build` (for a GPU with lowering and VerifyGPUCode), and a short search with a cold cost model must
end. Each program is a process of its own with a time limit: one that hangs or dies is a line of the result, with its
seed. (Where few of a GPU's schedules fit its limits, a search may take minutes to find one, with stock too; the line
says how many of the sampled ones we accept. A build that takes longer is counted, and is no fault; nor is a hang in
"sample", where TVM with a random model makes no schedule.) The same command goes on with what --output holds. Exits
with 1 where a property is broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.testing.program_checks import PROPERTIES, Checked, check_task
from tvm_gnn_cost.testing.schedules import GPU_HARDWARE
from tvm_gnn_cost.workloads.random_programs.program import random_program
from tvm_gnn_cost.workloads.random_programs.structure import structure

TARGETS = {"llvm": "llvm -mcpu=core-avx2 -num-cores=2", "cuda": "cuda -arch=sm_70"}
SIZES = (8, 10, 12, 14, 16, 18, 20, 24, 28, 30)
KEPT_EVERY = 5
"""Programs between two writings of the result."""
LAST = 600
"""Characters of an error that are kept."""


@dataclass
class Row:
    """What was found of one program on one target.

    Attributes:
        ended: "done"; "hang in PHASE" or "death in PHASE" where its process did not end by itself; or what
            else kept it from being checked.
        structure: digest of what the program computes, whatever its extents.
        checked: see `Checked`.
    """

    seed: int
    size: int
    target: str
    ended: str
    structure: str = ""
    checked: Checked = field(default_factory=Checked)

    @property
    def key(self) -> tuple[int, int, str]:
        return self.seed, self.size, self.target

    @staticmethod
    def of(stored: dict[str, Any]) -> Row:
        """From JSON."""
        return Row(**stored | {"checked": Checked(**stored["checked"])})


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 all properties hold, 1 some are broken."""
    options = _options(arguments)
    rows = _stored(options)
    wanted = [
        (seed, options.sizes[seed % len(options.sizes)], target)
        for seed in range(options.first, options.first + options.programs)
        for target in options.targets
    ]
    left = [key for key in wanted if key not in rows]
    logging.getLogger("tvm_gnn_cost").setLevel(logging.ERROR)
    try:
        for row in _rows(left, options):
            rows[row.key] = row
            for line in _faults(row):
                print(line, flush=True)
            if options.output and len(rows) % KEPT_EVERY == 0:
                _write(options, rows)
    finally:
        if options.output:
            _write(options, rows)
    asked = [rows[key] for key in wanted if key in rows]
    print(_table(asked))
    return int(any(_faults(row) for row in asked))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="the first program's seed (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="in turn (default: %(default)s)")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--states", type=int, default=10, help="schedules of each program (default: %(default)s)")
    parser.add_argument(
        "--builds",
        type=int,
        default=1,
        help="accepted, and rejected, schedules of each to build (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the search (default: %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds for each part of a program's check (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="programs at a time (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON of counts and rows; what it holds is not done again")
    return parser.parse_args(arguments)


def _decisive(options: argparse.Namespace) -> dict[str, int]:
    """The options on which a row depends."""
    return {"states": options.states, "builds": options.builds, "seed": options.seed}


def _stored(options: argparse.Namespace) -> dict[tuple[int, int, str], Row]:
    if options.output is None or not options.output.exists():
        return {}
    stored = json.loads(options.output.read_text())
    if stored["options"] != _decisive(options):
        sys.exit(f"{options.output} was made with {stored['options']}, not {_decisive(options)}; name another --output")
    return {row.key: row for row in map(Row.of, stored["rows"])}


def _write(options: argparse.Namespace, rows: dict[tuple[int, int, str], Row]) -> None:
    ordered = [rows[key] for key in sorted(rows)]
    result = {
        "options": _decisive(options),
        "counts": {target: _counts([row for row in ordered if row.target == target]) for target in TARGETS},
        "rows": [asdict(row) for row in ordered],
    }
    write_atomically(options.output, json.dumps(result, indent=0).encode())


def _rows(keys: list[tuple[int, int, str]], options: argparse.Namespace) -> Iterator[Row]:
    """The programs' rows as they are found."""
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(_watched, *key, options) for key in keys]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _watched(seed: int, size: int, target: str, options: argparse.Namespace) -> Row:
    """Checks a program in a process of its own, which is killed when it sends nothing for the time limit."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_check, args=(seed, size, target, options, theirs), daemon=True
    )
    child.start()
    theirs.close()
    row = Row(seed, size, target, "no start")
    try:
        while row.ended != "done":
            if not ours.poll(options.limit):
                row.ended = f"hang in {row.checked.phase}"
                break
            row = ours.recv()
            if row.ended:
                break
    except EOFError:
        child.join(5)
        row.ended = f"death in {row.checked.phase} ({child.exitcode})"
    child.kill()
    child.join()
    ours.close()
    return row


def _check(seed: int, size: int, target: str, options: argparse.Namespace, parent: Connection) -> None:
    """The child: sends its row at the beginning of each phase, and at last one that says how it ended. TVM's warnings,
    thousands of them, are thrown away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    row = Row(seed, size, target, "", checked=Checked(phase="make"))
    parent.send(row)
    try:
        row.structure = structure(random_program(seed, size))
        hardware = None if target == "llvm" else GPU_HARDWARE
        task = make_task("random_program", (seed, size), TARGETS[target], hardware)

        def report(checked: Checked) -> None:
            row.checked = checked
            parent.send(row)

        row.checked = check_task(task, options.states, options.builds, options.seed, report)
        row.ended = "done"
    except WorkloadError as error:
        row.ended = f"no task: {error}"[:LAST]
    except Exception as error:  # a fault of the package: it is in the result
        row.ended = f"error in {row.checked.phase}: {type(error).__name__}: {error}"[:LAST]
    parent.send(row)


def _faults(row: Row) -> list[str]:
    """A line for each property that a program breaks."""
    where = f"random_program {row.seed} {row.size} on {row.target}"
    lines = [f"{where}: {name}, {row.checked.broken[name]} times: {what}" for name, what in row.checked.faults]
    if row.ended != "done" and not row.ended.startswith(("hang in sample", "hang in build")):
        lines.append(f"{where}: {row.ended}; {row.checked.accepted} of {row.checked.states} schedules accepted")
    return lines


def _counts(rows: list[Row]) -> dict[str, Any]:
    broken: Counter[str] = Counter({name: 0 for name in PROPERTIES})
    for row in rows:
        broken.update(row.checked.broken)
    ended = Counter(row.ended.partition(":")[0].partition(" (")[0] for row in rows)
    return {
        "programs": len(rows),
        "structures": len({row.structure for row in rows if row.structure}),
        "not scheduled by TVM": sum(bool(row.checked.unscheduled) for row in rows),
        "states": sum(row.checked.states for row in rows),
        "accepted": sum(row.checked.accepted for row in rows),
        "judged": sum(row.checked.judged for row in rows),
        "of them built": sum(row.checked.built for row in rows),
        **{f"broken: {name}": count for name, count in broken.items()},
        **{f"ended: {name}": count for name, count in sorted(ended.items())},
    }


def _table(rows: list[Row]) -> str:
    targets = [target for target in TARGETS if any(row.target == target for row in rows)]
    counts = {target: _counts([row for row in rows if row.target == target]) for target in targets}
    names = list(dict.fromkeys(name for target in targets for name in counts[target]))
    lines = [f"{'':40}" + "".join(f"{target:>10}" for target in targets)]
    lines += [f"{name:40}" + "".join(f"{counts[t].get(name, 0):10}" for t in targets) for name in names]
    reasons = Counter(row.checked.unscheduled for row in rows if row.checked.unscheduled)
    lines += [f"not scheduled by TVM, {count} times: {why}" for why, count in reasons.most_common(10)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
