"""On a CPU exactly those schedules count as valid that TVM builds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import auto_scheduler, te, tir, topi
from tvm.auto_scheduler.loop_state import State

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.axis_uses import Use, axis_uses, is_plain
from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.tasks import make_task as named_task
from tvm_gnn_cost.testing.schedules import make_task, register_tensors, sample_states

STATES = 8

Program = Callable[[], list[Any]]


def adaptive_pool(sizes: Sequence[int], out: Sequence[int], kind: str) -> Program:
    """Windows that overlap unevenly: the extent of the reduction depends on the output index."""

    def make() -> list[Any]:
        x = te.placeholder((1, 4, *sizes), name="x")
        pool = {1: topi.nn.adaptive_pool1d, 2: topi.nn.adaptive_pool, 3: topi.nn.adaptive_pool3d}[len(sizes)]
        return [x, pool(x, out, kind)]

    return make


def resized(up: int, down: int, behind: bool = True) -> Program:
    """Nearest neighbours at a fractional stride, behind a pooling that is not inlined or before one."""

    def make() -> list[Any]:
        x = te.placeholder((1, 4, 12, 12), name="x")
        source = topi.nn.pool2d(x, [3, 3], [1, 1], [1, 1], [1] * 4, "max") if behind else x
        shape = (1, 4, 12 * up // down, 12)
        larger = te.compute(shape, lambda n, c, h, w: source[n, c, te.floordiv(h * down, up), w], name="larger")
        return [x, larger if behind else topi.nn.pool2d(larger, [2, 2], [1, 1], [1, 1], [0] * 4, "max")]

    return make


def transposed(stride: int, size: int) -> Program:
    def make() -> list[Any]:
        x, w = te.placeholder((1, 4, 5, 5), name="x"), te.placeholder((4, 4, size, size), name="w")
        return [x, w, topi.nn.conv2d_transpose_nchw(x, w, (stride, stride), (1, 1), "float32", (0, 0))]

    return make


def interpolated() -> list[Any]:
    """Weights that are computed of indices: floats."""
    x = te.placeholder((1, 4, 8, 8), name="x")
    return [x, topi.image.resize2d(x, (0.0,) * 4, (12, 10), layout="NCHW", method="linear")]


def pooled_without_padding() -> list[Any]:
    """A mean over fewer values at the border."""
    x = te.placeholder((1, 4, 11, 11), name="x")
    return [x, topi.nn.pool2d(x, [3, 3], [2, 2], [1, 1], [1] * 4, "avg", count_include_pad=False)]


def triangular() -> list[Any]:
    """A row's sum up to the diagonal; nothing is read twice, so that TVM does not tile it."""
    x = te.placeholder((16, 16), name="x")

    def up_to(i: Any) -> Any:
        k = te.reduce_axis((0, i + 1), name="k")
        return te.sum(x[i, k], axis=k)

    total = te.compute((16,), up_to, name="total")
    return [x, te.compute((16,), lambda i: total[i] * 2.0, name="twice")]


def masked() -> list[Any]:
    x = te.placeholder((16, 16), name="x")
    k = te.reduce_axis((0, 16), name="k")
    kept = te.compute((16, 16), lambda i, j: tir.Select(j <= i, x[i, j] * 2.0, 0.0), name="kept")
    return [x, te.compute((16,), lambda i: te.sum(kept[i, k], axis=k), name="total")]


def gathered_windows() -> list[Any]:
    """Windows whose place and size are data."""
    x, box = te.placeholder((8, 32), name="x"), te.placeholder((8, 2), "int32", name="box")

    def window(i: Any) -> Any:
        k = te.reduce_axis((0, box[i, 1]), name="k")
        return te.max(x[i, box[i, 0] + k], axis=k)

    return [x, box, te.compute((8,), window, name="window")]


def dilated() -> list[Any]:
    x, w = te.placeholder((1, 4, 10, 10), name="x"), te.placeholder((4, 4, 3, 3), name="w")
    return [x, w, topi.nn.relu(topi.nn.conv2d_nchw(topi.nn.dilate(x, [1, 1, 2, 2]), w, 1, 1, 2, out_dtype="float32"))]


