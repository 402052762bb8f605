"""What is drawn before TVM sees it: stages with their shapes, types and bodies, and the room that is left for more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import te

from tvm_gnn_cost.workloads.random_programs.draws import SIXTEENTHS, Draws, logarithm
from tvm_gnn_cost.workloads.tensors import Tensors

MAX_STAGES = 8
MAX_TENSOR_BYTES = 1 << 27
MAX_TENSOR_ELEMENTS = 1 << 24
MAX_LOADS = 64
"""Of an element, if all that can be inlined is: stencils of stencils grow without end."""
MAX_RANK = 5

AXIS_NAMES = list("ijklmn")
REDUCE_NAMES = "rstuvwxyz"


class TooLargeError(Exception):
    """A program works more, or has a larger tensor, than it may."""


Body = Callable[..., Any]
"""Of the tensors that a stage reads, then of its index variables as a sequence: the expression or expressions."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage of a program, or an input of it.

    Attributes:
        kind: the beginning of its name.
        shape: of its one or more tensors.
        dtypes: of each of its tensors.
        reads: the tensors that it reads.
        body: see `Body`; None for an input.
        reduced: iterations of its reduction for each element; 1 where it reduces nothing.
        points: elements that one iteration reads of each tensor.
    """

    kind: str
    shape: tuple[int, ...]
    dtypes: tuple[str, ...]
    reads: tuple[Value, ...] = ()
    body: Body | None = None
    reduced: int = 1
    points: int = 1

    @property
    def work(self) -> int:
        """Iterations."""
        return 0 if self.body is None else prod(self.shape) * self.reduced * self.points

    @property
    def loads(self) -> int:
        """Elements that one of its own costs where everything is inlined into its reader."""
        if self.body is None or self.reduced > 1:
            return 1
        return self.points * max(1, sum(value.stage.loads for value in self.reads))

    def outputs(self) -> list[Value]:
        """Its tensors."""
        return [Value(self, part) for part in range(len(self.dtypes))]


@dataclass(frozen=True)
class Value:
    """A tensor: one of those of its stage."""

    stage: Stage
    part: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stage.shape

    @property
    def rank(self) -> int:
        return len(self.stage.shape)

    @property
    def dtype(self) -> str:
        return self.stage.dtypes[self.part]

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")


class Sketch:
    """A program while it is drawn.

    Args:
        draws: makes the choices.
        elements: of the tensors that are drawn freely, as a logarithm in sixteenths.
        most_work: iterations of all stages, at most.
        dtype: of the inputs that are drawn freely.
    """

    def __init__(self, draws: Draws, elements: int, most_work: int, dtype: str) -> None:
        self.draws, self.elements, self.dtype = draws, elements, dtype
        self.stages: list[Stage] = []
        self.inputs: list[Value] = []
        self._most_work = most_work

    @property
    def work(self) -> int:
        """Iterations of all stages."""
        return sum(stage.work for stage in self.stages)

    def values(self) -> list[Value]:
        """The tensors of all stages, in the order they were drawn."""
        return [value for stage in self.stages for value in stage.outputs()]

    def operand(self, least_rank: int = 1, most_rank: int = MAX_RANK) -> Value | None:
        """A tensor to read: the latest most of the time, else an earlier one or an input; of such a rank."""
        fit = [v for v in self.values() if least_rank <= v.rank <= most_rank]
        if fit and self.draws.chance(70):
            return fit[-1]
        known = fit + [v for v in self.inputs if least_rank <= v.rank <= most_rank]
        return self.draws.choose(known) if known else None

    def input(self, shape: Sequence[int], dtype: str | None = None) -> Value:
        """A new input, or sometimes a tensor that is there and fits."""
        shape, dtype = tuple(shape), dtype or self.dtype
        known = [v for v in self.inputs + self.values() if v.shape == shape and v.dtype == dtype]
        if known and self.draws.chance(40):
            return self.draws.choose(known)
        return Value(Stage("input", shape, (dtype,)))

    def new_axis(self, kept: Sequence[int]) -> int:
        """An extent that, beside the extents that are kept, makes a tensor of about the usual size."""
        room = self.elements - logarithm(max(1, prod(kept)))
        return self.draws.extent(max(0, min(room, 11 * SIXTEENTHS)) + self.draws.between(-8, 8))

    def add(self, stages: Sequence[Stage]) -> None:
        """Takes the stages if a program may have them. Raises TooLargeError where it could if all were smaller."""
        if len(self.stages) + len(stages) > MAX_STAGES or not all(_is_fit(stage) for stage in stages):
            return
        self.stages.extend(stages)
        if self.work > self._most_work or not all(_is_small(s) for stage in stages for s in _with_inputs(stage)):
            raise TooLargeError
        for value in (v for s in stages for v in s.reads):
            if value.stage.body is None and value not in self.inputs:
                self.inputs.append(value)

    def sinks(self) -> list[Stage]:
        """The stages that no stage reads."""
        read = {id(value.stage) for stage in self.stages for value in stage.reads}
        return [stage for stage in self.stages if id(stage) not in read]


def build(outputs: Sequence[Stage]) -> Tensors:
    """The te tensors of the stages that the outputs need: inputs first, then all tensors of the outputs."""
    made: dict[int, tuple[te.Tensor, ...]] = {}
    inputs: Tensors = []

    def make(stage: Stage) -> None:
        for value in stage.reads:
            if id(value.stage) not in made:
                make(value.stage)
        if stage.body is None:
            made[id(stage)] = (te.placeholder(stage.shape, stage.dtypes[0], f"x{len(inputs)}"),)
            inputs.append(made[id(stage)][0])
            return
        body, tensors = stage.body, [made[id(value.stage)][value.part] for value in stage.reads]
        result = te.compute(
            stage.shape,
            lambda *indices: body(*tensors, indices),
            name=f"{stage.kind}_{len(made) - len(inputs)}",
            varargs_names=AXIS_NAMES[: len(stage.shape)],
        )
        made[id(stage)] = tuple(result) if isinstance(result, tuple | list) else (result,)

    for stage in outputs:
        if id(stage) not in made:
            make(stage)
    return inputs + [tensor for stage in outputs for tensor in made[id(stage)]]


def reduce_axes(extents: Sequence[Any]) -> list[Any]:
    """Reduction axes of these extents."""
    return [te.reduce_axis((0, extent), name=REDUCE_NAMES[i]) for i, extent in enumerate(extents)]


def replaced(items: Sequence[Any], place: int, item: Any) -> list[Any]:
    """The items with another one at that place."""
    return [*items[:place], item, *items[place + 1 :]]


def _with_inputs(stage: Stage) -> list[Stage]:
    return [stage, *(value.stage for value in stage.reads)]


def _is_fit(stage: Stage) -> bool:
    return stage.loads <= MAX_LOADS and len(stage.shape) <= MAX_RANK and prod(stage.shape) > 0


def _is_small(stage: Stage) -> bool:
    elements = prod(stage.shape)
    bytes_each = max(int("".join(c for c in dtype if c.isdigit()) or 8) // 8 for dtype in stage.dtypes)
    return elements <= MAX_TENSOR_ELEMENTS and elements * bytes_each <= MAX_TENSOR_BYTES
