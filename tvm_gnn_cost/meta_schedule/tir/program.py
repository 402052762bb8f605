"""A TIR function as it is scheduled: its blocks in order, each with the loops around it. One walk, no expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tvm_gnn_cost.graphs.domains import estimated_extent
from tvm_gnn_cost.graphs.expression import Node
from tvm_gnn_cost.graphs.expression_reader import ExpressionReader, Given
from tvm_gnn_cost.graphs.loops import Annotation
from tvm_gnn_cost.meta_schedule.names import NAMES

THREADS: Mapping[str, Annotation] = {
    "blockIdx.x": Annotation.BLOCK_X,
    "blockIdx.y": Annotation.BLOCK_Y,
    "blockIdx.z": Annotation.BLOCK_Z,
    "threadIdx.x": Annotation.THREAD_X,
    "threadIdx.y": Annotation.THREAD_Y,
    "threadIdx.z": Annotation.THREAD_Z,
    "vthread": Annotation.VTHREAD,
    "vthread.x": Annotation.VTHREAD,
    "vthread.y": Annotation.VTHREAD,
    "vthread.z": Annotation.VTHREAD,
}
_KINDS = (Annotation.NONE, Annotation.PARALLEL, Annotation.VECTORIZE, Annotation.UNROLL)
"""By `ForKind`; a loop of the kind after these is bound to a thread."""

UNROLL_PRAGMA = "pragma_auto_unroll_max_step"
LAYOUT_REWRITE = "meta_schedule.layout_rewrite_preproc"

NOT_POSTPROCESSED = (
    "meta_schedule.parallel",
    "meta_schedule.vectorize",
    "meta_schedule.unroll_explicit",
    "meta_schedule.unroll_implicit",
    "meta_schedule.cooperative_fetch",
    "meta_schedule.auto_tensorize",
)
"""Annotations that say what a postprocessor has still to do."""


@dataclass(frozen=True)
class LoopAround:
    """A `For`: `number` counts the loops of the function as they begin; `unroll` is its pragma, 0 for none; `exact` is
    False where its extent is an expression, and the mean is taken."""

    number: int
    name: str
    variable: Any
    extent: int
    exact: bool
    annotation: Annotation
    unroll: int


@dataclass(frozen=True)
class BlockAround:
    """A block with what is around it: the loops, outermost first, and the blocks that it is nested in."""

    realize: Any
    block: Any
    loops: tuple[LoopAround, ...]
    parents: tuple[BlockAround, ...] = ()

    @property
    def name(self) -> str:
        return str(self.block.name_hint)


@dataclass
class Program:
    """A function's blocks in the order in which they run, without the root block.

    Attributes:
        extents: of the variables of all loops and blocks, by address.
    """

    parameters: list[Any]
    blocks: list[BlockAround] = field(default_factory=list)
    loops: list[LoopAround] = field(default_factory=list)
    extents: dict[int, int] = field(default_factory=dict)


def read_program(function: Any) -> Program:
    """Reads a PrimFunc. Raises ValueError, which says why, for one that is no schedule of blocks with constant loops,
    or one that MetaSchedule's postprocessors have not seen."""
    program = Program(NAMES.parameters(function))
    _Walk(program).visit(function.body, (), ())
    if not program.blocks:
        raise ValueError("the function has no blocks: only programs of blocks can be scheduled")
    return program