def within_extents() -> list[Any]:
    """Indices that are linear within the extents alone, as in TVM's convolutions without groups."""
    x, w = te.placeholder((16, 64), name="x"), te.placeholder((64,), name="w")
    r = te.reduce_axis((0, 2), name="r")
    pairs = te.compute(
        (16, 32), lambda i, j: te.sum(x[i + j // 32, 2 * j + r] * w[(4 * j + 2 * r) // 2], axis=r), name="pairs"
    )
    return [x, w, te.compute((16, 32), lambda i, j: te.exp(pairs[(i * 32 + j) // 32, j % 32]), name="grown")]


def grouped() -> list[Any]:
    x, scale, shift = te.placeholder((1, 8, 4, 4)), te.placeholder((8,)), te.placeholder((8,))
    return [x, scale, shift, topi.nn.group_norm(x, scale, shift, 2, 1, [2, 3])]


PROGRAMS: dict[str, Program] = {
    "adaptive_avg_1d": adaptive_pool((20,), (7,), "avg"),
    "adaptive_avg_2d": adaptive_pool((8, 8), (3, 3), "avg"),
    "adaptive_max_2d": adaptive_pool((9, 7), (4, 3), "max"),
    "adaptive_avg_3d": adaptive_pool((5, 5, 4), (3, 2, 3), "avg"),
    "resized_3_2": resized(3, 2),
    "resized_4_3": resized(4, 3, behind=False),
    "resized_5_2": resized(5, 2),
    "transposed_2": transposed(2, 4),
    "transposed_3": transposed(3, 3),
    "interpolated": interpolated,
    "pooled_without_padding": pooled_without_padding,
    "triangular": triangular,
    "masked": masked,
    "gathered_windows": gathered_windows,
    "dilated": dilated,
    "within_extents": within_extents,
    "grouped": grouped,
}


def builds(task: Any, state: Any) -> bool:
    schedule, arguments = task.compute_dag.apply_steps_from_state(state)
    try:
        tvm.build(schedule, arguments, task.target)
    except tvm.TVMError:
        return False
    return True


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_accepted_builds_and_what_is_rejected_does_not(name: str) -> None:
    task = register_tensors(f"verdict.{name}", PROGRAMS[name](), "llvm -num-cores=2")
    states = sample_states(task, STATES, evolved=True)
    builder = make_builder(task)
    accepted = builder.can_run(states, builder.build(states))
    assert accepted.tolist() == [builds(task, state) for state in states]


@pytest.mark.parametrize("steps", [16, 64, 128])
def test_loops_are_unrolled_as_in_a_build(steps: int) -> None:
    """What is computed of an unrolled loop is constant. 96 steps, of which 32 store initial values, are in the loop."""
    x = te.placeholder((8, 64), name="x")
    r = te.reduce_axis((0, 2), name="r")
    shifted = te.compute((8, 64), lambda i, j: x[i, j] + j.astype("float32"), name="shifted")
    squares = te.compute((8, 32), lambda i, j: te.sum(shifted[i, 2 * j + r] * shifted[i, 2 * j + r], axis=r))
    task = register_tensors("verdict.unrolled", [x, squares], "llvm -num-cores=2")
    state = task.compute_dag.get_init_state()
    state.compute_inline(state.stages[1].op)
    state.pragma(squares.op, state.stages[2].iters[0], f"auto_unroll_max_step${steps}")
    state = task.compute_dag.infer_bound_from_state(state)
    builder = make_builder(task)
    assert builder.can_run([state], builder.build([state])).tolist() == [builds(task, state)]


def test_transposed_convolutions_that_storage_rewrite_breaks_are_rejected() -> None:
    """Buffers inside other stages get sizes that depend on loops above which they are lifted."""
    task = make_task("transposed_conv")
    states = sample_states(task, 60, evolved=True)
    valid = {}
    for builder in (make_builder(task), StageGraphBuilder(task)):
        built = builder.build(states)
        valid[type(builder)] = builder.can_run(states, built)
        assert not valid[type(builder)].all() and built.doubtful[~valid[type(builder)]].all()
    assert len({tuple(v) for v in valid.values()}) == 1
    chosen = [*np.flatnonzero(~valid[StageGraphBuilder])[:4], *np.flatnonzero(built.doubtful)[:4]]
    assert [builds(task, states[i]) for i in chosen] == valid[StageGraphBuilder][chosen].tolist()


@pytest.mark.parametrize("with_relu", [True, False])
def test_a_sparse_product_with_a_custom_rule_is_searched(with_relu: bool) -> None:
    """The extent of its reduction is data, and only a rule of the user's can sketch it."""
    x, data = te.placeholder((24, 32), name="x"), te.placeholder((40,), name="data")
    indices, pointers = te.placeholder((40,), "int32", "indices"), te.placeholder((17,), "int32", "pointers")
    product = topi.nn.sparse_dense(x, data, indices, pointers)
    inputs = [x, data, indices, pointers]
    task = register_tensors(f"verdict.sparse{with_relu}", [*inputs, topi.nn.relu(product) if with_relu else product])
    rule = auto_scheduler.PreloadCustomSketchRule

    def meets(policy: Any, state: Any, stage: int) -> int:
        op = State(state, policy.search_task.compute_dag).stages[stage].op
        return int(rule.APPLY_AND_SKIP_REST if "sparse_dense" in op.tag else rule.PASS)

    def apply(policy: Any, state: Any, stage: int) -> list[Any]:
        loops = State(state, policy.search_task.compute_dag)
        if with_relu:
            inner, outer = loops.stages[stage].op, loops.stages[stage + 1].op
            loops.compute_at(inner, outer, loops.stages[stage + 1].iters[0])
        return [[loops.state_object, stage - 1]]

    policy = auto_scheduler.SketchPolicy(
        task,
        GNNCostModel(None, device="cpu"),
        params={"sample_init_min_population": 4, "evolutionary_search_population": 8},
        seed=7,
        verbose=0,
        init_search_callbacks=[rule(meets, apply, "csr")],
    )
    states = [task.compute_dag.infer_bound_from_state(s) for s in policy.sample_initial_population()]
    assert states and all(builds(task, state) for state in states)


def test_a_state_that_cannot_be_read_is_judged_by_tvm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has a score in the middle of the others', and the log says once for the task that it cannot be read."""
    task = make_task("matmul")
    states = sample_states(task, 6)
    monkeypatch.setattr("tvm_gnn_cost.ansor.cost_model.make_builder", StageGraphBuilder)
    model = GNNCostModel(device="cpu")
    before = model.predict(task, states)
    read = StageGraphBuilder.loop_nest

    def fail_at_two(self: Any, state: Any) -> Any:
        if any(state is other for other in states[:2]):
            raise ValueError("nobody reads this")
        return read(self, state)

    monkeypatch.setattr(StageGraphBuilder, "loop_nest", fail_at_two)
    with caplog.at_level(logging.WARNING):
        scores = model.predict(task, [*states, "not a state"])
        model.predict(task, states)
    assert scores[:2].tolist() == [np.median(before[2:])] * 2 and np.isneginf(scores[-1])
    np.testing.assert_array_equal(scores[2:6], before[2:])
    assert sum("cannot be read" in record.message for record in caplog.records) == 1
    assert np.isnan(model.predict_latency(task, states)[:2]).all()
    assert model.predict_stages(task, states[:1]).tolist()[1:] == [0.0]
    cold = GNNCostModel(None, device="cpu").predict(task, states[:2])
    assert (cold > 0).all() and len(set(cold.tolist())) == 2, "cold, they are explored at random"


def test_a_verdict_of_tvm_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    task = register_tensors("verdict.once", adaptive_pool((8, 8), (3, 3), "avg")(), "llvm -num-cores=2")
    states = sample_states(task, 6)
    builder, asked = make_builder(task), []
    monkeypatch.setattr(
        "tvm_gnn_cost.ansor.validity.lowers", lambda states, task: (asked.append(len(states)), lowers(states, task))[1]
    )
    built = builder.build([*states, *states])
    first = builder.can_run([*states, *states], built)
    np.testing.assert_array_equal(first, builder.can_run([*states, *states], built))
    assert asked == [len(states)] and first[: len(states)].tolist() == first[len(states) :].tolist()


def test_a_search_looks_closely_only_at_what_it_may_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A padded convolution, whose vectors along two axes TVM always builds; and a program of which most states fail."""
    asked: list[int] = []

    def counting(states: Sequence[Any], task: Any) -> Any:
        asked.append(len(states))
        return lowers(states, task)

    monkeypatch.setattr("tvm_gnn_cost.ansor.validity.lowers", counting)
    convolution = named_task("conv2d_nhwc", [1, 14, 14, 32, 32, 3, 1, 1])
    states = sample_states(convolution, 96)
    scores = GNNCostModel(seed=0).predict(convolution, tvm.runtime.convert([state.state_object for state in states]))
    assert np.isfinite(scores).all()
    assert sum(asked) < len(states) / 3

    program = named_task("random_program", [20017, 24])
    states = sample_states(program, 200)
    exact = np.isfinite(GNNCostModel(seed=0).predict(program, list(states)))
    scores = GNNCostModel(seed=0).predict(program, tvm.runtime.convert([state.state_object for state in states]))
    found = np.isfinite(scores)
    assert 0.1 < exact.mean() < 0.9, "the test wants a program of which some states fail"
    assert found[exact].all()
    best = np.argsort(-scores)[: exact.sum() // 2]
    assert exact[best].mean() > 0.9


def test_uses_of_axes() -> None:
    x, w = te.placeholder((8, 16), name="x"), te.placeholder((8,), "int32", name="w")

    def uses(function: Callable[[Any, Any], Any]) -> list[int]:
        return [int(use) for use in axis_uses([x.op, w.op, te.compute((8, 16), function, name="y").op])[-1]]

    assert uses(lambda i, j: x[i, j] * 2.0 + te.exp(x[i, j])) == [Use.LINEAR, Use.LINEAR]
    assert uses(lambda i, j: te.if_then_else(j // 2 > i, x[i, j], 0.0)) == [Use.LINEAR, Use.LINEAR]
    assert uses(lambda i, j: x[w[i], 3 * j + i - 2]) == [Use.LINEAR, Use.LINEAR]
    assert uses(lambda i, j: x[i, j // 2]) == [Use.LINEAR, Use.NONLINEAR]
    assert uses(lambda i, j: x[w[i // 2], j]) == [Use.NONLINEAR, Use.LINEAR]
    assert uses(lambda i, j: tir.Select(i < 4, x[i, j], 0.0)) == [Use.NONLINEAR, Use.LINEAR]
    assert uses(lambda i, j: x[i, j] * (j.astype("float32") * 0.5)) == [Use.LINEAR, Use.VALUE]
    assert uses(lambda i, j: x[i, te.floor(j.astype("float32") * 0.5).astype("int32")]) == [Use.LINEAR, Use.VALUE]
    assert uses(lambda i, j: x[i // 8, j // 16 + j]) == [Use.LINEAR, Use.LINEAR]
    assert uses(lambda i, j: x[(i * 16 + j) // 16, (i * 16 + j) % 16]) == [Use.LINEAR, Use.LINEAR]
    assert uses(lambda i, j: x[(i * 16 + j) // 8, j]) == [Use.NONLINEAR, Use.NONLINEAR]
    half = te.compute((8, 16), lambda i, j: x[i // 2, j], name="half")
    whole = te.compute((16, 8), lambda a, b: half[b, a], name="whole")
    operations = [x.op, half.op, whole.op]
    assert [int(use) for use in axis_uses(operations)[-1]] == [Use.LINEAR, Use.NONLINEAR]
    assert [int(use) for use in axis_uses(operations, [False] * 3)[-1]] == [Use.LINEAR, Use.LINEAR]


@pytest.mark.parametrize("name", ["matmul", "conv2d_bn_relu", "norm", "softmax", "attention_scores"])
def test_ordinary_tasks_are_plain(name: str) -> None:
    """Their states cost no lowering."""
    assert is_plain(make_task(name))


def test_indices_that_are_linear_within_the_extents_leave_a_task_plain() -> None:
    assert is_plain(register_tensors("verdict.plain", within_extents()))
