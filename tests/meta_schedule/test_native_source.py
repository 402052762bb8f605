"""Candidates built in C++ are those that Python builds, to the last bit."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import pytest
from meta_schedule.programs import CPU, PROGRAMS, matmul
from tvm import te
from tvm.target import Target

from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.meta_schedule.native import builder as native_builder
from tvm_gnn_cost.meta_schedule.native.trust import Extension, has_tvm_ffi, load_tvm
from tvm_gnn_cost.meta_schedule.source import NativeTIRSource, TIRSource, measured_function
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.workloads import chains

_native = pytest.importorskip("tvm_gnn_cost._native")

try:
    from tvm.s_tir import Schedule
except ImportError:
    from tvm.tir import Schedule

GPU = Target("nvidia/nvidia-a100")
TARGETS = {"cpu": CPU, "gpu": GPU}
WORKLOADS = PROGRAMS | {
    "layer_norm": lambda: te.create_prim_func(chains.layer_norm(18, 50)),
    "rows": lambda: te.create_prim_func(chains.reduce_rows(32, 512)),
    "int8": lambda: te.create_prim_func(chains.dense_int8(32, 32, 64)),
    "transpose": lambda: te.create_prim_func(chains.transpose_add(30, 50)),
    "packed weights": lambda: te.create_prim_func(chains.mlp(32, 64, 128, 64)),
    "halves": lambda: matmul(64, 64, 64, "float16"),
}
COUNT = 10


@pytest.fixture(scope="module")
def extension() -> Extension:
    return Extension(_native, load_tvm(_native) if has_tvm_ffi() else None)


@pytest.fixture(scope="module")
def products() -> list[Any]:
    return sample_candidates(matmul(), CPU, COUNT)


def difference(extension: Extension, mod: Any, target: Any, candidates: list[Any]) -> str | None:
    return graph_difference(
        NativeTIRSource(mod, target, extension).build(candidates), TIRSource(mod, target).build(candidates)
    )


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("name", "target"),
    [*((name, "cpu") for name in WORKLOADS), ("matmul", "gpu"), ("layer_norm", "gpu"), ("int8", "gpu")],
)
def test_equals_python_on_what_the_search_makes(extension: Extension, name: str, target: str) -> None:
    mod = WORKLOADS[name]()
    candidates = sample_candidates(mod, TARGETS[target], COUNT)
    source = NativeTIRSource(mod, TARGETS[target], extension)
    built = source.build(candidates)
    assert candidates and graph_difference(built, TIRSource(mod, TARGETS[target]).build(candidates)) is None
    if extension.tvm is not None:  # and nothing was left to Python
        assert source._builder.build_natively(list(map(measured_function, candidates))).readable.all()
    assert graph_difference(source.build(candidates), built) is None


def random_schedule(function: Any, seed: int) -> Any:
    """Splits (most with a predicate), fusions, another order, annotations: of every block that takes them."""
    rng, s = random.Random(seed), Schedule(function)
    get_block, get_children = getattr(s, "get_sblock", None) or s.get_block, s.get_child_blocks
    blocks = [s.get(block).name_hint for block in get_children(get_block("root"))]
    for name in blocks:
        for _ in range(rng.randrange(5)):
            loops = s.get_loops(get_block(name))
            loop = rng.randrange(len(loops))
            try:
                if rng.random() < 0.6:
                    s.split(loops[loop], [None, rng.choice((2, 3, 4, 5, 7, 16))])
                elif loop + 1 < len(loops):
                    s.fuse(loops[loop], loops[loop + 1])
            except Exception:  # of a reduction with a spatial loop, perhaps
                continue
        loops = s.get_loops(get_block(name))
        for step in (
            lambda loops=loops: s.reorder(*rng.sample(loops, len(loops))),
            lambda loops=loops: getattr(s, rng.choice(("parallel", "vectorize", "unroll")))(rng.choice(loops)),
            lambda loops=loops: s.annotate(loops[0], "pragma_auto_unroll_max_step", rng.choice((16, 64, 512))),
        ):
            try:
                if rng.random() < 0.5:
                    step()
            except Exception:
                continue
    for producer, consumer in zip(blocks[:-1], blocks[1:], strict=True):
        try:
            if rng.random() < 0.5:
                s.compute_at(get_block(producer), rng.choice(s.get_loops(get_block(consumer))))
            elif rng.random() < 0.5:
                s.reverse_compute_at(get_block(consumer), rng.choice(s.get_loops(get_block(producer))))
        except Exception:
            continue
    return s.mod


@pytest.mark.parametrize("name", ["matmul", "conv", "softmax", "layer_norm"])
def test_equals_python_on_random_schedules(extension: Extension, name: str) -> None:
    mod = WORKLOADS[name]()
    schedules = [random_schedule(mod, seed) for seed in range(24)]
    assert difference(extension, mod, CPU, schedules) is None


def test_what_cannot_be_read_is_left_out_as_in_python(
    extension: Extension, products: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    mixed = [None, products[0], "candidate", products[1], object()]
    expected = TIRSource(matmul(), CPU).build(mixed)
    [python_warning] = warnings_of(caplog)
    caplog.clear()
    source = NativeTIRSource(matmul(), CPU, extension)
    built = source.build(mixed)
    assert graph_difference(built, expected) is None and graph_difference(source.build(mixed), expected) is None
    assert built.readable.tolist() == [False, True, False, True, False]
    assert warnings_of(caplog) == [python_warning]


def test_no_candidates_are_no_graphs(extension: Extension) -> None:
    assert difference(extension, matmul(), CPU, []) is None


def test_every_number_of_threads_gives_the_same(extension: Extension, products: list[Any]) -> None:
    functions = [measured_function(products[i * i % len(products)]) for i in range(150)]
    functions[7] = functions[90] = None
    one, four = (
        native_builder.NativeBuilder(extension, TIRSource(matmul(), CPU), n_threads).build(functions)[0]
        for n_threads in (1, 4)
    )
    assert graph_difference(four, one) is None


def test_what_the_extension_does_not_understand_is_read_in_python(
    extension: Extension, products: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of every other candidate come from Python's nests, in one batch with the others."""
    source = NativeTIRSource(matmul(), CPU, extension)
    read = source._builder.build_natively

    def every_other(functions: list[Any]) -> Any:
        built = read(functions)
        left = np.arange(len(functions)) % 2 == 0
        graphs = np.flatnonzero(left[built.readable])
        return built.select(graphs, built.readable & left)

    monkeypatch.setattr(source._builder, "build_natively", every_other)
    assert graph_difference(source.build(products), TIRSource(matmul(), CPU).build(products)) is None


def test_a_nest_that_only_python_can_write(
    extension: Extension, products: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NativeTIRSource(matmul(), CPU, Extension(extension.native, None))

    def refuse(nests: Any) -> Any:
        raise OverflowError("a number is too large")

    monkeypatch.setattr(source._builder._writer, "write", refuse)
    assert graph_difference(source.build(products), TIRSource(matmul(), CPU).build(products)) is None


def test_many_blocks_are_forgotten_again(
    extension: Extension, products: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_builder, "MOST_UNITS", 0)
    source, python = NativeTIRSource(matmul(), CPU, extension), TIRSource(matmul(), CPU)
    for _ in range(2):
        assert graph_difference(source.build(products), python.build(products)) is None
