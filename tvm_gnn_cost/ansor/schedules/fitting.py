"""A schedule of one task on another of the same structure: its steps replayed, with split factors that fit.

The steps name stages and loops by number, which the other task has as well; only the factors of its splits belong to
the shape. Each split is given factors of the new extent, near the old ones.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.record_format import check_steps_fit
from tvm_gnn_cost.errors import WorkloadError, last_line

if TYPE_CHECKING:
    from tvm.auto_scheduler import ComputeDAG
    from tvm.auto_scheduler.loop_state import StateObject

logger = logging.getLogger("tvm_gnn_cost")

Steps = list[list[Any]]
"""Of a schedule, as a record's JSON has them."""

MOST_INNERMOST = 64
"""`max_innermost_split_factor` of TVM's search, which its mutations keep to."""
_INNER_WEIGHT = 2.0
"""How much more a factor counts than the next one outside of it: the innermost decides about vectors and registers."""


class Fit(Enum):
    """What of a split is kept on another extent."""

    SIZES = "sizes"
    """The inner factors: tiles are as large as before, and there are more or fewer of them."""
    SHARES = "shares"
    """The share of each factor: all grow or shrink alike."""


def fit_schedule(dag: ComputeDAG, steps: Sequence[Sequence[Any]], fit: Fit) -> StateObject:
    """The state of a ComputeDAG that these steps make of it, its bounds inferred.

    Args:
        dag: of the task.
        steps: of a record of a task of the same structure, as its JSON has them (`record["i"][1][1]`).
        fit: what of a split is kept where its extent differs; where it does not, all is.

    Raises WorkloadError where they do not fit.
    """
    state = dag.get_init_state().state_object
    problem = check_steps_fit(steps, [hasattr(stage.op, "axis") for stage in state.stages])
    if problem is not None:
        raise WorkloadError(problem)
    try:
        for step in steps:
            state = _STEPS[step[0]](state, dag, fit, *step[1:])
        return dag.infer_bound_from_state(state).state_object
    except Exception as error:  # whatever TVM trips over
        raise WorkloadError(f"the steps do not fit: {last_line(error)}") from error


def fitting_states(
    dag: ComputeDAG, schedules: Iterable[tuple[Sequence[Sequence[Any]], Fit]], most: int | None = None
) -> dict[str, StateObject]:
    """The states of those schedules that fit, by their text, which is what TVM's search tells them apart by.

    Args:
        dag, schedules: see `fit_schedule`.
        most: after so many that fit, no further one is looked at.
    """
    states: dict[str, StateObject] = {}
    fit_count = 0
    for steps, fit in schedules:
        if fit_count == most:
            break
        try:
            state = fit_schedule(dag, steps, fit)
        except WorkloadError as error:
            logger.debug("a schedule is left out: %s", error)
            continue
        fit_count += 1
        states.setdefault(str(state), state)
    return states


def fit_factors(extent: int, lengths: Sequence[int], was: int, fit: Fit) -> tuple[int, ...]:
    """Factors of `extent`, as many as `lengths` and outermost first, whose product divides it; see `Fit`.

    Args:
        extent: of the loop that is split.
        lengths: the inner factors of a split of a loop of extent `was`.
    """
    lengths = tuple(lengths)
    if extent == was or not lengths:
        return lengths
    outer = max(1.0, was / math.prod(lengths))
    grown = (extent / was) ** (1.0 / (1 + len(lengths))) if fit is Fit.SHARES else 1.0
    wanted = [math.log2(length * grown) for length in lengths]
    weights = [_INNER_WEIGHT**place for place in range(len(lengths))]
    bound = max(MOST_INNERMOST, lengths[-1])
    outside = math.log2(outer * grown) if fit is Fit.SHARES else None

    def misfit(factors: tuple[int, ...]) -> float:
        inner = sum(w * (math.log2(f) - t) ** 2 for f, t, w in zip(factors, wanted, weights, strict=True))
        if outside is None:
            return inner
        return inner + (math.log2(extent / math.prod(factors)) - outside) ** 2 / _INNER_WEIGHT

    return min((f for f in _factorizations(extent, len(lengths)) if f[-1] <= bound), key=misfit)


