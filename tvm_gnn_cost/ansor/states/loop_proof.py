"""The loop nests' proof: TVM's own print of a state against `LoopNest`, loop by loop."""

from __future__ import annotations

import re
from typing import Any

from tvm_gnn_cost.graphs.loop_nest import LoopNest
from tvm_gnn_cost.graphs.loops import Annotation
from tvm_gnn_cost.graphs.schedule_view import ANNOTATIONS

KEYWORDS = {name: annotation for annotation, name in ANNOTATIONS.items()}
"""`IteratorAnnotationString` (`src/auto_scheduler/loop_state.cc`)."""

SYMBOLIC = "?"
"""Stands for an extent that TVM gives as an expression."""

_LOOP = re.compile(r"^ *(\S+) (\S+) \((.*),(.*)\)$")
_WIDE = re.compile(r"^T\.int64\((\d+)\)$")
Path = list[tuple[Annotation, str]]


def loop_difference(state: Any, nest: LoopNest) -> str | None:
    """Where the loop nests of a bound-inferred state are not what TVM prints of it, or None.

    Compared are the stages that run, and of each the non-trivial loops around its body (annotation and extent, from the
    outermost) and its unroll pragma.
    """
    theirs, their_pragmas = printed_loops(str(state))
    ours, our_pragmas = nest_loops(nest)
    if len(theirs) != len(ours):
        return f"{len(ours)} stages run, not {len(theirs)}"
    for i, ((our_name, our_path), (their_name, their_path)) in enumerate(zip(ours, theirs, strict=True)):
        if (our_name, our_path) != (their_name, their_path):
            return f"stage {i} that runs is {our_name} {our_path}, not {their_name} {their_path}"
    if our_pragmas != their_pragmas:
        return f"the unroll pragmas are {our_pragmas}, not {their_pragmas}"
    return None


def printed_loops(text: str) -> tuple[list[tuple[str, Path]], list[tuple[str, int]]]:
    """From TVM's text: the loops around each statement and the unroll pragmas, sorted by stage."""
    paths: list[tuple[str, Path]] = []
    pragmas: list[tuple[str, int]] = []
    stack: list[tuple[int, Annotation, str]] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        loop = _LOOP.match(line)
        if loop:
            extent = _WIDE.sub(r"\1", loop[4].strip())
            stack.append((indent, KEYWORDS[loop[1]], extent if extent.isdigit() else SYMBOLIC))
        elif line.endswith(" = ..."):
            paths.append((line.strip().removesuffix(" = ..."), [(a, e) for _, a, e in stack]))
        elif " auto_unroll: " in line:
            name, _, step = line.strip().partition(" auto_unroll: ")
            pragmas.append((name, int(step)))
    return sorted(paths), sorted(pragmas)


def nest_loops(nest: LoopNest) -> tuple[list[tuple[str, Path]], list[tuple[str, int]]]:
    """The same from the loop nests."""
    paths: list[tuple[str, Path]] = []
    pragmas: list[tuple[str, int]] = []
    for i, (stage, placement) in enumerate(zip(nest.computation.stages, nest.placements, strict=True)):
        if not stage.runs:
            continue
        loops = list(nest.loops[i])
        attach = placement.attach
        while attach is not None:
            target, position = attach
            loops = [*nest.loops[target][: position + 1], *loops]
            attach = nest.placements[target].attach
        path = [
            (Annotation(loop.annotation), str(loop.extent) if loop.exact else SYMBOLIC)
            for loop in loops
            if loop.extent != 1 or not loop.exact
        ]
        paths.append((stage.name, path))
        if placement.auto_unroll_max_step:
            pragmas.append((stage.name, placement.auto_unroll_max_step))
    return sorted(paths), sorted(pragmas)


def symbolic_loops(nest: LoopNest) -> int:
    """How many loops have an extent that TVM gave as an expression and `LoopNest` estimates."""
    return sum(not loop.exact for loops in nest.loops for loop in loops)
