"""How a schedule is fitted to another shape, and which are its neighbours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from math import prod

import pytest
from schedule_steps import steps_of, task_of

from tvm_gnn_cost import WorkloadError
from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.schedules.fitting import Fit, fit_factors, fit_schedule
from tvm_gnn_cost.ansor.schedules.neighbours import neighbours
from tvm_gnn_cost.ansor.schedules.structure import structure_of
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.testing.schedules import sample_states

SAME_STRUCTURE = {
    "conv2d_nhwc": ([1, 14, 14, 32, 64, 3, 1, 1], [1, 10, 12, 48, 24, 3, 1, 1]),
    "matmul": ([128, 128, 128], [96, 200, 60]),
    "conv2d_nhwc_bn_relu": ([1, 14, 14, 16, 32, 3, 1, 1], [2, 7, 7, 32, 16, 3, 1, 1]),
    "norm_bmn": ([2, 64, 64], [3, 40, 96]),
    "softmax_mn": ([64, 96], [30, 50]),
}


@pytest.mark.parametrize("name", SAME_STRUCTURE)
def test_a_schedule_fits_its_own_task_as_it_is(name: str) -> None:
    task = task_of(name, *SAME_STRUCTURE[name][0])
    for state in sample_states(task, 12, evolved=True):
        for fit in Fit:
            assert str(fit_schedule(task.compute_dag, steps_of(task, state), fit)) == str(state)


@pytest.mark.parametrize("name", SAME_STRUCTURE)
def test_a_schedule_fits_another_shape(name: str) -> None:
    """It covers the other extents exactly, as TVM's own schedules do, and TVM builds it."""
    one, other = (task_of(name, *args) for args in SAME_STRUCTURE[name])
    assert structure_of(one)[0] == structure_of(other)[0]
    states = [
        fit_schedule(other.compute_dag, steps_of(one, state), fit) for state in sample_states(one, 6) for fit in Fit
    ]
    assert lowers(states, other).all()
    for state in states:
        for step in state.transform_steps:
            if type(step).__name__ == "SplitStep":
                assert int(step.extent) % prod(int(length) for length in step.lengths) == 0


@pytest.mark.parametrize(
    ("extent", "lengths", "was", "sizes", "shares"),
    [
        (64, (2, 4, 8), 64, (2, 4, 8), (2, 4, 8)),
        (128, (2, 4, 8), 64, (2, 4, 8), (2, 4, 8)),
        (1024, (2, 4, 8), 64, (2, 4, 8), (4, 8, 16)),
        (7, (1, 1, 8), 16, (1, 1, 7), (1, 1, 7)),
        (1, (4,), 64, (1,), (1,)),
        (4096, (64,), 64, (64,), (64,)),  # TVM's search keeps innermost factors to 64
    ],
)
def test_factors(extent: int, lengths: Sequence[int], was: int, sizes: Sequence[int], shares: Sequence[int]) -> None:
    assert fit_factors(extent, lengths, was, Fit.SIZES) == sizes
    assert fit_factors(extent, lengths, was, Fit.SHARES) == shares


def test_steps_that_do_not_fit_say_so() -> None:
    matmul, conv = task_of("matmul", 64, 64, 64), task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1)
    assert structure_of(matmul)[0] != structure_of(conv)[0]
    with pytest.raises(WorkloadError):
        fit_schedule(matmul.compute_dag, steps_of(conv, sample_states(conv, 1)[0]), Fit.SIZES)
    with pytest.raises(WorkloadError, match="computes nothing"):
        fit_schedule(matmul.compute_dag, [["CHW", 0, "local"]], Fit.SIZES)
    with pytest.raises(WorkloadError):
        fit_schedule(matmul.compute_dag, [["SP", 2, 9, 64, [4], 1]], Fit.SIZES)


def test_structures_tell_other_computations_apart() -> None:
    plain, fused = (
        task_of("conv2d_nhwc", 1, 8, 8, 16, 16, 3, 1, 1),
        task_of("conv2d_nhwc_bn_relu", 1, 8, 8, 16, 16, 3, 1, 1),
    )
    assert structure_of(plain)[0] != structure_of(fused)[0]
    gpu = make_task("matmul", [64, 64, 64], "cuda -max_shared_memory_per_block=49152 -max_threads_per_block=1024")
    assert structure_of(gpu) == structure_of(task_of("matmul", 64, 64, 64))


@pytest.mark.parametrize("name", ["conv2d_nhwc", "softmax_mn", "norm_bmn"])
def test_neighbours_differ_in_one_choice_and_cover_the_same_extents(name: str) -> None:
    task = task_of(name, *SAME_STRUCTURE[name][0])
    state = next(s for s in sample_states(task, 20) if any(step[0] == "SP" for step in steps_of(task, s)))
    steps = steps_of(task, state)
    found = list(neighbours(steps, is_gpu=False))
    assert len(found) > 4
    assert len({json.dumps(other) for other in found} | {json.dumps(steps)}) == len(found) + 1
    for other in found:
        (changed,) = (i for i, (one, two) in enumerate(zip(steps, other, strict=True)) if one != two)
        if other[changed][0] == "SP":
            _, _, _, extent, lengths, _ = other[changed]
            assert extent % prod(lengths) == 0 and lengths[-1] <= max(64, steps[changed][4][-1])
    fitting = []
    for other in found:
        with contextlib.suppress(WorkloadError):
            fitting.append(fit_schedule(task.compute_dag, other, Fit.SIZES))
    assert len(fitting) > len(found) / 2
    assert lowers(fitting[:12], task).all()
    assert sum(str(one) != str(state) for one in fitting) > len(fitting) / 2


def test_factors_move_between_all_parts() -> None:
    split = ["SP", 0, 0, 12, [2, 3], 1]  # 2, 2, 3
    moved = [other[0][4] for other in neighbours([split], is_gpu=False)]
    assert sorted(moved) == [[1, 3], [1, 6], [2, 1], [2, 6], [4, 3], [6, 1]]
    outer = [other[0][4] for other in neighbours([["SP", 0, 0, 12, [2, 3], 0]], is_gpu=False)]  # 2, 3, 2
    assert sorted(outer) == [[1, 3], [1, 6], [2, 1], [2, 6], [4, 3], [6, 1]]
    unrolled = [other[0][3] for other in neighbours([["PR", 0, 0, "auto_unroll_max_step$16"]], is_gpu=True)]
    assert unrolled == [f"auto_unroll_max_step${most}" for most in (0, 64, 512, 1024)]
    assert [other[0][3] for other in neighbours([["CA", 1, 2, 0]], is_gpu=False)] == [1]