class _Walk:
    def __init__(self, program: Program) -> None:
        self._program = program

    def visit(self, statement: Any, loops: tuple[LoopAround, ...], parents: tuple[BlockAround, ...]) -> None:
        """Visits a statement outside blocks, or in the body of a block that has blocks inside."""
        kind = type(statement).__name__
        if kind == "For":
            loop = self._loop(statement)
            self.visit(statement.body, (*loops, loop), parents)
        elif kind == NAMES.block_realize:
            self._block(statement, loops, parents)
        elif kind == "SeqStmt":
            for inner in statement.seq:
                self.visit(inner, loops, parents)
        elif kind == "IfThenElse":
            self.visit(statement.then_case, loops, parents)
            if statement.else_case is not None:
                self.visit(statement.else_case, loops, parents)
        elif kind in ("AttrStmt", "LetStmt", "AllocateConst", "DeclBuffer", "Allocate", "While"):
            self.visit(statement.body, loops, parents)
        elif kind not in ("Bind", "AllocBuffer", "DeclBuffer", "Evaluate", "AssertStmt"):
            raise ValueError(f"there is a statement outside blocks that cannot be read: {kind}")

    def _loop(self, statement: Any) -> LoopAround:
        number = len(self._program.loops)
        name = str(statement.loop_var.name)
        extent = self._extent(f"loop {name}", statement.loop_var, statement.extent)
        exact = type(statement.extent).__name__ == "IntImm"
        unroll = 0
        for key, value in statement.annotations.items():
            if str(key) == UNROLL_PRAGMA:
                unroll = int(value)
        loop = LoopAround(number, name, statement.loop_var, extent, exact, loop_annotation(statement), unroll)
        self._program.loops.append(loop)
        return loop

    def _block(self, realize: Any, loops: tuple[LoopAround, ...], parents: tuple[BlockAround, ...]) -> None:
        block = realize.block
        _check_postprocessed(block)
        if _is_removed(block):
            return
        is_root = not parents and not loops and not len(block.iter_vars)
        if is_root and has_blocks(block.body):
            self.visit(block.body, loops, parents)
            return
        for axis in block.iter_vars:
            self._extent(f"axis {axis.var.name} of block {block.name_hint}", axis.var, axis.dom.extent)
        around = BlockAround(realize, block, loops, parents)
        if not len(block.match_buffers) and has_blocks(block.body):
            self.visit(block.body, loops, (*parents, around))
        else:
            self._program.blocks.append(around)

    def _extent(self, what: str, variable: Any, extent: Any) -> int:
        """How many values a variable has: the mean, where that depends on the variables outside."""
        known = self._program.extents
        if type(extent).__name__ == "IntImm":
            found = int(extent.value)
        else:
            node = _ExtentReader(what, known).node(extent)
            found = estimated_extent(what, node, {str(address): number for address, number in known.items()}, ())
        known[NAMES.address(variable)] = found
        return found


class _ExtentReader(ExpressionReader):
    """Reads extents over variables of known extent, whose names are their addresses."""

    def __init__(self, owner: str, known: Mapping[int, int]) -> None:
        super().__init__(owner)
        self._known = known

    def dtype(self, expression: Any) -> str:
        return NAMES.dtype(expression)

    def variable(self, expression: Any) -> Node:
        address = NAMES.address(expression)
        if address not in self._known:
            raise ValueError(
                f"the extent of {self.owner} depends on {expression.name}: dynamic shapes are not scheduled"
            )
        return Node("Var", str(address))

    def load(self, expression: Any, given: Given) -> Node | None:
        """Data decide on the extent: nothing is known of it."""
        return Node("Load") if type(expression).__name__ == NAMES.load else None


def loop_annotation(statement: Any) -> Annotation:
    """How a `For` runs. Raises ValueError for a thread that is not known."""
    kind = int(statement.kind)
    if kind < len(_KINDS):
        return _KINDS[kind]
    tag = str(statement.thread_binding.thread_tag)
    annotation = THREADS.get(tag)
    if annotation is None:
        raise ValueError(f"a loop is bound to {tag!r}, which is no thread that is known")
    return annotation


def _check_postprocessed(block: Any) -> None:
    if not len(block.annotations):
        return
    keys = {str(key) for key in block.annotations}
    left = [key for key in NOT_POSTPROCESSED if key in keys]
    if left:
        raise ValueError(
            f"block {block.name_hint} is still annotated {left[0]!r}: give schedules that MetaSchedule's "
            "postprocessors have been applied to"
        )


def _is_removed(block: Any) -> bool:
    """Whether it was there to bring a weight into another layout: where the weight comes in it, an empty block stays
    (`remove_weight_layout_rewrite_block.cc`)."""
    return not len(block.writes) and len(block.annotations) > 0 and LAYOUT_REWRITE in block.annotations


def has_blocks(statement: Any) -> bool:
    """Whether there is a block in a statement."""
    kind = type(statement).__name__
    if kind == NAMES.block_realize:
        return True
    if kind == "SeqStmt":
        return any(has_blocks(inner) for inner in statement.seq)
    if kind == "IfThenElse":
        return has_blocks(statement.then_case) or (statement.else_case is not None and has_blocks(statement.else_case))
    body = (
        getattr(statement, "body", None) if kind in ("For", "AttrStmt", "LetStmt", "AllocateConst", "While") else None
    )
    return body is not None and has_blocks(body)
