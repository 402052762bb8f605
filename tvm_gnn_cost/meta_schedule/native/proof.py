"""The proof of the native reader of TIR programs: does it make the graphs that Python makes, on the TVM that is installed
here?

    python -m tvm_gnn_cost.meta_schedule.native.proof --ffi /path/to/libtvm_ffi.so

`trust` runs it in a child process, since memory that is not what it should be may crash. Exit code 0 means equal. The
schedules are few but meet every field that is read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.meta_schedule.native.builder import NativeBuilder
from tvm_gnn_cost.meta_schedule.native.proof_cases import proof_cases
from tvm_gnn_cost.meta_schedule.native.trust import Extension, ffi_path, load_tvm
from tvm_gnn_cost.meta_schedule.source import TIRSource, primitive_function
from tvm_gnn_cost.system.native_extension import import_native


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 equal, 1 different."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ffi", type=Path, help="the tvm-ffi library that must be the one that is loaded here")
    options = parser.parse_args(arguments)
    if options.ffi is not None and options.ffi != ffi_path():
        return _fail(f"{ffi_path()} is loaded here, not {options.ffi}")
    try:
        native = import_native()
        problem = first_difference(Extension(native, load_tvm(native)), proof_cases())
    except RuntimeError as error:
        return _fail(str(error))
    return 0 if problem is None else _fail(problem)


Case = tuple[str, Any, Any, list[Any]]
"""Its name, the function, the target, schedules of it."""


def first_difference(extension: Extension, cases: Iterable[Case]) -> str | None:
    """The first case whose native graphs are not those of Python, or None."""
    for name, function, target, schedules in cases:
        python = TIRSource(function, target)
        expected = python.build(schedules)
        if not expected.readable.all():
            return f"{name}: Python cannot read all of its schedules"
        native = NativeBuilder(extension, TIRSource(function, target))
        problem = graph_difference(native.build_natively(list(map(primitive_function, schedules))), expected)
        if problem is not None:
            return f"{name}: {problem}"
    return None


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