def with_innermost(extent: int, lengths: Sequence[int], innermost: int) -> tuple[int, ...]:
    """The inner factors of a split of `extent` with another innermost one, which divides it.

    The next one takes what the innermost one gives or needs, so that the tile around both stays as large where it can.
    """
    around = math.prod(lengths[-2:]) / innermost
    wanted = [math.log2(length) for length in [*lengths[:-2], around][: len(lengths) - 1]]

    def misfit(factors: tuple[int, ...]) -> float:
        return sum((math.log2(factor) - target) ** 2 for factor, target in zip(factors, wanted, strict=True))

    return *min(_factorizations(extent // innermost, len(wanted)), key=misfit), innermost


@lru_cache(maxsize=4096)
def _factorizations(extent: int, count: int) -> tuple[tuple[int, ...], ...]:
    """All tuples of `count` factors whose product divides `extent`."""

    def of(rest: int, left: int) -> Iterator[tuple[int, ...]]:
        if not left:
            yield ()
            return
        for factor in divisors(rest):
            for others in of(rest // factor, left - 1):
                yield (factor, *others)

    return tuple(of(extent, count))


@lru_cache(maxsize=4096)
def divisors(number: int) -> tuple[int, ...]:
    """In rising order."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(small + [number // d for d in reversed(small) if d * d != number])


def _loop(state: StateObject, stage: int, loop: int) -> Any:
    return state.stages[stage].iters[loop]


def _ffi(name: str) -> Callable[..., Any]:
    from tvm.auto_scheduler import _ffi_api

    return getattr(_ffi_api, name)  # type: ignore[no-any-return]


def _split(state: Any, _: Any, fit: Fit, stage: int, loop: int, was: int, lengths: list[int], inner: int) -> Any:
    split = _loop(state, stage, loop)
    extent = getattr(split.range.extent, "value", None) if split.range is not None else None
    if extent is not None:
        outermost_first = lengths if inner else lengths[::-1]
        fitted = fit_factors(int(extent), outermost_first, was, fit)
        lengths = list(fitted if inner else fitted[::-1])
    return _ffi("StateSplit")(state, stage, split, lengths, bool(inner))[0]


def _annotate(state: Any, _: Any, __: Fit, stage: int, loop: int, annotation: int) -> Any:
    names = {1: "StateUnroll", 2: "StateVectorize", 3: "StateParallel"}
    found = _loop(state, stage, loop)
    if annotation == 1:
        return _ffi(names[annotation])(state, stage, found, -1)[0]
    if annotation in names:
        return _ffi(names[annotation])(state, stage, found)[0]
    return _ffi("StateBind")(state, stage, found, annotation)[0]


def _fuse(state: Any, _: Any, __: Fit, stage: int, loops: list[int]) -> Any:
    return _ffi("StateFuse")(state, stage, [_loop(state, stage, loop) for loop in loops])[0]


def _reorder(state: Any, _: Any, __: Fit, stage: int, order: list[int]) -> Any:
    return _ffi("StateReorder")(state, stage, [_loop(state, stage, loop) for loop in order])


def _pragma(state: Any, _: Any, __: Fit, stage: int, loop: int, pragma: str) -> Any:
    return _ffi("StatePragma")(state, stage, _loop(state, stage, loop), pragma)


def _follow_split(state: Any, _: Any, __: Fit, stage: int, loop: int, source: int, count: int) -> Any:
    return _ffi("StateFollowSplit")(state, stage, _loop(state, stage, loop), source, count)[0]


def _follow_fused_split(
    state: Any, _: Any, __: Fit, stage: int, loop: int, sources: list[int], level: int, is_factor: int
) -> Any:
    found = _loop(state, stage, loop)
    return _ffi("StateFollowFusedSplit")(state, stage, found, sources, level, bool(is_factor))[0]


def _storage_align(state: Any, _: Any, __: Fit, stage: int, loop: int, factor: int, offset: int) -> Any:
    return _ffi("StateStorageAlign")(state, stage, _loop(state, stage, loop), factor, offset)


def _compute_at(state: Any, _: Any, __: Fit, stage: int, target: int, loop: int) -> Any:
    return _ffi("StateComputeAt")(state, stage, target, _loop(state, target, loop))


def _compute_inline(state: Any, _: Any, __: Fit, stage: int) -> Any:
    return _ffi("StateComputeInline")(state, stage)


def _compute_root(state: Any, _: Any, __: Fit, stage: int) -> Any:
    return _ffi("StateComputeRoot")(state, stage)


def _cache_read(state: Any, dag: Any, _: Fit, stage: int, scope: str, readers: list[int]) -> Any:
    return _ffi("StateCacheRead")(state, stage, scope, readers, dag)[0]


def _cache_write(state: Any, dag: Any, _: Fit, stage: int, scope: str) -> Any:
    return _ffi("StateCacheWrite")(state, stage, scope, dag)[0]


def _rfactor(state: Any, dag: Any, _: Fit, stage: int, loop: int, factor_loop: int) -> Any:
    return _ffi("StateRfactor")(state, stage, _loop(state, stage, loop), factor_loop, dag)[0]


_STEPS: dict[str, Callable[..., Any]] = {
    "AN": _annotate,
    "FU": _fuse,
    "PR": _pragma,
    "RE": _reorder,
    "SP": _split,
    "FSP": _follow_split,
    "FFSP": _follow_fused_split,
    "SA": _storage_align,
    "CA": _compute_at,
    "CI": _compute_inline,
    "CR": _compute_root,
    "CHR": _cache_read,
    "CHW": _cache_write,
    "RF": _rfactor,
}
"""A step's code in a record -> what applies it (transform_step.cc)."""
