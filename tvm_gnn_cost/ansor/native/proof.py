"""The native reader's proof: does it read what the Python reader reads, and make the same graphs, on the TVM that is
installed here?

    python -m tvm_gnn_cost.ansor.native.proof --libtvm /path/to/libtvm.so

`native` runs it in a child process, since a wrong layout may crash. Exit code 0 means equal. The states are few but
meet every transform step and every field that is read: hand-made ones first, then some of the search's own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tvm_gnn_cost.ansor.native.builder import NativeStageGraphBuilder
from tvm_gnn_cost.ansor.native.proof_cases import proof_cases
from tvm_gnn_cost.ansor.native.reader import NativeReader, StageIdentity
from tvm_gnn_cost.ansor.native.trust import libtvm_path
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.states.reader import read_schedule
from tvm_gnn_cost.ansor.states.schedule import UNKNOWN_EXTENT
from tvm_gnn_cost.graphs.differences import graph_difference

GRAPHS = 6
"""States of each case whose graphs are compared."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 equal, 1 different."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libtvm", type=Path, help="the TVM library that must be the one that is loaded here")
    parser.add_argument("--move", action="append", default=[], metavar="FIELD=OFFSET", help="simulate a wrong layout")
    parser.add_argument("--type", action="append", default=[], metavar="KEY=INDEX", help="simulate a wrong type index")
    options = parser.parse_args(arguments)
    if options.libtvm is not None and options.libtvm != libtvm_path():
        return _fail(f"{libtvm_path()} is loaded here, not {options.libtvm}")
    reader = NativeReader(_assignments(options.move), _assignments(options.type))
    cases = list(proof_cases())
    try:
        problem = first_difference(reader, cases) or first_graph_difference(reader, cases)
    except RuntimeError as error:
        return _fail(str(error))
    return 0 if problem is None else _fail(problem)


def first_difference(reader: NativeReader, cases: list[tuple[str, Any, list[Any]]]) -> str | None:
    """The first of (name, task, states) that the native reader does not read as Python does, or None."""
    for name, task, states in cases:
        natives = reader.read(states, n_threads=1)
        if len(natives) != len(states):
            return f"{name}: {len(natives)} states of {len(states)}"
        for i, (state, (schedule, identities)) in enumerate(zip(states, natives, strict=True)):
            if schedule != read_schedule(task, state):
                return f"{name}, state {i}: another schedule"
            if identities != stage_identities(state):
                return f"{name}, state {i}: other operations"
    return None


def first_graph_difference(reader: NativeReader, cases: list[tuple[str, Any, list[Any]]]) -> str | None:
    """The first of (name, task, states) whose native graphs are not those of Python, or None."""
    for name, task, states in cases:
        few = states[:GRAPHS]
        native = NativeStageGraphBuilder(task, reader).build_natively(few)
        problem = graph_difference(native, StageGraphBuilder(task).build(few))
        if problem is not None:
            return f"{name}: {problem}"
    return None


def stage_identities(state: Any) -> tuple[StageIdentity, ...]:
    """The identity of the stages' operations, through Python."""
    return tuple(_identity(stage.op) for stage in getattr(state, "state_object", state).stages)


def _identity(op: Any) -> StageIdentity:
    from tvm import te

    if isinstance(op, te.PlaceholderOp):
        return StageIdentity(op.name, True, tuple(map(_constant, op.shape)), ())
    axes, reduce_axes = ([_constant(axis.dom.extent) for axis in group] for group in (op.axis, op.reduce_axis))
    return StageIdentity(op.name, False, tuple(axes), tuple(reduce_axes))


def _constant(extent: Any) -> int:
    value = getattr(extent, "value", None)
    return value if isinstance(value, int) else UNKNOWN_EXTENT


def _assignments(texts: list[str]) -> dict[str, int]:
    return {name: int(value) for name, _, value in (text.partition("=") for text in texts)}


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
