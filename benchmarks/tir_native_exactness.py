"""Proves that the extension makes the graphs that Python makes of MetaSchedule's candidates, to the last bit.

    python benchmarks/tir_native_exactness.py --candidates 20000 --out native.json

Samples candidates of every workload on every target, as the search does, until there are as many as asked for. Results
are kept by workload, target, seed and TVM: a second call goes on where the first was stopped, and one with another TVM
adds its own. Exits with 1 if a graph differs. "native" are the candidates that the extension read itself; the others'
features alone are computed by it. "units" are the different blocks and inputs that Python read for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tvm
from rich.console import Console
from rich.table import Table
from tir_exactness import TARGETS, WORKLOADS, module

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.meta_schedule.native.builder import NativeBuilder
from tvm_gnn_cost.meta_schedule.native.trust import Extension, has_tvm_ffi, load_tvm
from tvm_gnn_cost.meta_schedule.source import TIRSource, measured_function
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.system.native_extension import import_native
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.workloads import parse_target

EACH = 64
"""Candidates of a workload, a target and a seed."""

Result = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 all graphs are equal, 1 some differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=20_000, help="of this TVM (default: %(default)s)")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=["llvm", "cuda"])
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), help="each as 'NAME ARGUMENT...'")
    parser.add_argument("--out", type=Path, default=Path("tir_native_exactness.json"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    console, native = Console(), import_native()
    extension = Extension(native, load_tvm(native) if has_tvm_ffi() else None)
    done: dict[str, Result] = json.loads(options.out.read_text()) if options.out.exists() else {}

    def count() -> int:
        return sum(r.get("candidates", 0) for r in done.values() if r["tvm"] == tvm.__version__)

    for key, name, target, seed in cases(options.targets, options.workloads):
        if count() >= options.candidates or (seed > 1 and not count()):
            break
        if key not in done:
            about = {"tvm": tvm.__version__, "target": target, "workload": name, "seed": seed}
            done[key] = about | compare(extension, name, TARGETS[target], seed)
            write_atomically(options.out, f"{json.dumps(done, indent=1)}\n".encode())
            console.print(f"{count()}: {key}: {summary(done[key])}")
    console.print(table(list(done.values())))
    return int(any(result.get("difference") for result in done.values()))


def cases(targets: list[str], workloads: list[str]) -> Iterator[tuple[str, str, str, int]]:
    """(key, workload, target, seed), without end."""
    seed = 0
    while True:
        seed += 1
        for target in targets:
            for name in workloads:
                yield f"{tvm.__version__} {target} {name} x{EACH} seed {seed}", name, target, seed


def compare(extension: Extension, name: str, target_text: str, seed: int) -> Result:
    """What was found of one workload on one target, as JSON; why there is nothing, where TVM makes no candidates."""
    target = parse_target(target_text)
    try:
        mod = module(name, target)
        functions = list(map(measured_function, sample_candidates(mod, target, EACH, seed)))
    except Exception as error:  # TVM's own rules cannot make a schedule of some programs
        return {"unscheduled": f"{type(error).__name__}: {last_line(error)}"[:200]}
    builder = NativeBuilder(extension, TIRSource(mod, target))
    python, (built, failures) = TIRSource(mod, target).build(functions), builder.build(functions)
    again, _ = builder.build(functions)  # with every block known
    return {
        "candidates": len(functions),
        "readable": int(python.readable.sum()),
        "native": int(builder.build_natively(functions).readable.sum()),
        "units": builder.num_units,
        "failures": len(failures),
        "difference": graph_difference(built, python) or graph_difference(again, python),
    }


def summary(result: Result) -> str:
    """A line on one result."""
    if "unscheduled" in result:
        return f"no candidates ({result['unscheduled']})"
    same = result["difference"] or "all equal"
    return f"{result['candidates']} candidates, {result['native']} native, {result['units']} units: {same}"


def table(results: list[Result]) -> Table:
    """A line for each TVM and target."""
    rows = Table("TVM", "target", "workloads", "candidates", "readable", "native", "units", "different")
    for version, target in sorted({(r["tvm"], r["target"]) for r in results}):
        found = [r for r in results if (r["tvm"], r["target"]) == (version, target) and "candidates" in r]
        sums = [str(sum(r[column] for r in found)) for column in ("candidates", "readable", "native", "units")]
        different = str(sum(r["difference"] is not None for r in found))
        rows.add_row(version, target, str(len({r["workload"] for r in found})), *sums, different)
    return rows


if __name__ == "__main__":
    sys.exit(main())
