"""Workloads as te tensors and as TIR, which need no auto_scheduler: these tests run with every TVM."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from small_shapes import SHAPES
from tvm import te

from tvm_gnn_cost import WorkloadError
from tvm_gnn_cost.workloads import find_workload, parse_target, workload_names
from tvm_gnn_cost.workloads.random_programs.structure import skeleton

TARGET = "llvm -num-cores=4"
CONFIGURATIONS = [name for name in workload_names() if name.isupper()]
KNOWN = [name for name in SHAPES if name in workload_names()]


@pytest.mark.parametrize("name", [*KNOWN, *CONFIGURATIONS])
def test_a_workload_becomes_a_program_of_tir(name: str) -> None:
    with parse_target(TARGET):
        tensors = find_workload(name, SHAPES.get(name, (0,))).tensors()
    program = te.create_prim_func(tensors)
    assert len(program.params) == len(tensors)


def test_random_programs_are_the_same_with_every_tvm() -> None:
    digests = []
    for seed in range(1, 40):
        tensors = find_workload("random_program", (seed, 8 + seed % 7)).tensors()
        te.create_prim_func(tensors)
        digests.append(skeleton(tensors))  # `structure` tells a shift since 0.27 from one before
    assert sha256("".join(digests).encode()).hexdigest()[:16] == "59ad3f4646907a78"


def test_a_workload_has_a_key_and_a_label() -> None:
    workload = find_workload("tvm_gnn_cost.conv2d_nhwc", (1, 8, 8, 4, 8, 3))
    assert workload.key == '["tvm_gnn_cost.conv2d_nhwc", 1, 8, 8, 4, 8, 3, 1, 0, 1, 1, "float32", "float32"]'
    assert workload.label == "conv2d_nhwc 1 8 8 4 8 3 1 0 1 1 float32 float32"


def test_arguments_that_do_not_fit_together_are_named() -> None:
    with pytest.raises(WorkloadError, match="conv2d_nchw"):
        find_workload("conv2d_nchw", (1, 2, 2, 4, 8, 5, 5, 1, 0)).tensors()


def test_an_operator_of_ones_own_needs_no_scheduler(tmp_path: Path) -> None:
    (tmp_path / "ops.py").write_text(
        "from tvm import te\n\n\ndef scaled(n: int):\n"
        "    x = te.placeholder((n,), name='x')\n    return [x, te.compute((n,), lambda i: x[i] * 2.0, name='y')]\n"
        "\n\ndef ragged(n: int):\n    m = te.var('m')\n    x = te.placeholder((n, n), name='x')\n"
        "    r = te.reduce_axis((0, m), name='r')\n"
        "    return [x, te.compute((n,), lambda i: te.sum(x[i, r], axis=r), name='y')]\n"
    )
    workload = find_workload("ops.py:scaled", (8,), tmp_path)
    assert workload.name == "ops.scaled"
    assert len(te.create_prim_func(workload.tensors()).params) == 2
    assert find_workload("ops.scaled", (16,)).key == '["ops.scaled", 16]'
    with pytest.raises(WorkloadError, match="y reduces over the symbolic extent m"):
        find_workload("ops.py:ragged", (8,), tmp_path).tensors()


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("llvm -mcpu=znver4 -num-cores=2", {"mcpu": "znver4", "num-cores": 2}),
        ("llvm -num-cores 3", {"num-cores": 3}),
        ("cuda -arch=sm_80 -max_threads_per_block=512", {"arch": "sm_80", "max_threads_per_block": 512}),
        ('{"kind": "llvm", "num-cores": 4}', {"num-cores": 4}),
        ("nvidia/nvidia-a100", {"arch": "sm_80"}),
    ],
)
def test_a_target_is_read_as_options_as_json_and_as_a_tag(text: str, attributes: dict[str, object]) -> None:
    target = parse_target(text)
    assert {name: target.attrs[name] for name in attributes} == attributes
    assert dict(parse_target(str(target)).attrs) == dict(target.attrs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lvm", "did you mean llvm"),
        ("llvm -nun-cores=2", "nun-cores"),
        ("llvm -num-cores=two", "two"),
        ("llvm -mcpu=znver44", "did you mean znver"),
        ('{"kind": "llvm", ', "not valid"),
    ],
)
def test_a_target_that_is_none_is_named(text: str, says: str) -> None:
    with pytest.raises(WorkloadError, match=says):
        parse_target(text)
