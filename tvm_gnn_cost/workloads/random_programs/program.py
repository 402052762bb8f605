"""`random_program`: a program for each seed and size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.workloads.random_programs import (
    contractions,
    dependent,
    motifs,
    movement,
    pointwise,
    reductions,
    windows,
)
from tvm_gnn_cost.workloads.random_programs.draws import SIXTEENTHS, Draws, logarithm
from tvm_gnn_cost.workloads.random_programs.kept_apart import KEPT_APART
from tvm_gnn_cost.workloads.random_programs.sketch import Sketch, Stage, TooLargeError, build
from tvm_gnn_cost.workloads.random_programs.structure import skeleton
from tvm_gnn_cost.workloads.tensors import Tensors

VERSION = 1
SIZES = range(6, 33)

KINDS: Mapping[Callable[[Sketch], list[Stage] | None], int] = {
    contractions.contraction: 16,
    contractions.pair_product: 5,
    windows.convolution: 12,
    windows.pooling: 6,
    windows.stencil: 4,
    windows.transposed_convolution: 2,
    reductions.reduction: 12,
    reductions.reduce_twice: 3,
    reductions.arg_reduction: 3,
    reductions.folded: 2,
    pointwise.unary: 10,
    pointwise.binary: 12,
    pointwise.outer: 2,
    pointwise.change_type: 2,
    pointwise.compare: 2,
    pointwise.choose_between: 4,
    pointwise.add_position: 2,
    movement.transposition: 4,
    movement.reshaping: 4,
    movement.slicing: 3,
    movement.padding: 3,
    movement.concatenation: 3,
    movement.gather: 3,
    movement.resampling: 2,
    movement.repetition: 1,
    movement.dilation: 1,
    movement.diagonal: 1,
    movement.shuffling: 1,
    movement.sliding: 1,
    movement.one_hot: 1,
    dependent.cumulative: 2,
    dependent.triangular_product: 2,
    dependent.banded: 1,
    dependent.adaptive_pooling: 1,
    dependent.ragged: 1,
    motifs.softmax: 4,
    motifs.normalisation: 4,
    motifs.gated_products: 2,
}
"""What draws stages, and how often."""

DTYPES = {"float32": 76, "float16": 6, "float64": 5, "int8": 6, "int32": 5, "bool": 2}
_TRIES = 40
_MOST_ELEMENTS = 22 * SIXTEENTHS
_STEP = 20


def random_program(seed: int, size: int, version: int = 1) -> Tensors:
    """A random program of 1 to 8 stages; `size` is the logarithm of its iterations: 10 for a thousand, 30 for 10^9.

    The same arguments are the same program wherever they are used, and stay so: whoever changes what is drawn raises
    the version, and keeps the old one. Another size of a seed is mostly the same program at another scale. The size is
    kept to a bit or two where the program allows it: one that only moves data is smaller than asked, since no tensor
    has more than 2^24 elements, and one with large windows larger than a tiny size. None has the skeleton of a workload
    that the project keeps for testing (`kept_apart`).

    Args:
        seed: at least 1.
        size: 6 to 32.
        version: of the way programs are drawn; 1 is the only one so far.

    Raises WorkloadError for a size or a version out of range.
    """
    if size not in SIZES:
        raise WorkloadError(
            f"random_program: the size is a logarithm of its iterations, {SIZES[0]} to {SIZES[-1]}, not {size}"
        )
    if version != VERSION:
        raise WorkloadError(f"random_program: version {version} is not known here; known: {VERSION}")
    attempt = 0
    while True:
        tensors = build(draw(seed, size, attempt))
        if skeleton(tensors) not in KEPT_APART:
            return tensors
        attempt += 1


def draw(seed: int, size: int, attempt: int = 0) -> list[Stage]:
    """The outputs of a program: of the same choices at several scales those whose work is nearest to the size.

    `attempt` says which of the seed's programs; the next one stands in for one that is too large at every scale.
    """
    best: tuple[int, Sketch] | None = None
    for elements in range(min(size * SIXTEENTHS, _MOST_ELEMENTS), 0, -_STEP):
        try:
            sketch = _sketch(seed, attempt, elements, 2 << size)
        except TooLargeError:
            continue
        distance = abs(logarithm(max(1, sketch.work)) - size * SIXTEENTHS)
        if sketch.stages and (best is None or distance < best[0]):
            best = distance, sketch
        if distance < SIXTEENTHS:
            break
    return draw(seed, size, attempt + 1) if best is None else _outputs(best[1])


def _sketch(seed: int, attempt: int, elements: int, most_work: int) -> Sketch:
    draws = Draws(seed, attempt)
    count = draws.weighted({1: 6, 2: 14, 3: 18, 4: 18, 5: 15, 6: 12, 7: 9, 8: 8})
    sketch = Sketch(draws, elements, most_work, draws.weighted(DTYPES))
    rank = draws.weighted({1: 10, 2: 34, 3: 24, 4: 26, 5: 6})
    sketch.inputs.append(sketch.input(draws.shape(rank, elements)))
    for _ in range(_TRIES):
        if len(sketch.stages) >= count:
            break
        stages = draws.weighted(KINDS)(sketch)
        if stages:
            sketch.add(stages)
    return sketch


def _outputs(sketch: Sketch) -> list[Stage]:
    """The last stage; in some programs also others that no stage reads."""
    *others, last = sketch.sinks()
    return [*others[:2], last] if sketch.draws.chance(30) else [last]
